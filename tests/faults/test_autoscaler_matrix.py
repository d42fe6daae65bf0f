"""Six faults of the autoscaler, others with each commit; `make faults` plays all of them."""

import os

import pytest

from tests.faults.autoscaler_cuts import Case, seeded
from tests.faults.autoscaler_run import run
from tests.faults.test_matrix import SEED

COUNT = 6


@pytest.mark.parametrize("case", seeded(SEED)[:COUNT], ids=str)
def test_nothing_is_lost_and_nobody_helps(case: Case) -> None:
    outcome = run(case)
    if outcome.skipped:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(outcome.skipped)
    assert not outcome.bad, f"AGENT_DOCKER_FAULT_SEED={SEED}: {outcome}"
