"""Serving HTTP on loopback: in the foreground for a command, in a thread for tests."""

import asyncio
import contextlib
import json
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import Any, Literal, Protocol

import uvicorn
from starlette.applications import Starlette

START_SECONDS = 20.0
BACKLOG = 256


class Served(Protocol):
    """What runs until it is told to stop."""

    def serve(self, on_ready: Callable[[], None]) -> Coroutine[Any, Any, None]:
        """Serve until `stop`."""
        ...

    def stop(self) -> None:
        """Let `serve` return."""
        ...


class Server(uvicorn.Server):
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


class Bound:
    """An application bound to its port, not serving yet."""

    def __init__(
        self,
        app: Starlette,
        sock: socket.socket,
        *,
        http: type[asyncio.Protocol] | Literal["auto"] = "auto",
    ) -> None:
        self._sock = sock
        config = uvicorn.Config(
            app,
            http=http,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=5,
        )
        self._server = Server(config)

    async def serve(self, on_ready: Callable[[], None]) -> None:
        """Serve until `stop`; then nothing is in flight any more."""
        self._server.on_ready = on_ready
        await self._server.serve([self._sock])

    def stop(self) -> None:
        """Let `serve` return."""
        self._server.should_exit = True


async def serve_until_signal(served: Served, start_line: Mapping[str, str]) -> None:
    """Serve until SIGTERM or SIGINT; `start_line` goes to standard output once it does."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, served.stop)

    def announce() -> None:
        sys.stdout.write(json.dumps(dict(start_line)) + "\n")
        sys.stdout.flush()

    await served.serve(announce)


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
def serving(served: Served, name: str) -> Generator[asyncio.AbstractEventLoop]:
    """Serve from a thread of that name with a loop of its own; stopped on leaving."""
    ready = threading.Event()
    loop = asyncio.new_event_loop()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(served.serve(ready.set))

    thread = threading.Thread(target=run, name=name)
    thread.start()
    try:
        if not ready.wait(START_SECONDS):
            raise TimeoutError(f"the {name} did not start within {START_SECONDS:g} s")
        yield loop
    finally:
        # Only a failed start has closed its loop by now.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(served.stop)
        thread.join()
