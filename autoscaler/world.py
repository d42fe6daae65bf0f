"""What the loop needs of the world, as ports: tests put others in their place."""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import httpx

from contracts.fleet import FleetSettings
from contracts.slots import Slot, SlotSet
from operations.known import Known
from operations.recovery_plan import Recovery
from operations.stack import Applied
from operations.state import StackState
from providers.vastai.models import Instance

_PROBE_SECONDS = 3.0
_PROBES_AT_ONCE = 16


class FleetPort(Protocol):
    """The gpu stack, as `operations.fleet.Fleet`; errors are those of `operations.errors`."""

    def known(self) -> Known:
        """What the stack records; seconds of work in a child process."""
        ...

    def is_whole(self, state: StackState) -> bool:
        """Whether no update was cut off half-way."""
        ...

    def require_offer(self, slot: Slot, fleet: FleetSettings) -> None:
        """NoSuchOffer when nothing could be rented for `slot` now."""
        ...

    def apply(
        self,
        wanted: SlotSet,
        *,
        state: StackState | None = None,
        preview: bool = True,
        message: str | None = None,
    ) -> Applied:
        """Give the fleet exactly these slots."""
        ...

    def recover(self, *, end_at_most: int | None = None) -> Recovery:
        """Bring account, state and slots back together."""
        ...

    def under(self, fence: int | None) -> "FleetPort":
        """The same under the lease of that number."""
        ...

    def stop(self) -> None:
        """Ask what runs to end; from any thread."""
        ...


class CloudPort(Protocol):
    """The account, as `providers.vastai.client.VastClient`; raises VastError."""

    def instances(self) -> list[Instance]:
        """Every rental of the account."""
        ...

    def instance(self, contract: int) -> Instance:
        """One rental; NotFound only when it is proved gone."""
        ...


Probe = Callable[[Mapping[str, str]], Mapping[str, bool]]


@dataclass(frozen=True, kw_only=True)
class Clock:
    """`wall` in epoch seconds may be set at any time; `mono` only ever grows."""

    wall: Callable[[], float] = time.time
    mono: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class HttpProbe:
    """Asks many machines at once whether they are healthy; one that is slow is not."""

    http: httpx.Client = field(
        default_factory=lambda: httpx.Client(timeout=_PROBE_SECONDS, trust_env=False)
    )

    def __call__(self, urls: Mapping[str, str]) -> Mapping[str, bool]:
        """Which of `urls`, by name, answer."""
        if not urls:
            return {}
        with ThreadPoolExecutor(min(_PROBES_AT_ONCE, len(urls))) as pool:
            return dict(zip(urls, pool.map(self._answers, urls.values()), strict=True))

    def _answers(self, url: str) -> bool:
        try:
            return self.http.get(url).is_success
        except httpx.HTTPError:
            return False


def ids(instances: Iterable[Instance]) -> frozenset[int]:
    """The contracts among `instances`."""
    return frozenset(instance.id for instance in instances)
