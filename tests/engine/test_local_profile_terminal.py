"""On a terminal: a live line that says what is waited for, and Ctrl-C as a person presses it."""

import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.engine.test_local_profile import DEADLINE, ROOT, Local, local, until

__all__ = ["local"]
# The child makes the terminal its own, so that ^C becomes a signal.
_SESSION = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.executable, [sys.executable, '-m', 'cli.main', *sys.argv[1:]])"
)


class Terminal:
    """A command on a terminal of its own, and what it has shown."""

    def __init__(self, local: Local, *arguments: str) -> None:
        self.keyboard, screen = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SESSION, *arguments],
            cwd=ROOT,
            env=local.env | {"TERM": "xterm", "COLUMNS": "100"},
            stdin=screen,
            stdout=screen,
            stderr=screen,
        )
        os.close(screen)
        self._shown = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                self._shown += os.read(self.keyboard, 4096)
            except OSError:  # The last process that had the terminal is gone.
                return

    @property
    def shown(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._shown.decode(errors="replace"))

    def press_ctrl_c(self) -> None:
        os.write(self.keyboard, b"\x03")

    def close(self) -> int:
        try:
            return self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            self._reader.join(DEADLINE)
            os.close(self.keyboard)


@pytest.fixture
def up(local: Local) -> Iterator[Terminal]:
    terminal = Terminal(local, "up", "--no-agents")
    yield terminal
    if terminal.process.returncode is None:
        terminal.process.kill()
        terminal.close()


def test_up_shows_what_it_waits_for(local: Local, up: Terminal) -> None:
    assert up.close() == 0, up.shown
    assert re.search(r"updating the stack \(\d+ s\)", up.shown)
    assert re.search(r"✓ pulumi up \d", up.shown)
    assert "1 of 1 machines answer" in up.shown
    local.ok("down")


def test_ctrl_c_twice(local: Local, up: Terminal) -> None:
    until(lambda: "updating the stack" in up.shown, "the update")
    up.press_ctrl_c()
    up.press_ctrl_c()
    assert up.close() == 130, up.shown
    assert "stopped; nothing is left running" in up.shown
    assert "Traceback" not in up.shown
    assert local.processes() == {}
