"""Taking machines in and out of agent-router's service, around a change."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.outputs import InstanceOutput
from providers import agent_router
from providers.agent_router import Registration, RouterError

_POLL_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Drained:
    """How a drain ended: idle, or after its time with requests still in flight."""

    slot: str
    idle: bool
    waited: float


@dataclass(frozen=True, kw_only=True)
class RouterGate:
    """agent-router's view of the fleet; `url` None means that there is no router."""

    url: str | None
    models: Sequence[str]
    deadline: float = 120.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def register(self, record: InstanceOutput) -> bool:
        """Send work to this machine; False when there is no router."""
        if self.url is None:
            return False
        registration = Registration(
            endpoint=record.endpoint,
            models=list(self.models),
            gpu_type=record.gpu,
            cost_per_hour=record.cost_per_hour,
        )
        agent_router.register(self.url, registration)
        return True

    def drain(self, record: InstanceOutput) -> Drained:
        """Send no new work, and wait until what is in flight has ended, or for the deadline.

        A router that does not report requests in flight, or does not answer while we wait, is
        given the whole deadline: silence is not idleness. RouterError when it did not take the
        machine out at all: work still goes there.
        """
        if self.url is None:
            return Drained(slot=record.slot, idle=True, waited=0.0)
        agent_router.deregister(self.url, record.endpoint)
        begun = self.clock()
        while True:
            idle = self._in_flight(record.endpoint) == 0
            waited = self.clock() - begun
            if idle or waited >= self.deadline:
                return Drained(slot=record.slot, idle=idle, waited=waited)
            self.sleep(min(_POLL_SECONDS, self.deadline - waited))

    def _in_flight(self, endpoint: str) -> int | None:
        """Requests in flight at `endpoint`; None when the router does not say."""
        assert self.url is not None  # noqa: S101 - callers looked
        try:
            rows = agent_router.providers(self.url)
        except RouterError:
            return None
        return next((_count(row) for row in rows if row.get("endpoint") == endpoint), None)


def _count(row: dict[str, Any]) -> int | None:
    value = row.get("in_flight")
    # `false` is a number in Python: it must not pass for "none in flight".
    return value if isinstance(value, int) and not isinstance(value, bool) else None
