"""The whole matrix of cuts: `python -m bench.faults [SEED [TEXT]]`; TEXT chooses cuts by name."""

import json
import signal
import sys
import time
from pathlib import Path

from tests.faults.cuts import seeded
from tests.faults.run import Outcome, run

FIGURES = Path("build/figures/faults.json")
_COUNTS = ("doubled", "orphans", "lost", "manual_steps", "left_processes", "pending")


def main(seed: int = 1, chosen: str = "") -> int:
    """Run, print a line a cut, write the figures; 0 when nothing was wrong."""
    # Each run ends its own processes; being terminated must not keep it from that.
    signal.signal(signal.SIGTERM, _leave)
    outcomes: list[Outcome] = []
    for cut in seeded(seed):
        if chosen not in str(cut):
            continue
        begun = time.monotonic()
        outcome = run(cut)
        outcomes.append(outcome)
        took = time.monotonic() - begun
        wrong = {name: n for name in _COUNTS if (n := getattr(outcome, name))}
        print(
            f"{outcome.cut:42} {outcome.auto:10.60} recovered in {outcome.recovery_s:5.1f} s, "
            f"run {took:5.1f} s  {wrong or 'ok'}",
            flush=True,
        )
        if outcome.bad:
            print("    " + "\n    ".join(outcome.notes), flush=True)
    figures: dict[str, float] = {
        "runs": len(outcomes),
        **{name: sum(getattr(o, name) for o in outcomes) for name in _COUNTS},
        "recovery_max_s": max((o.recovery_s for o in outcomes), default=0.0),
    }
    print(json.dumps(figures))
    if not chosen:
        FIGURES.parent.mkdir(parents=True, exist_ok=True)
        FIGURES.write_text(json.dumps(figures, indent=2) + "\n")
    return int(any(outcome.bad for outcome in outcomes))


def _leave(_number: int, _frame: object) -> None:
    sys.exit(143)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 1, *sys.argv[2:]))
