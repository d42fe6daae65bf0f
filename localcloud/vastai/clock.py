"""Emulated time. Nothing else in this package reads a clock."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two times: `now` for boots and bills, `real` for rate limits."""

    def now(self) -> float:
        """Return the emulated time in epoch seconds."""
        ...

    def real(self) -> float:
        """Return unscaled monotonic seconds."""
        ...

    def until(self, moment: float) -> float:
        """Return the real seconds until an emulated moment, never below 0."""
        ...

    def advance(self, seconds: float) -> None:
        """Move the emulated time forward."""
        ...


class ScaledClock:
    """The machine's clock, run `scale` times as fast from the moment of construction."""

    def __init__(self, scale: float = 1.0) -> None:
        if scale <= 0:
            raise ValueError(f"time scale must be positive, got {scale!r}")
        self._scale = scale
        self._epoch = time.time()
        self._started = time.monotonic()

    def now(self) -> float:
        """Return the emulated time in epoch seconds."""
        return self._epoch + (time.monotonic() - self._started) * self._scale

    def real(self) -> float:
        """Return unscaled monotonic seconds."""
        return time.monotonic()

    def until(self, moment: float) -> float:
        """Return the real seconds until an emulated moment, never below 0."""
        return max(0.0, (moment - self.now()) / self._scale)

    def advance(self, seconds: float) -> None:
        """Move the emulated time forward."""
        self._epoch += seconds


class ManualClock:
    """A clock that moves only when told to; for tests."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._now = start

    def now(self) -> float:
        """Return the time it was last moved to."""
        return self._now

    def real(self) -> float:
        """Return the same time: a test moves both together."""
        return self._now

    def until(self, moment: float) -> float:
        """Return the seconds until a moment, never below 0."""
        return max(0.0, moment - self._now)

    def advance(self, seconds: float) -> None:
        """Move forward."""
        self._now += seconds
