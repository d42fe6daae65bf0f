"""Acting on the stack: one operation at a time, and when it failed, not again at once."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from autoscaler import backoff, plan
from autoscaler.actuator import Actuator, Outcome
from autoscaler.backoff import Retry
from autoscaler.plan import Change
from autoscaler.world import Clock, FleetPort
from contracts.errors import AgentDockerError
from contracts.slots import SlotSet
from operations.errors import Busy, Conflict, Failed, LeaseLost
from operations.known import Known
from operations.stack import Applied
from providers.vastai.errors import NoSuchOffer

UPDATE, RECOVER = "update", "recover"
# With the waits between them about half a minute.
_BUSY_TRIES = 4


@dataclass(frozen=True, kw_only=True)
class Avoid:
    """Machines and hosts that new rentals avoid; `now_on` is the machine of each slot."""

    machines: frozenset[int] = frozenset()
    hosts: frozenset[int] = frozenset()
    now_on: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(kw_only=True)
class Hands:
    """Begins operations on `fleet` and takes their outcome in."""

    fleet: FleetPort
    clock: Clock
    spread: Callable[[], float]
    actuator: Actuator = field(default_factory=Actuator)

    # The error that the last operation ended with, until one succeeds.
    trouble: str | None = field(default=None, init=False)
    # The count that the running or last update was begun with.
    count: int = field(default=0, init=False)
    # The update up to which previews of ours have shown no surprise.
    _shown: int | None = field(default=None, init=False)
    _retry: Retry = field(default_factory=Retry, init=False)

    @property
    def busy(self) -> str | None:
        """What runs."""
        return self.actuator.running

    @property
    def free(self) -> bool:
        """Whether an operation may begin now."""
        return self.busy is None and self._retry.may(self.clock.mono())

    @property
    def must_recover(self) -> bool:
        """Whether nothing else may come before a recovery."""
        return self._retry.recover

    def ask_recovery(self) -> None:
        """Recover before anything else."""
        self._retry = replace(self._retry, recover=True)

    def failed(self, error: AgentDockerError, name: str) -> None:
        """Something of the stack failed: wait before the next try.

        That somebody else is at work on it is no trouble unless it lasts.
        """
        passing = isinstance(error, Conflict | LeaseLost) or (
            isinstance(error, Busy) and self._retry.failures < _BUSY_TRIES
        )
        if not passing:
            self.trouble = f"{name}: {error.message}"
        now = self.clock.mono()
        self._retry = backoff.after(error, self._retry, now, spread=self.spread())

    def recover(self, fence: int | None, *, end_at_most: int, spare: Collection[str] = ()) -> None:
        """Begin a recovery; the machines of the slots `spare` serve, so they stay."""
        fleet = self.fleet.under(fence)
        self.actuator.begin(RECOVER, lambda: fleet.recover(end_at_most=end_at_most, spare=spare))

    def update(
        self, fence: int | None, known: Known, change: Change, avoid: Avoid, maximum: int
    ) -> None:
        """Begin one update that does all of `change`."""
        current = known.state.slots or SlotSet()
        wanted = plan.wanted(
            current,
            change,
            namer=known.namer,
            maximum=maximum,
            machines=avoid.machines,
            hosts=avoid.hosts,
            now_on=avoid.now_on,
        )
        fleet = self.fleet.under(fence)
        moving = [name for name in change.replace if name in wanted.names]

        # A burst should not wait for what the last update of ours has shown: nobody has updated the
        # stack since, or the base is refused, so an update that only adds can end nothing.
        preview = not (change.only_adds and known.state.updates == self._shown)

        def operation() -> Applied:
            slots = wanted
            for name in moving:
                slots = _if_offered(fleet, known, slots, current, name)
            return fleet.apply(slots, state=known.state, preview=preview, message="autoscaler")

        self.count = change.count
        self.actuator.begin(UPDATE, operation)

    def collect(self) -> Outcome | None:
        """The outcome of an operation that has ended, once; a bug in it is raised."""
        outcome = self.actuator.collect()
        if outcome is None:
            return None
        self._shown = None
        if isinstance(outcome.result, Applied):
            self._shown = outcome.result.state.updates
        if outcome.error is None:
            self.trouble, self._retry = None, Retry()
        elif isinstance(outcome.error, AgentDockerError | OSError):
            self.failed(backoff.as_failure(outcome.error), outcome.name)
        else:
            # Not again at each tick.
            self.failed(Failed(f"a mistake: {type(outcome.error).__name__}"), outcome.name)
            raise outcome.error
        return outcome

    def forget(self) -> None:
        """There is nothing any more that could be recovered or changed."""
        self.trouble, self._retry = None, Retry()

    def rest(self) -> None:
        """Nothing is to be done: what went wrong before is over."""
        self.trouble = None
        self._retry = Retry(recover=self._retry.recover)


def _if_offered(
    fleet: FleetPort, known: Known, slots: SlotSet, current: SlotSet, name: str
) -> SlotSet:
    """`slots`, with `name` left where it is when nothing could be rented in its place."""
    try:
        fleet.require_offer(slots.slot(name), known.fleet)
    except NoSuchOffer:
        return slots.with_slot(current.slot(name))
    return slots
