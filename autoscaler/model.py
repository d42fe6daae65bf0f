"""What the autoscaler sees, may do and decides, as plain data. Nothing here reads a clock."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

Step = Literal["one", "auto"]


class Phase(StrEnum):
    """Where a slot stands; the order is that in which slots are given up."""

    DRAINING = "draining"  # gets no new work; its requests in flight are waited for
    UNHEALTHY = "unhealthy"  # was ready once, does not answer now
    STARTING = "starting"  # rented, has never answered
    READY = "ready"  # answers


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a signal read: requests waiting, and requests being served where the queue knows.

    `at` is when it was read, in epoch seconds.
    """

    depth: int
    in_flight: int | None = None
    at: float


@dataclass(frozen=True, kw_only=True)
class Member:
    """One slot of the fleet.

    `utilization` is the part of its capacity in use, 0 to 1; `age` the seconds since its machine
    was rented; `cost_per_hour` in $. An `empty` one has no machine: the next update rents it one.
    """

    slot: str
    phase: Phase
    utilization: float = 0.0
    age: float = 0.0
    cost_per_hour: float = 0.0
    empty: bool = False


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The world at one tick. `queue` is None when the signal could not be read.

    `strays_per_hour` is what machines in no slot cost, $/h. `spent_today` is in $ since midnight
    UTC, None when the ledger does not know it.
    """

    at: float
    queue: Reading | None
    members: tuple[Member, ...] = ()
    strays_per_hour: float = 0.0
    spent_today: float | None = 0.0

    @property
    def cost_per_hour(self) -> float:
        """What the fleet costs now, $/h."""
        return sum(member.cost_per_hour for member in self.members) + self.strays_per_hour


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a decision must stay within.

    `scale_up` and `scale_down` are queue depths. `stabilization` is how long, in seconds, the
    queue must have been quiet before a slot is given up, and how long after the last growth.
    `stale` is the oldest reading, in seconds, that counts. `price` is the dearest $/h of one more
    machine. Budgets are in $; None means none.
    """

    minimum: int
    maximum: int
    scale_up: int = 100
    scale_down: int = 10
    step: Step = "one"
    stabilization: float = 300.0
    stale: float = 120.0
    price: float = 0.0
    hourly_budget: float | None = None
    daily_budget: float | None = None


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What a policy remembers between ticks, in epoch seconds; an empty one is always safe."""

    quiet_since: float | None = None
    grown_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """How many slots the fleet shall have, which go first, by which rule and why."""

    slots: int
    victims: tuple[str, ...] = ()
    rule: str
    reason: str
    memory: Memory = field(default_factory=Memory)
