"""The container's command: how it is asked to end."""

import signal
import threading
from collections.abc import Iterator

import pytest

from autoscaler.__main__ import on_signals

BOTH = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in BOTH}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_waits_for_no_lock_that_it_may_have_interrupted(number: signal.Signals) -> None:
    """As of the log, which the main thread writes to at that very moment."""
    lock, heard = threading.Lock(), threading.Semaphore(0)
    told: list[int] = []

    def stop(found: int) -> None:
        # With a limit, so that one that runs inside of the handler fails and does not hang.
        with_lock = lock.acquire(timeout=5)
        told.append(found if with_lock else 0)
        lock.release()
        heard.release()
        raise OSError(28, "the log cannot be written")

    on_signals(stop)
    with lock:
        signal.raise_signal(number)
        assert told == []
    assert heard.acquire(timeout=10)
    # Each one is told of, whatever became of the one before.
    signal.raise_signal(number)
    assert heard.acquire(timeout=10)
    assert told == [number, number]
