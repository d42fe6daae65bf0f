"""Whether two engines ever worked on one stack at the same time."""

import contextlib
import itertools
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import psutil

from tests.engine.autoscalers import Update
from tests.faults import processes

_WRITE = {"up", "destroy", "refresh"}


class Watch:
    """Looks again and again while it is entered; `found` are pairs of engines that both wrote.

    An engine that is refused the lock ends before it starts a provider: only one that has a
    provider of its own counts.
    """

    def __init__(self, folder: Path) -> None:
        self.found: set[tuple[int, ...]] = set()
        self._folder = folder
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.25):
            writers = _writers(self._folder)
            if len(writers) > 1:
                self.found.add(tuple(writers))


def _writers(folder: Path) -> list[int]:
    alive = processes.of(folder)
    engines = {process.pid for process in alive if _writes(process)}
    found: set[int] = set()
    for process in alive:
        with contextlib.suppress(psutil.Error):
            if "pulumi.dynamic" in process.cmdline():
                found |= engines & {parent.pid for parent in process.parents()}
    return sorted(found)


def _writes(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.name() == "pulumi" and bool(_WRITE & set(process.cmdline()[1:3]))
    return False


def overlaps(updates: Sequence[Update]) -> int:
    """Pairs of updates in the history that ran at the same time, to the second."""
    ordered = sorted(updates, key=lambda update: update.start)
    return sum(two.start < one.end for one, two in itertools.pairwise(ordered))


def fences_gone_back(updates: Sequence[Update]) -> int:
    """How often an update recorded an older lease than the one before it."""
    fences = [update.fence or 0 for update in updates]
    return sum(two < one for one, two in itertools.pairwise(fences))
