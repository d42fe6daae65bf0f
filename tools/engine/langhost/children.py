"""The host's child processes: how they start, and that they do not outlive it."""

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

LAUNCHER = Path(__file__).resolve().with_name("child.py")


class Children:
    """All processes started and not yet collected.

    They share the host's process group, so the engine's SIGINT reaches each of them. A child
    with a lifeline ends when the host does, even by SIGKILL: it holds the read end of a pipe of
    which only the host has the write end.
    """

    def __init__(self) -> None:
        self._lifeline, self._held = os.pipe()
        self._running: dict[subprocess.Popen[bytes], bool] = {}
        self._lock = threading.Lock()

    def start(
        self,
        python: str,
        arguments: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        piped: bool = False,
        lifeline: bool = True,
    ) -> subprocess.Popen[bytes]:
        """Run the launcher (`child.py`) with `python`; `piped` gives its output as pipes.

        Raises OSError when `python` or `cwd` cannot be used.
        """
        output = subprocess.PIPE if piped else None
        read_end = str(self._lifeline) if lifeline else "-"
        child = subprocess.Popen(  # noqa: S603 - the program of the project
            [python, "-u", str(LAUNCHER), read_end, *arguments],
            cwd=cwd or None,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(self._lifeline,) if lifeline else (),
        )
        with self._lock:
            self._running[child] = lifeline
        return child

    def wait(self, child: subprocess.Popen[bytes]) -> int:
        """Return the exit code of `child`, negative for a signal, and forget it."""
        code = child.wait()
        with self._lock:
            self._running.pop(child, None)
        return code

    def join(self, seconds: float) -> None:
        """Wait until the children that end with the host have ended, or `seconds` are over."""
        deadline = time.monotonic() + seconds
        for child in self._mortal():
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                return

    def kill(self) -> None:
        """End the children that must not outlive the host; a provider in mid-create is not one."""
        for child in self._mortal():
            child.kill()

    def _mortal(self) -> list[subprocess.Popen[bytes]]:
        with self._lock:
            return [child for child, lifeline in self._running.items() if lifeline]
