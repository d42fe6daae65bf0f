"""agent-router knows exactly the machines that are ready: compared and corrected at each tick."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from contracts.outputs import InstanceOutput
from providers import agent_router
from providers.agent_router import Registration, RouterError

_PATIENCE = 5.0
# For all that a tick has to tell; the rest waits for the next one.
_SYNC_SECONDS = 30.0


class Router(Protocol):
    """What is needed of agent-router; each call raises RouterError."""

    def providers(self) -> list[dict[str, Any]]:
        """The rows it works with."""
        ...

    def register(self, registration: Registration) -> None:
        """Add or replace a row."""
        ...

    def deregister(self, endpoint: str) -> None:
        """Send no new work there."""
        ...


@dataclass(frozen=True, kw_only=True)
class HttpRouter:
    """agent-router over HTTP; a tick must not wait long for it."""

    url: str
    http: httpx.Client = field(default_factory=lambda: agent_router.client(_PATIENCE), repr=False)

    def providers(self) -> list[dict[str, Any]]:
        """The rows it works with."""
        return agent_router.providers(self.url, http=self.http)

    def register(self, registration: Registration) -> None:
        """Add or replace a row."""
        agent_router.register(self.url, registration, http=self.http)

    def deregister(self, endpoint: str) -> None:
        """Send no new work there."""
        agent_router.deregister(self.url, endpoint, http=self.http)


@dataclass(frozen=True, kw_only=True)
class Synced:
    """What was done, which endpoints the router has from here now, and what it refused."""

    registered: tuple[str, ...] = ()
    deregistered: tuple[str, ...] = ()
    endpoints: frozenset[str] = frozenset()
    errors: tuple[str, ...] = ()


def sync(
    router: Router,
    rows: Sequence[Mapping[str, Any]],
    *,
    ready: Sequence[InstanceOutput],
    ours: frozenset[str],
    models: Sequence[str],
    clock: Callable[[], float] = time.monotonic,
) -> Synced:
    """Make the router's `rows` agree with the machines that are `ready`.

    `ours` are the endpoints that may be taken out; rows of anybody else are never touched. One
    refusal keeps nothing else from being done, but a router that hangs at each call does.
    """
    end = clock() + _SYNC_SECONDS
    wanted = {record.endpoint: _registration(record, models) for record in ready}
    present = {str(row.get("endpoint")): row for row in rows}
    added: list[str] = []
    removed: list[str] = []
    errors: list[str] = []
    leaving = [endpoint for endpoint in present if endpoint in ours and endpoint not in wanted]
    # What is to go comes first: somebody waits for it.
    for endpoint in leaving:
        if not present[endpoint].get("draining") and clock() < end:
            _attempt(lambda e=endpoint: router.deregister(e), endpoint, removed, errors)
    for endpoint, registration in wanted.items():
        if not _says(present.get(endpoint), registration) and clock() < end:
            _attempt(lambda r=registration: router.register(r), endpoint, added, errors)
    still = {e for e in leaving if not present[e].get("draining") and e not in removed}
    known = {e for e in wanted if e in present or e in added}
    return Synced(
        registered=tuple(added),
        deregistered=tuple(removed),
        endpoints=frozenset(known | still),
        errors=tuple(errors),
    )


def _attempt(call: Any, endpoint: str, done: list[str], errors: list[str]) -> None:  # noqa: ANN401 - a thunk
    try:
        call()
    except RouterError as error:
        errors.append(error.message)
    else:
        done.append(endpoint)


def _registration(record: InstanceOutput, models: Sequence[str]) -> Registration:
    return Registration(
        endpoint=record.endpoint,
        models=list(models),
        gpu_type=record.gpu,
        cost_per_hour=record.cost_per_hour,
    )


def _says(row: Mapping[str, Any] | None, registration: Registration) -> bool:
    """Whether the row tells the router what it should; one that drains must be taken back."""
    if row is None or row.get("draining"):
        return False
    told = {
        "models": list(registration.models),
        "gpu_type": registration.gpu_type,
        "cost_per_hour": registration.cost_per_hour,
    }
    # A router that does not repeat a field is not asked to for ever.
    return all(name not in row or row[name] == value for name, value in told.items())
