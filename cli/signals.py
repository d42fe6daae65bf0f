"""Ctrl-C, SIGTERM and a closed terminal: each asks a command to end, which it does in good order.

A person presses Ctrl-C more than once. Where something must be put back, only the first one is
obeyed (`once`), and none while it is being put back (`deaf`).
"""

import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

_ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """What this process was asked; a stop is a KeyboardInterrupt in the main thread."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._once = False
        self._deaf = False

    def install(self) -> None:
        """Answer the signals from now on; `nohup` stays in force."""
        for number in _ASKING:
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            signal.signal(number, self.asked)

    def asked(self, number: int, _frame: FrameType | None = None) -> None:
        """Handle a signal."""
        again = self.number is not None
        self.number = self.number or number
        if not self._deaf and not (again and self._once):
            raise KeyboardInterrupt

    def check(self) -> None:
        """Stop here if a stop was asked for: an interrupt may be lost in a destructor."""
        if self.number is not None and not self._deaf:
            raise KeyboardInterrupt

    @property
    def exit_code(self) -> int | None:
        """128 + the signal, as shells count; None when nothing was asked."""
        return None if self.number is None else 128 + self.number

    def obey_once(self) -> None:
        """From now on only the first signal interrupts."""
        self._once = True

    def obey_none(self) -> None:
        """From now on no signal interrupts: all that is left is to say how it ended."""
        self._deaf = True
        for number in _ASKING:
            # Ignored by the system too: the interpreter gives up its handlers before it ends.
            signal.signal(number, signal.SIG_IGN)

    @contextmanager
    def deaf(self) -> Generator[None]:
        """No signal interrupts what is done here."""
        earlier, self._deaf = self._deaf, True
        try:
            yield
        finally:
            self._deaf = earlier

    def commit(self) -> None:
        """All is done: a signal comes too late from here on. Stops if one came before."""
        self._deaf = True
        if self.number is not None:
            self._deaf = False
            raise KeyboardInterrupt
        self.obey_none()


stop = Signals()
