"""Running the emulator: in the foreground for the command, in a thread for tests."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar, Unpack

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from localcloud.vastai.api.app import create_app
from localcloud.vastai.api.edge import CUT, Edge
from localcloud.vastai.cloud import Cloud
from localcloud.vastai.machines.addresses import Addresses, available_addresses
from localcloud.vastai.machines.servers import Machines
from localcloud.vastai.settings import Options, Settings

T = TypeVar("T")
START_SECONDS = 20.0
CALL_SECONDS = 20.0
BACKLOG = 256


class _CuttableProtocol(H11Protocol):
    """HTTP whose connections the application can cut without an answer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed through
        super().__init__(*args, **kwargs)
        served = self.app

        async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
            scope[CUT] = self.transport.abort
            await served(scope, receive, send)

        self.app = app


class _Server(uvicorn.Server):
    """A server that leaves signals alone, says when it is ready, and can be stopped at any time."""

    on_ready: Callable[[], None]

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Do nothing: whoever runs the server decides what a signal means."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell; a stop that came meanwhile must still close everything."""
        await super().startup(sockets)
        if self.started and self.should_exit:
            await self.shutdown(sockets)
        elif self.started:
            self.on_ready()


class Emulator:
    """One emulator bound to its port, not serving yet."""

    def __init__(self, settings: Settings, sock: socket.socket, addresses: Addresses) -> None:
        self.cloud = Cloud(settings)
        self.edge = Edge(self.cloud, Machines(self.cloud, addresses))
        self._sock = sock
        config = uvicorn.Config(
            create_app(self.edge),
            http=_CuttableProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=5,
        )
        self._server = _Server(config)

    async def serve(self, on_ready: Callable[[], None]) -> None:
        """Serve until `stop`; then no machine answers any more."""
        self._server.on_ready = on_ready
        await self._server.serve([self._sock])

    def stop(self) -> None:
        """Let `serve` return; waiting calls are cut."""
        self.edge.holds.stop()
        self._server.should_exit = True


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


def listen(port: int) -> tuple[socket.socket, str]:
    """Return a listening socket on loopback and its URL."""
    # asyncio turns Nagle's algorithm off only where the protocol is named; left on, it costs each
    # call 40 ms.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock, f"http://127.0.0.1:{sock.getsockname()[1]}"


@contextlib.contextmanager
def running_cloud(**options: Unpack[Options]) -> Generator[RunningCloud]:
    """Run an emulator in a thread; on leaving, its server and all machines are closed."""
    settings = Settings(**options)
    addresses = available_addresses()
    sock, url = listen(settings.port)
    with sock:
        emulator = Emulator(settings, sock, addresses)
        with _serving(emulator) as loop:
            yield RunningCloud(url, f"{url}/_admin", addresses, emulator, loop)


@contextlib.contextmanager
def _serving(emulator: Emulator) -> Generator[asyncio.AbstractEventLoop]:
    """Serve from a thread with a loop of its own."""
    ready = threading.Event()
    loop = asyncio.new_event_loop()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(emulator.serve(ready.set))

    thread = threading.Thread(target=run, name="vastai-emulator")
    thread.start()
    try:
        if not ready.wait(START_SECONDS):
            raise TimeoutError(f"the emulator did not start within {START_SECONDS:g} s")
        yield loop
    finally:
        # Only a failed start has closed its loop by now.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(emulator.stop)
        thread.join()
