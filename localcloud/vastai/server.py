"""Running the emulator: in the foreground for the command, in a thread for tests."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar, Unpack

from uvicorn.protocols.http.h11_impl import H11Protocol

from localcloud.serving import Bound, listen, serving
from localcloud.vastai.api.app import create_app
from localcloud.vastai.api.edge import CUT, Edge
from localcloud.vastai.cloud import Cloud
from localcloud.vastai.machines.addresses import Addresses, available_addresses
from localcloud.vastai.machines.servers import Machines
from localcloud.vastai.settings import Options, Settings

T = TypeVar("T")
CALL_SECONDS = 20.0


class _CuttableProtocol(H11Protocol):
    """HTTP whose connections the application can cut without an answer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed through
        super().__init__(*args, **kwargs)
        served = self.app

        async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
            scope[CUT] = self.transport.abort
            await served(scope, receive, send)

        self.app = app


class Emulator(Bound):
    """One emulator bound to its port, not serving yet; once served, no machine answers any more."""

    def __init__(self, settings: Settings, sock: socket.socket, addresses: Addresses) -> None:
        self.cloud = Cloud(settings)
        self.edge = Edge(self.cloud, Machines(self.cloud, addresses))
        super().__init__(create_app(self.edge), sock, http=_CuttableProtocol)

    def stop(self) -> None:
        """Let `serve` return; waiting calls are cut."""
        self.edge.holds.stop()
        super().stop()


@dataclass(frozen=True)
class RunningCloud:
    """An emulator that serves from a thread."""

    url: str
    """What `VAST_URL` is set to."""
    admin_url: str
    addresses: Addresses
    emulator: Emulator
    loop: asyncio.AbstractEventLoop

    @property
    def cloud(self) -> Cloud:
        """The state. Look at it from any thread; change it only through `run`."""
        return self.emulator.cloud

    @property
    def endpoint_template(self) -> str:
        """A format string for machines' URLs, as in the start line."""
        return self.addresses.template

    @property
    def machines(self) -> str:
        """`addresses` or `ports`."""
        return self.addresses.kind

    def endpoint(self, rental_id: int) -> str:
        """Return the base URL of a rental's machine."""
        return self.addresses.url(rental_id)

    def run(self, change: Callable[[Cloud], T]) -> T:
        """Call `change` with the cloud on the emulator's loop; machines follow."""

        async def changed() -> T:
            await self.emulator.edge.sync()
            result = change(self.cloud)
            await self.emulator.edge.sync()
            return result

        return asyncio.run_coroutine_threadsafe(changed(), self.loop).result(CALL_SECONDS)

    def start_line(self) -> dict[str, str]:
        """Return what the command prints when it is ready."""
        return start_line(self.url, self.addresses)


def start_line(url: str, addresses: Addresses) -> dict[str, str]:
    """Return the facts that a parent process needs."""
    return {
        "url": url,
        "admin_url": f"{url}/_admin",
        "endpoint_template": addresses.template,
        "machines": addresses.kind,
    }


@contextlib.contextmanager
def running_cloud(**options: Unpack[Options]) -> Generator[RunningCloud]:
    """Run an emulator in a thread; on leaving, its server and all machines are closed."""
    settings = Settings(**options)
    addresses = available_addresses()
    sock, url = listen(settings.port)
    with sock:
        emulator = Emulator(settings, sock, addresses)
        with serving(emulator, "emulator") as loop:
            yield RunningCloud(url, f"{url}/_admin", addresses, emulator, loop)
