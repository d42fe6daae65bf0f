"""What the autoscaler remembers between ticks and over restarts: one small document.

Losing it is always safe: drains are cancelled and their slots registered again, clocks start anew,
and no machine is forgotten, because machines are never remembered here.
"""

from pydantic import BaseModel, ConfigDict, Field

from autoscaler.model import Memory


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Drain(_Part):
    """A slot that gets no new work since `since`.

    `contract` is the machine that drains: a slot may get another one. `counted` when the router
    has told of its requests in flight, so that a row that is gone means that they have ended.
    Not `served` when nothing can ever have been sent there: what drains is not registered either.
    """

    contract: int
    since: float
    counted: bool = False
    served: bool = True
    reason: str = ""


class Failure(_Part):
    """A machine that failed: how often, when last, and whose it is."""

    count: int
    last: float
    host: int | None = None


class Attempt(_Part):
    """How often a slot was replaced without becoming ready, and when last."""

    count: int
    last: float


class Remembered(_Part):
    """Times are epoch seconds; `contract` is Vast.ai's id of a rental."""

    quiet_since: float | None = None
    grown_at: float | None = None
    # First answer of each contract, and since when it does not answer.
    ready: dict[int, float] = Field(default_factory=dict)
    silent: dict[int, float] = Field(default_factory=dict)
    drains: dict[str, Drain] = Field(default_factory=dict)
    # By machine id.
    failures: dict[int, Failure] = Field(default_factory=dict)
    # By slot.
    attempts: dict[str, Attempt] = Field(default_factory=dict)
    # Endpoints that were registered from here.
    registered: frozenset[str] = frozenset()
    # First sight of each contract that is in no slot.
    orphans: dict[int, float] = Field(default_factory=dict)
    # Slots whose machine the update ends that runs, or that was cut off: they get no work.
    leaving: frozenset[str] = frozenset()

    @property
    def memory(self) -> Memory:
        """The policy's part."""
        return Memory(quiet_since=self.quiet_since, grown_at=self.grown_at)

    def with_memory(self, memory: Memory) -> "Remembered":
        """The same with another policy's part."""
        return self.model_copy(
            update={"quiet_since": memory.quiet_since, "grown_at": memory.grown_at}
        )

    def until(self, now: float) -> "Remembered":
        """Without the future: times that lie ahead were written by a wrong clock."""
        return self.model_copy(
            update={
                "silent": {c: min(at, now) for c, at in self.silent.items()},
                "orphans": {c: min(at, now) for c, at in self.orphans.items()},
                "drains": {
                    slot: drain.model_copy(update={"since": min(drain.since, now)})
                    for slot, drain in self.drains.items()
                },
                "failures": {
                    machine: failure.model_copy(update={"last": min(failure.last, now)})
                    for machine, failure in self.failures.items()
                },
                "attempts": {
                    slot: attempt.model_copy(update={"last": min(attempt.last, now)})
                    for slot, attempt in self.attempts.items()
                },
            }
        )

    def without_times(self) -> "Remembered":
        """After the clock was set: no time that was written before means anything any more."""
        return self.model_copy(
            update={
                "quiet_since": None,
                "grown_at": None,
                "silent": {},
                "orphans": {},
                "drains": {},
                "attempts": {},
            }
        )
