"""What the loop needs of the world, as ports: tests put others in their place."""

import asyncio
import ssl
import time
from collections.abc import Callable, Collection, Iterable, Mapping
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
_PROBES_AT_ONCE = 64


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

    def recover(self, *, end_at_most: int | None = None, spare: Collection[str] = ()) -> Recovery:
        """Bring account, state and slots back together; the machines of `spare` stay."""
        ...

    def under(self, fence: int | None) -> "FleetPort":
        """The same under the lease of that number."""
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
    """Asks many machines at once whether they are healthy; one that is slow is not.

    They are strangers' hosts: whatever one sends, it gets its seconds and no more, and of its
    answer only the status is read.
    """

    transport: httpx.AsyncBaseTransport | None = None
    # Loading the trust store costs 35 ms of CPU.
    _tls: ssl.SSLContext = field(default_factory=httpx.create_ssl_context, init=False)
    # Kept: the end of a loop would wait for names that nobody resolves.
    _runner: asyncio.Runner = field(default_factory=asyncio.Runner, init=False)

    def __post_init__(self) -> None:
        # Names are resolved in threads, and those of machines that are gone take their time.
        threads = ThreadPoolExecutor(_PROBES_AT_ONCE, thread_name_prefix="resolver")
        self._runner.get_loop().set_default_executor(threads)

    def close(self) -> None:
        """Ask nobody any more."""
        self._runner.close()

    def __call__(self, urls: Mapping[str, str]) -> Mapping[str, bool]:
        """Which of `urls`, by name, answer."""
        return self._runner.run(self._ask(urls)) if urls else {}

    async def _ask(self, urls: Mapping[str, str]) -> Mapping[str, bool]:
        at_once = asyncio.Semaphore(_PROBES_AT_ONCE)
        async with httpx.AsyncClient(
            timeout=_PROBE_SECONDS,
            trust_env=False,
            verify=self._tls,
            limits=httpx.Limits(max_keepalive_connections=0),
            transport=self.transport,
        ) as http:
            answers = [self._answers(http, url, at_once) for url in urls.values()]
            return dict(zip(urls, await asyncio.gather(*answers), strict=True))

    @staticmethod
    async def _answers(http: httpx.AsyncClient, url: str, at_once: asyncio.Semaphore) -> bool:
        try:
            # httpx's own seconds are for each piece of an answer, its header's too.
            async with at_once, asyncio.timeout(_PROBE_SECONDS), http.stream("GET", url) as answer:
                return answer.is_success
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
            return False


def ids(instances: Iterable[Instance]) -> frozenset[int]:
    """The contracts among `instances`."""
    return frozenset(instance.id for instance in instances)
