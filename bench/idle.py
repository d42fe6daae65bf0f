"""What the autoscaler costs while nothing happens, at its default intervals. `make bench-idle`.

The real `python -m autoscaler` watches one machine that answers, with Vast.ai's pace kept. CPU is
counted from its first instruction and with everything it starts. The stack is read at the start
and every 300 s: twice more in 660 s.
"""

import argparse
import os
import time
from dataclasses import dataclass
from itertools import count

import psutil
from rich.console import Console

from bench import figures
from bench.autoscalers import BenchFailed, Running, World, autoscaler, until, world

_TARGET_MB, _TARGET_PERCENT = 120.0, 1.0
_SAMPLE_SECONDS = 0.25
_READY_SECONDS = 60.0
_MB = 1_000_000
console = Console()


@dataclass(kw_only=True)
class Idle:
    """What was used, in CPU seconds and bytes; `tree` is with everything it starts."""

    seconds: float = 0.0
    cpu: float = 0.0
    start_cpu: float = 0.0
    start_seconds: float = 0.0
    rss: int = 0
    tree_rss: int = 0

    @property
    def percent(self) -> float:
        """Of one core, over the whole time."""
        return 100 * self.cpu / self.seconds

    @property
    def settled_percent(self) -> float:
        """Of one core, since it had looked for the first time."""
        return 100 * (self.cpu - self.start_cpu) / (self.seconds - self.start_seconds)


def main() -> None:
    """Watch an idle autoscaler, print what it takes, and write it."""
    parser = argparse.ArgumentParser(prog="python -m bench.idle", description=__doc__)
    parser.add_argument("--seconds", type=float, default=660.0, help="how long it is watched")
    seconds = parser.parse_args().seconds
    with world("--rate-limits", paced=True) as around:
        around.fleet.stack.deploy(around.fleet.stack.target.settings)
        until(lambda: _runs(around), "the machine", seconds=_READY_SECONDS)
        before = around.updates
        with autoscaler(around) as running:
            used = watch(running, seconds)
            _expect_idle(running)
        updates = around.updates - before
    console.print(
        f"{used.seconds:.0f} s: {used.rss / _MB:.1f} MB (target: at most {_TARGET_MB:.0f}), "
        f"{used.percent:.2f} % of a core (target: at most {_TARGET_PERCENT:.0f}), "
        f"{updates} updates (target: 0)"
    )
    console.print(
        f"the start: {used.start_cpu:.2f} CPU s until it had looked once, "
        f"{used.settled_percent:.2f} % since; at most {used.tree_rss / _MB:.0f} MB with what it "
        "starts to read the stack"
    )
    numbers = {
        "rss_mb": round(used.rss / _MB, 1),
        "core_percent": round(used.percent, 3),
        "updates": updates,
        "tree_rss_mb": round(used.tree_rss / _MB, 1),
        "core_percent_settled": round(used.settled_percent, 3),
        "start_cpu_s": round(used.start_cpu, 2),
        "seconds": round(used.seconds),
    }
    console.print(f"written to {os.path.relpath(figures.write('idle', numbers))}")


def watch(running: Running, seconds: float) -> Idle:
    """What `running` uses from its start until `seconds` later."""
    used = Idle()
    began = running.process.create_time()
    for _ in count():
        used.seconds = time.time() - began
        used.cpu = _cpu(running.process)
        used.rss = max(used.rss, running.process.memory_info().rss)
        used.tree_rss = max(used.tree_rss, _tree_rss(running.process))
        if not used.start_cpu and running.told("registered"):
            used.start_cpu, used.start_seconds = used.cpu, used.seconds
        if used.seconds >= seconds:
            break
        time.sleep(_SAMPLE_SECONDS)
    return used


def _cpu(process: psutil.Process) -> float:
    """Its seconds and those of all it has started and waited for."""
    times = process.cpu_times()
    return times.user + times.system + times.children_user + times.children_system


def _tree_rss(process: psutil.Process) -> int:
    total = 0
    for part in (process, *process.children(recursive=True)):
        try:
            total += part.memory_info().rss
        except psutil.Error:
            continue  # It has ended meanwhile.
    return total


def _runs(around: World) -> bool:
    return [row["status"] for row in around.live().values()] == ["running"]


def _expect_idle(running: Running) -> None:
    """An autoscaler that cannot do its work is cheap too."""
    status = running.status()
    phases = [slot["phase"] for slot in status.get("slots", [])]
    if not status.get("leader") or status.get("problems") or phases != ["ready"]:
        raise BenchFailed(f"it was not at its work: {status}")
    if not running.told("decision"):
        raise BenchFailed("it has decided nothing")


if __name__ == "__main__":
    main()
