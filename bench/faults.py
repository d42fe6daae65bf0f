"""The whole matrix of faults: `python -m bench.faults [SEED [TEXT]]`; TEXT chooses runs by name.

First the operations that a person recovers by one command, then the autoscaler, which nobody helps.
"""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.faults import autoscaler_cuts, autoscaler_run, cuts
from tests.faults.run import Outcome, run

FIGURES = Path("build/figures/faults.json")
_COUNTS = (
    "doubled",
    "orphans",
    "lost",
    "manual_steps",
    "left_processes",
    "pending",
    "two_writers",
    "foreign_touched",
    "crashes",
    "storms",
    "unannounced",
    "fence_back",
)


def main(seed: int = 1, chosen: str = "") -> int:
    """Run, print a line a run, write the figures; 0 when nothing was wrong."""
    # Each run ends its own processes; being terminated must not keep it from that.
    signal.signal(signal.SIGTERM, _leave)
    outcomes: list[Outcome] = []
    for name, play in _runs(seed):
        if chosen not in name:
            continue
        begun = time.monotonic()
        outcome = play()
        outcomes.append(outcome)
        took = time.monotonic() - begun
        wrong = {count: n for count in _COUNTS if (n := _number(outcome, count))}
        skipped = getattr(outcome, "skipped", "")
        print(
            f"{outcome.cut:52} {outcome.auto:10.60} recovered in {outcome.recovery_s:5.1f} s, "
            f"run {took:5.1f} s  {wrong or skipped or 'ok'}",
            flush=True,
        )
        if outcome.bad:
            print("    " + "\n    ".join(outcome.notes), flush=True)
    figures: dict[str, float] = {
        "runs": sum(not getattr(outcome, "skipped", "") for outcome in outcomes),
        **{name: sum(_number(outcome, name) for outcome in outcomes) for name in _COUNTS},
        "recovery_max_s": max((o.recovery_s for o in outcomes), default=0.0),
        "takeover_max_s": max((_number(o, "takeover_s") for o in outcomes), default=0.0),
    }
    print(json.dumps(figures))
    if not chosen:
        FIGURES.parent.mkdir(parents=True, exist_ok=True)
        FIGURES.write_text(json.dumps(figures, indent=2) + "\n")
    return int(any(outcome.bad for outcome in outcomes))


def _runs(seed: int) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    for cut in cuts.seeded(seed):
        yield str(cut), partial(run, cut)
    for case in autoscaler_cuts.seeded(seed):
        yield str(case), partial(autoscaler_run.run, case, long=True)


def _number(outcome: Outcome, name: str) -> float:
    """A count of `outcome`; 0 where this kind of run cannot have it."""
    return getattr(outcome, name, 0) or 0


def _leave(_number: int, _frame: object) -> None:
    sys.exit(143)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 1, *sys.argv[2:]))
