"""Vast.ai's rate limits: a minimum interval per endpoint and identity."""

from dataclasses import dataclass, field

CREATE_PENALTY = 12.0
TOLERANCE = 0.1


@dataclass
class RateLimits:
    """Who called what when, in real seconds: limits protect the API, not the emulated world."""

    enabled: bool = False
    form: str = "text"
    """How a 429 looks: `text`, `json` or `retry_after`."""
    _next: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])

    def wait(self, endpoint: str, interval: float, identity: str, now: float) -> float:
        """Return 0 and count the call, or the seconds until one is allowed again.

        A call may come a tenth early. A refused create is punished once with 12 s.
        """
        if not self.enabled or not interval:
            return 0.0
        key = (endpoint, identity)
        allowed = self._next.get(key, now)
        if now >= allowed:
            self._next[key] = now + interval * (1 - TOLERANCE)
            return 0.0
        if endpoint == "create" and allowed - now <= interval:
            self._next[key] = allowed = now + CREATE_PENALTY
        return allowed - now

    def clear(self) -> None:
        """Forget all calls."""
        self._next.clear()
