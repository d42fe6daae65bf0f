"""Running the router: in the foreground for the command, in a thread for tests."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Unpack

import uvicorn

from localcloud.router.app import create_app
from localcloud.router.settings import Options, Settings
from localcloud.router.state import Router

START_SECONDS = 20.0
BACKLOG = 256


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


class RouterServer:
    """One router bound to its port, not serving yet."""

    def __init__(self, settings: Settings, sock: socket.socket) -> None:
        self.router = Router(settings)
        self._sock = sock
        config = uvicorn.Config(
            create_app(self.router),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=5,
        )
        self._server = _Server(config)

    async def serve(self, on_ready: Callable[[], None]) -> None:
        """Serve until `stop`; then nothing is in flight any more."""
        self._server.on_ready = on_ready
        await self._server.serve([self._sock])

    def stop(self) -> None:
        """Let `serve` return."""
        self._server.should_exit = True


@dataclass(frozen=True)
class RunningRouter:
    """A router that serves from a thread."""

    url: str
    """What the setting `fleet.router` is set to."""
    admin_url: str
    router: Router
    """The state. Look at it from any thread; change it over HTTP."""


def start_line(url: str) -> dict[str, str]:
    """Return the facts that a parent process needs."""
    return {"url": url, "admin_url": f"{url}/_admin"}


def listen(port: int) -> tuple[socket.socket, str]:
    """Return a listening socket on loopback and its URL."""
    # asyncio turns Nagle's algorithm off only where the protocol is named.
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
def running_router(redis_url: str, **options: Unpack[Options]) -> Generator[RunningRouter]:
    """Run a router in a thread; on leaving, what was in flight is back in the queue."""
    settings = Settings(redis_url=redis_url, **options)
    sock, url = listen(settings.port)
    with sock:
        server = RouterServer(settings, sock)
        with _serving(server):
            yield RunningRouter(**start_line(url), router=server.router)


@contextlib.contextmanager
def _serving(server: RouterServer) -> Generator[None]:
    """Serve from a thread with a loop of its own."""
    ready = threading.Event()
    loop = asyncio.new_event_loop()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(server.serve(ready.set))

    thread = threading.Thread(target=run, name="router")
    thread.start()
    try:
        if not ready.wait(START_SECONDS):
            raise TimeoutError(f"the router did not start within {START_SECONDS:g} s")
        yield
    finally:
        # Only a failed start has closed its loop by now.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(server.stop)
        thread.join()
