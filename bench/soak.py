"""Many updates by one long-lived process, as the autoscaler makes them. `make soak`.

Real updates on a real engine: one slot and two, in turn. After each, what the process and its
folders hold is counted; what still grows in the second half is a leak.
"""

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median

import psutil
from rich.console import Console

from autoscaler.hands import Avoid, Hands
from autoscaler.plan import Change
from autoscaler.world import Clock
from bench import figures
from bench.autoscalers import BenchFailed, World, world
from contracts.slots import SlotSet
from operations import history
from operations.history import KEPT_UPDATES
from operations.known import Known
from operations.stack import Applied
from providers.vastai.pacing import RUN_DIR_VARIABLE

_UPDATE_SECONDS = 300.0
_MAXIMUM = 2
_TOLD_EVERY = 50
_SHORT, _SHORT_HISTORY = 50, 5
# What a session or a renting leaves is swept after a day at the latest.
_SWEPT_SECONDS = 24 * 3600.0
# Bytes: what an allocator does at its own pace, and what an update may add for ever. The state
# that an update reads is 12 KB of text.
_RSS_NOISE, _RSS_PER_UPDATE = 1_500_000, 1_000
_OBJECTS_NOISE, _OBJECTS_PER_UPDATE = 100, 0.5
console = Console()


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What there is once an update has ended; sizes in bytes."""

    rss: int
    objects: int
    threads: int
    fds: int
    # Processes that work on this stack, and files that only a running operation may have.
    processes: int
    temporary: int
    history: int
    state: int
    seconds: float


@dataclass(kw_only=True)
class Soak:
    """One process that updates one fleet again and again."""

    around: World
    hands: Hands
    known: Known
    samples: list[Sample] = field(default_factory=list[Sample])

    @classmethod
    def of(cls, around: World) -> "Soak":
        """A soak of the fleet in `around`, which is deployed already."""
        hands = Hands(fleet=around.fleet, clock=Clock(), spread=lambda: 0.0)
        return cls(around=around, hands=hands, known=around.fleet.known())

    def run(self, updates: int) -> Generator[Sample]:
        """Make so many updates; what there is after each."""
        for _ in range(updates):
            begun = time.monotonic()
            self.update()
            sample = self._sample(time.monotonic() - begun)
            self.samples.append(sample)
            yield sample

    def update(self) -> None:
        """One slot more, or one less."""
        slots = self.known.state.slots or SlotSet()
        grow = len(slots.names) < _MAXIMUM
        change = Change(count=_MAXIMUM) if grow else Change(count=1, give_up=slots.names[-1:])
        self.hands.update(1, self.known, change, Avoid(), _MAXIMUM)
        self.hands.actuator.wait(_UPDATE_SECONDS)
        outcome = self.hands.collect()
        if outcome is None or not isinstance(outcome.result, Applied):
            raise BenchFailed(f"an update did not end well: {outcome and outcome.error}")
        self.known = replace(self.known, state=outcome.result.state)
        recorded, live = len(self.known.state.machines), len(self.around.live())
        if not recorded == live == (_MAXIMUM if grow else 1):
            raise BenchFailed(f"{live} machines live, {recorded} are recorded after {change}")

    def stale(self) -> list[str]:
        """What the run folder still holds of updates of the day before, after two more updates."""
        run = self.around.folder / "run"
        old = {path.name for path in run.iterdir()}
        then = time.time() - 2 * _SWEPT_SECONDS
        for name in old:
            os.utime(run / name, (then, then))
        for _ in range(2):
            self.update()
        # A name that is in use again is not old any more.
        left = [run / name for name in old if (run / name).exists()]
        return sorted(path.name for path in left if path.stat().st_mtime <= then + 1)

    def close(self) -> None:
        """Take no more work."""
        self.hands.actuator.close()

    def _sample(self, seconds: float) -> Sample:
        me, folder = psutil.Process(), self.around.folder
        works = processes_of(folder / "run")
        backend, operations = folder / "backend" / ".pulumi", folder / "operations"
        left = [path for path in operations.iterdir() if path.suffix != ".lock"]
        gc.collect()
        return Sample(
            rss=me.memory_info().rss,
            # The samples themselves are kept.
            objects=len(gc.get_objects()) - len(self.samples),
            threads=me.num_threads(),
            fds=me.num_fds() if sys.platform != "win32" else 0,
            processes=works,
            temporary=len([*left, *(folder / "tmp").iterdir()]),
            history=sum(1 for _ in (backend / "history").rglob("*.history.json")),
            state=sum(path.stat().st_size for path in (backend / "stacks").rglob("gpu.json")),
            seconds=seconds,
        )


def growth(values: Sequence[float]) -> float:
    """By how much `values` grow from each to the next, in their second half.

    The median of the slopes of all pairs: a few values out of line count for nothing.
    """
    half = values[len(values) // 2 :]
    slopes = [
        (later - earlier) / distance
        for at, earlier in enumerate(half)
        for distance, later in enumerate(half[at + 1 :], start=1)
    ]
    return median(slopes) if slopes else 0.0


def leaks(samples: Sequence[Sample], *, kept: int) -> list[str]:
    """What has grown and must not, a line each; the history may hold `kept` updates."""
    # After every second update the fleet is as large as before.
    same = samples[1::2]
    span = len(samples) / 2
    found: list[str] = []
    for name, noise, each in (
        ("rss", _RSS_NOISE, _RSS_PER_UPDATE),
        ("objects", _OBJECTS_NOISE, _OBJECTS_PER_UPDATE),
        ("state", 64, 0.0),
    ):
        slope = growth([getattr(sample, name) for sample in same]) / 2
        if slope * span > noise + each * span:
            found.append(f"{name} grows by {slope:.1f} with each update")
    for name in ("threads", "fds"):
        counts = [getattr(sample, name) for sample in same]
        first, second = counts[: len(counts) // 2], counts[len(counts) // 2 :]
        if max(second, default=0) > max(first, default=0):
            found.append(f"{name} grew from {max(first)} to {max(second)}")
    for name, most in (("processes", 0), ("temporary", 0), ("history", kept)):
        worst = max((getattr(sample, name) for sample in samples), default=0)
        if worst > most:
            found.append(f"{name}: {worst} are left after an update, at most {most} may be")
    return found


def main() -> int:
    """Update, print what it came to, and write it; 1 when something leaks."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument(
        "--short", action="store_true", help="50 updates, a short history, no figures: what CI runs"
    )
    options = parser.parse_args()
    updates, kept = (_SHORT, _SHORT_HISTORY) if options.short else (options.updates, KEPT_UPDATES)
    if options.short:
        # So that its bound is reached.
        history.prune = partial(history.prune, kept=kept)
    with world() as around:
        around.fleet.stack.deploy(around.fleet.stack.target.settings)
        soak = Soak.of(around)
        for number, sample in enumerate(soak.run(updates), start=1):
            if number % _TOLD_EVERY == 0 or number == updates:
                console.print(f"{number:5}  {_line(sample)}")
        found, stale = leaks(soak.samples, kept=kept), soak.stale()
        soak.close()
    if stale:
        found.append(f"the run folder keeps {len(stale)} files for ever, e.g. {stale[0]}")
    for line in found:
        console.print(f"leak: {line}", markup=False)
    if options.short:
        return int(bool(found))
    same = soak.samples[1::2]
    numbers = {
        "updates": updates,
        "leaks": len(found),
        "rss_start_mb": round(same[0].rss / 1e6, 1),
        "rss_end_mb": round(same[-1].rss / 1e6, 1),
        "rss_growth_bytes": round(growth([sample.rss for sample in same]) / 2, 1),
        "objects_growth": round(growth([sample.objects for sample in same]) / 2, 3),
        "processes_left": max(sample.processes for sample in same),
        "temporary_left": max(sample.temporary for sample in same),
        "fds": same[-1].fds,
        "history_kept": same[-1].history,
        "stale_files": len(stale),
        "update_p50_s": round(median(sample.seconds for sample in soak.samples), 2),
    }
    console.print(f"written to {os.path.relpath(figures.write('soak', numbers))}")
    return int(bool(found))


def processes_of(run: Path) -> int:
    """How many processes work on the stack whose turns are kept in `run`."""
    count = sum(_works_in(process, run) for process in psutil.process_iter())
    # It keeps four objects for each process of the machine, and where nobody collects dead ones
    # (a container without an init) each update adds two: nothing that the autoscaler holds.
    psutil.process_iter.cache_clear()
    return count


def _works_in(process: psutil.Process, run: Path) -> bool:
    """Whether it was started for a stack whose turns are kept there; the router is not."""
    read: Callable[[], dict[str, str]] = process.environ
    try:
        mine = process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE
        return not mine and read().get(RUN_DIR_VARIABLE) == str(run)
    except psutil.Error:
        return False


def _line(sample: Sample) -> str:
    return (
        f"{sample.rss / 1e6:.1f} MB, {sample.objects:,} objects, {sample.threads} threads, "
        f"{sample.fds} descriptors, {sample.processes} processes, {sample.temporary} temporary, "
        f"{sample.history} in the history, state {sample.state:,} B, {sample.seconds:.1f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
