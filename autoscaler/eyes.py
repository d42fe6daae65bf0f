"""Looking: the stack, the account, the machines and the router, once a tick.

Reading the stack takes a process and seconds, so it is read again only when something tells that
it has changed, and after a while anyway.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from autoscaler import backoff, observe
from autoscaler.backoff import Retry
from autoscaler.health import Sight
from autoscaler.observe import Account
from autoscaler.problems import Problems, Topic
from autoscaler.registrar import Router
from autoscaler.world import Clock, CloudPort, FleetPort, Probe
from contracts.errors import AgentDockerError
from contracts.narrowing import is_object
from operations.errors import Failed, Interrupted
from operations.known import Known
from operations.process import Limits
from operations.state import StackState
from providers.agent_router import RouterError

# A stack that nobody seems to have touched is still read so often, in seconds.
READ_AGAIN = 300.0
# A tick waits for it. It takes seconds, and nothing is lost when it is ended.
READING = Limits(timeout=60.0, first_wait=5.0, second_wait=5.0)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one tick saw. `rows` is None when there is no router, or it did not answer."""

    known: Known
    account: Account
    sights: tuple[Sight, ...]
    router: Router | None
    rows: Sequence[Mapping[str, Any]] | None

    @property
    def router_answers(self) -> bool | None:
        """None when there is no router."""
        return None if self.router is None else self.rows is not None

    @property
    def endpoints(self) -> frozenset[str]:
        """Where this fleet's machines are."""
        return frozenset(sight.record.endpoint for sight in self.sights if sight.record)


@dataclass(kw_only=True)
class Eyes:
    """Sees the fleet. `router` gives a client for a URL, `router_url` wins over the stack's."""

    fleet: FleetPort
    cloud: CloudPort
    probe: Probe
    router: Callable[[str], Router]
    router_url: str | None
    clock: Clock
    spread: Callable[[], float]

    known: Known | None = field(default=None, init=False)
    # Whether the stack must be read before anything is decided from it.
    stale: bool = field(default=True, init=False)
    # Why the stack could not be read last.
    trouble: str | None = field(default=None, init=False)
    _read_at: float = field(default=0.0, init=False)
    _retry: Retry = field(default_factory=Retry, init=False)
    _unexplained: frozenset[int] = field(default_factory=frozenset[int], init=False)

    @property
    def fence(self) -> int:
        """The number of the last update's lease; 0 before the first."""
        return (self.known.state.fence or 0) if self.known else 0

    def read(self) -> bool:
        """Read the stack if that is due; whether it was read. `trouble` says why not."""
        now = self.clock.mono()
        due = self.stale or self.known is None or now - self._read_at >= READ_AGAIN
        if not due or not self._retry.may(now):
            return False
        try:
            self.known = self.fleet.known()
        except (AgentDockerError, OSError) as found:
            error = unread(found)
            self.trouble, self.stale = error.message, True
            self._retry = backoff.after(error, self._retry, now, spread=self.spread())
            return False
        self._read_at, self.stale = now, False
        self.trouble, self._retry = None, Retry()
        return True

    def updated(self, state: StackState) -> None:
        """The stack is in this `state` now, by the word of an update of ours."""
        if self.known is not None:
            self.known = replace(self.known, state=state)
        self.stale = self.known is None

    def look(self, known: Known, problems: Problems, *, busy: bool) -> Look | None:
        """The fleet as it is; None when the account cannot be read.

        While it is `busy` (an update of ours runs), account and stack may differ.
        """
        url = self.router_url or known.fleet.router
        router = self.router(url) if url else None
        rows = self._rows(router, problems)
        with problems.caught(Topic.CLOUD):
            seen = observe.account(known, self.cloud.instances())
            gone = self._gone(seen) if not busy else frozenset[int]()
            sights = observe.sights(known, seen, gone=gone, rows=rows or (), probe=self.probe)
            return Look(known=known, account=seen, sights=sights, router=router, rows=rows)
        return None

    def _gone(self, seen: Account) -> frozenset[int]:
        """Which recorded machines are proved gone, once the stack was read for the difference."""
        unexplained = frozenset([*seen.missing, *(machine.id for machine in seen.strays)])
        news = unexplained - self._unexplained
        self._unexplained = unexplained
        if news:
            # Perhaps only somebody's update that was not read yet.
            self.stale = True
            return frozenset()
        return observe.proved_gone(self.cloud, seen.missing)

    @staticmethod
    def _rows(router: Router | None, problems: Problems) -> Sequence[Mapping[str, Any]] | None:
        if router is None:
            return None
        try:
            # Rows that are none are nobody's.
            return [row for row in router.providers() if is_object(row)]
        except RouterError as error:
            problems.add(Topic.ROUTER, error.message)
            return None


def unread(found: AgentDockerError | OSError) -> AgentDockerError:
    """Why the stack could not be read."""
    if isinstance(found, Interrupted):
        return Failed(f"the stack could not be read within {READING.timeout:g} s")
    return backoff.as_failure(found)
