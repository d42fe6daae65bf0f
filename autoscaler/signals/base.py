"""What every signal promises, and what passes for a number of requests; it reads no queue."""

import math
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from autoscaler.model import Reading
from contracts.errors import AgentDockerError

# Above this it is a counter, a timestamp or a byte size, but no queue that machines could work off.
MOST = 10**9


class SignalUnreadable(AgentDockerError):
    """The queue could not be read, or what it says is no number of requests: hold the fleet."""


class Signal(Protocol):
    """One queue, read again and again from one thread."""

    def read(self) -> Reading:
        """What the queue holds now; SignalUnreadable when that cannot be told.

        It is one attempt that ends within seconds. After a failure the next read starts afresh,
        with a new connection where the old one broke.
        """
        ...

    def close(self) -> None:
        """Give the connections back; closing twice is harmless."""
        ...


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a signal gets from whoever makes it. `now` is in epoch seconds.

    `redis_url` is the autoscaler's own Redis; like `env` it may hold a secret, so neither is shown.
    """

    redis_url: str = field(repr=False)
    env: Mapping[str, str] = field(repr=False)
    now: Callable[[], float]


def whole(value: object, what: str) -> int:
    """`value` as a number of requests, a fraction rounded up; `what` names it in the error.

    A fraction comes from averages: 0.2 requests waiting means that some do wait.
    """
    # A bool is an int to Python; to a queue it is a mistake.
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MOST:
        return math.ceil(value)
    raise SignalUnreadable(f"{what} is {reprlib.repr(value)}, expected a number from 0 to 10^9")
