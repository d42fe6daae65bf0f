"""Twelve cuts of the matrix, others with each commit; `make faults` runs all of them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.cuts import Cut, seeded
from tests.faults.run import run

COUNT = 12


@pytest.fixture(scope="session", autouse=True)
def _tell_seed(record_testsuite_property: Callable[[str, object], None]) -> None:
    record_testsuite_property("AGENT_DOCKER_FAULT_SEED", SEED)
    sys.stderr.write(f"AGENT_DOCKER_FAULT_SEED={SEED}\n")


def _seed() -> int:
    """AGENT_DOCKER_FAULT_SEED, else the commit's, else the day's."""
    if named := os.environ.get("AGENT_DOCKER_FAULT_SEED"):
        return int(named)
    found = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    text = found.stdout.strip()
    return int(text[:8], 16) if found.returncode == 0 and text else int(time.time() // 86_400)


SEED = _seed()


@pytest.mark.parametrize("cut", seeded(SEED)[:COUNT], ids=str)
def test_nothing_is_lost(cut: Cut) -> None:
    outcome = run(cut)
    assert not outcome.bad, f"AGENT_DOCKER_FAULT_SEED={SEED}: {outcome}"
