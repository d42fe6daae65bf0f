"""Processes that end with the one which started them, even when that is killed."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def tether(number: signal.Signals) -> Callable[[], None] | None:
    """Return a `preexec_fn`: the child gets `number` when the thread that started it ends.

    None where the system cannot do that (macOS): a child may then outlive a kill -9 of its parent.
    """
    if sys.platform != "linux":
        return None
    libc, parent = ctypes.CDLL(None), os.getpid()

    def tie() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return tie
