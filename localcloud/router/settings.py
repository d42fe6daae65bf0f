"""What one router is started with."""

import math
from dataclasses import dataclass
from typing import TypedDict

DEFAULT_QUEUE = "inference"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Options of one router; the command line has one flag for each."""

    redis_url: str
    """Where the queue is."""
    queue: str = DEFAULT_QUEUE
    """The Redis list that producers push to on the left."""
    port: int = 0
    """TCP port on 127.0.0.1; 0 takes a free one."""
    parallel: int = 4
    """Requests that one provider gets at a time."""
    request_seconds: float = 120.0
    """Real seconds after which a request has failed."""

    def __post_init__(self) -> None:
        if not self.queue:
            raise ValueError("the queue needs a name")
        if self.parallel < 1:
            raise ValueError(f"a provider must get at least 1 request, got {self.parallel!r}")
        if not 0 < self.request_seconds < math.inf:
            raise ValueError(f"request seconds must be positive, got {self.request_seconds!r}")


class Options(TypedDict, total=False):
    """`Settings` as keyword arguments, but for the URL."""

    queue: str
    port: int
    parallel: int
    request_seconds: float
