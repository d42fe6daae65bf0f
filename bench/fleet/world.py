"""The simulated world as data: what it is like, its machines, and what came of a run."""

import math
from dataclasses import dataclass, field
from random import Random


@dataclass(frozen=True, kw_only=True)
class World:
    """Times in seconds, rates in tokens per second, the price in $/h.

    The defaults are assumptions until there are measurements: `parallel` requests are served at
    once by a machine, each as fast as if it were alone. Boots are lognormal within bounds; what
    has not answered by the deadline is given back and rented anew. `reports`: the router tells
    utilizations.
    """

    parallel: int = 4
    prefill: float = 1000.0
    decode: float = 15.0
    tick: float = 60.0
    boot_median: float = 180.0
    boot_sigma: float = 0.5
    boot_bounds: tuple[float, float] = (60.0, 600.0)
    boot_failures: float = 0.1
    boot_deadline: float = 300.0
    drain_deadline: float = 120.0
    price: float = 0.35
    reports: bool = True

    def service(self, tokens_in: int, tokens_out: int) -> float:
        """How long one request is served."""
        return tokens_in / self.prefill + tokens_out / self.decode

    def boot(self, random: Random) -> float | None:
        """How long the next machine boots; None if it is not ready by the deadline."""
        failed = random.random() < self.boot_failures
        seconds = random.lognormvariate(math.log(self.boot_median), self.boot_sigma)
        least, most = self.boot_bounds
        seconds = min(max(seconds, least), most)
        return None if failed or seconds > self.boot_deadline else seconds


@dataclass(slots=True, eq=False, kw_only=True)
class Machine:
    """One rented machine. `running` are the requests it serves; `deadline` ends its drain."""

    number: int
    created: float
    ready: bool = False
    deadline: float | None = None
    running: set[int] = field(default_factory=set[int])

    @property
    def slot(self) -> str:
        """The name of its place in the fleet."""
        return f"gpu-{self.number}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one run.

    `waits` has, per request, the seconds from its arrival to the start that it finished from.
    `rentals` are (created, destroyed) per machine, `moves` (time, +1 or -1) per machine that a
    decision rented or gave up. `restarted` counts requests thrown back, `replaced` machines that
    were not ready by the boot deadline, `cancelled` drains.
    """

    waits: tuple[float, ...]
    finished: tuple[int, ...]
    rentals: tuple[tuple[float, float], ...]
    moves: tuple[tuple[float, int], ...]
    restarted: int
    replaced: int
    cancelled: int
