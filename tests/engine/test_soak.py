"""The short form of `make soak`: 50 updates by one process, and what would be told of a leak."""

import gc
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.soak import Sample, growth, leaks, processes_of

ROOT = Path(__file__).resolve().parents[2]
KEPT = 5
UPDATES = 50
# Enough to tell what grows.
FEW = 20


def test_fifty_updates_leave_nothing_behind() -> None:
    """In a process of its own that nothing else measures.

    Coverage keeps a tracer of each thread that ever ran, eight objects with each update.
    """
    env = {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-m", "bench.soak", "--short"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # As wide as some terminal.
    told = " ".join(done.stdout.split())
    assert told.startswith(f"{UPDATES} ")
    assert f"0 processes, 0 temporary, {KEPT} in the history" in told


def test_dead_processes_of_the_machine_are_no_objects_of_ours(tmp_path: Path) -> None:
    """Not every container has somebody who collects them."""

    def objects() -> int:
        assert processes_of(tmp_path) == 0
        gc.collect()
        return len(gc.get_objects())

    before = objects()
    dead = [subprocess.Popen(["true"]) for _ in range(10)]
    try:
        # The `Popen`s count; what psutil would remember of each, four objects, does not.
        assert objects() - before < 4 * len(dead)
    finally:
        for one in dead:
            one.wait()


# What it would be told by.


def samples(count: int, **growing: float) -> list[Sample]:
    """Samples of which the named parts grow so much with each update."""
    flat = Sample(
        rss=70_000_000,
        objects=80_000,
        threads=2,
        fds=10,
        processes=0,
        temporary=0,
        history=KEPT,
        state=13_000,
        seconds=4.0,
    )
    # As the real ones: two slots take more room than one.
    return [
        replace(
            flat,
            state=flat.state + 5_000 * (number % 2 == 0) + round(growing.get("state", 0) * number),
            **{
                name: getattr(flat, name) + round(each * number)
                for name, each in growing.items()
                if name != "state"
            },
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("count", [FEW, UPDATES, 1000])
def test_what_stays_as_it_is_is_no_leak(count: int) -> None:
    assert leaks(samples(count), kept=KEPT) == []
    # An allocator takes a page now and then.
    assert leaks(samples(count, rss=200), kept=KEPT) == []


@pytest.mark.parametrize(
    ("growing", "told"),
    [
        ({"objects": 40}, "objects grows by 40.0 with each update"),
        ({"rss": 400_000}, "rss grows by 400000.0 with each update"),
        ({"state": 20}, "state grows by 20.0 with each update"),
        ({"fds": 0.2}, "fds grew from 12 to 14"),
        ({"threads": 1}, "threads grew from 11 to 21"),
        ({"processes": 0.1}, "processes: 2 are left after an update, at most 0 may be"),
        ({"temporary": 1}, "temporary: 19 are left after an update, at most 0 may be"),
        ({"history": 1}, "history: 24 are left after an update, at most 5 may be"),
    ],
)
def test_what_grows_is_told(growing: dict[str, Any], told: str) -> None:
    assert leaks(samples(FEW, **growing), kept=KEPT) == [told]


def test_a_thousand_updates_tell_of_a_smaller_leak() -> None:
    """A document of state that is kept is 12 KB; an object a time is already too much."""
    slow = {"rss": 12_000, "objects": 1}
    assert leaks(samples(FEW, **slow), kept=KEPT) == []
    assert [line.split()[0] for line in leaks(samples(1000, **slow), kept=KEPT)] == [
        "rss",
        "objects",
    ]


def test_growth_is_that_of_the_second_half_and_hears_no_single_value() -> None:
    assert growth([9, 5, 3, 1, 1, 1, 1, 1]) == 0
    assert growth([1, 1, 1, 1, 1, 9, 1, 1, 1, 1]) == 0
    assert growth([0, 1, 2, 3, 4, 5, 6, 7]) == 1
    assert growth([7]) == 0
