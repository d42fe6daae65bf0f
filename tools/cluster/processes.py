"""The components as processes: begun, found again and ended.

A component is known by two variables in its environment: the data folder and its own name. So none
is lost when a start is killed half-way, and no record can name a process that has a dead one's
number by now.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import psutil

from tools.cluster.layout import Layout

DATA_VARIABLE = "AGENT_DOCKER_CLUSTER"
PART_VARIABLE = "AGENT_DOCKER_CLUSTER_PART"
STOP_SECONDS = 5.0
POLL_SECONDS = 0.02
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class _Launched(subprocess.Popen[bytes]):
    """May outlive this object on purpose; the usual one warns of that."""

    def __del__(self) -> None:
        """Say nothing."""


def launch(layout: Layout, part: str, command: Sequence[str], *, tied: bool) -> None:
    """Start one component in the background, its words in a file.

    `tied` ends it with the thread that calls this, even by kill -9 (Linux); otherwise it outlives
    everything but `end`.
    """
    with layout.log(part).open("wb") as log:
        _Launched(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=layout.data,
            # From nothing: no proxy, kubeconfig or setting of the shell gets in.
            env={
                "PATH": os.defpath,
                "HOME": str(layout.data),
                DATA_VARIABLE: str(layout.data),
                PART_VARIABLE: part,
            },
            # A terminal's Ctrl-C is not theirs.
            start_new_session=True,
            preexec_fn=_tie() if tied else None,  # calls only prctl
        )


def found(layout: Layout) -> dict[str, psutil.Process]:
    """Return the live components by name."""
    parts: dict[str, psutil.Process] = {}
    for process in _all(layout):
        with contextlib.suppress(psutil.Error, OSError, KeyError):
            parts[process.environ()[PART_VARIABLE]] = process
    return parts


def end(layout: Layout) -> None:
    """End every component: asked first, killed after 5 s."""
    for stop in (psutil.Process.terminate, psutil.Process.kill):
        left = _all(layout)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                stop(process)
        deadline = time.monotonic() + STOP_SECONDS
        while any(map(_lives, left)) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        for process in left:
            # Our own children stay zombies until somebody asks how they ended.
            with contextlib.suppress(psutil.Error):
                process.wait(0)


def _all(layout: Layout) -> list[psutil.Process]:
    """Return whatever runs with the folder in its environment."""
    marked: list[psutil.Process] = []
    for process in psutil.process_iter():
        # Other people's processes do not let us look, and are not ours.
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(DATA_VARIABLE) == str(layout.data) and _lives(process):
                marked.append(process)
    return marked


def _lives(process: psutil.Process) -> bool:
    """Whether it runs; who adopts our processes may let the ended ones lie for a while."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _tie() -> Callable[[], None] | None:
    """Return what a new process runs before its program; None where no system call does that."""
    if sys.platform != "linux":
        return None
    prctl, owner = ctypes.CDLL(None).prctl, os.getpid()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != owner:  # it ended before we were tied
            os._exit(1)

    return tie
