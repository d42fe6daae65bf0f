"""One operation on the stack at a time, in a thread, so that looking at the fleet goes on."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an operation ended: with a result or with an error, after `seconds`."""

    name: str
    seconds: float = 0.0
    result: Any = None
    error: Exception | None = None


class Actuator:
    """Runs what it is given; `done` is called from its thread when that has ended."""

    def __init__(
        self,
        done: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._began = 0.0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="operation")
        self._done = done
        self._name = ""
        self._running: Future[Any] | None = None

    @property
    def running(self) -> str | None:
        """What runs, or has ended and was not collected; None when there is nothing."""
        return self._name if self._running is not None else None

    def begin(self, name: str, operation: Callable[[], Any]) -> None:
        """Start `operation`; only when nothing runs."""
        assert self._running is None, "one operation at a time"  # noqa: S101 - the caller looked
        self._name, self._began = name, self._clock()
        self._running = self._pool.submit(operation)
        self._running.add_done_callback(lambda _: self._done())

    def collect(self) -> Outcome | None:
        """How the operation ended, once; None while it runs, or when there was none."""
        running = self._running
        if running is None or not running.done():
            return None
        self._running = None
        error = running.exception()
        if error is not None and not isinstance(error, Exception):
            raise error
        result = None if error else running.result()
        seconds = self._clock() - self._began
        return Outcome(name=self._name, seconds=seconds, result=result, error=error)

    def wait(self, seconds: float) -> None:
        """Until the operation has ended, or `seconds` are over."""
        running = self._running
        if running is None:
            return
        ended = threading.Event()
        running.add_done_callback(lambda _: ended.set())
        ended.wait(seconds)

    def close(self) -> None:
        """Take no more work."""
        self._pool.shutdown(wait=False)
