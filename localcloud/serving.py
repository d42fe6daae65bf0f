"""Serving HTTP on loopback: in the foreground for a command, in a thread for tests."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Protocol

import uvicorn

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
