"""An append-only log of what happened, and counters of calls."""

from collections import Counter

from localcloud.vastai.clock import Clock
from localcloud.vastai.wire import Json


class EventLog:
    """Events numbered from 0, each with the emulated time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._events: list[Json] = []

    def add(self, event: str, at: float | None = None, **details: object) -> None:
        """Append an event that happened now, or at an emulated moment."""
        moment = self._clock.now() if at is None else at
        self._events.append({"n": len(self._events), "at": moment, "event": event, **details})

    def since(self, first: int) -> list[Json]:
        """Return the events numbered `first` and later."""
        return self._events[max(0, first) :]


class CallCounters:
    """How often each endpoint was called and refused for its rate."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def as_json(self) -> Json:
        """Return the counters by endpoint."""
        return {
            name: {"calls": self.calls[name], "refused": self.refused[name]}
            for name in sorted(self.calls)
        }
