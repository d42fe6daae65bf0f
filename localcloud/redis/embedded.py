"""fakeredis in a thread of this process, for computers without a redis-server."""

import asyncio
import contextlib
import importlib.metadata
import select
import socket
import threading
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import fakeredis
from fakeredis._clients._tcp_server import (  # pyright: ignore[reportPrivateImportUsage]
    TCPFakeRequestHandler,
)
from redis.exceptions import ResponseError

from localcloud.redis.choice import RedisUnusable
from localcloud.redis.server import RedisServer, never

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

HOST = "127.0.0.1"
POLL_SECONDS = 0.1
SEND_SECONDS = 30.0


class _PatientSocket(socket.socket):
    """Sends all, however long that is: fakeredis makes it non-blocking behind Python's back."""

    def sendall(self, data: "ReadableBuffer", flags: int = 0, /) -> None:
        """Send everything, or raise TimeoutError when nobody reads it."""
        rest = memoryview(data).cast("B")
        while rest:
            try:
                rest = rest[self.send(rest, flags) :]
            except BlockingIOError:
                if not select.select([], [self], [], SEND_SECONDS)[1]:
                    raise TimeoutError("the client does not read") from None


class _Handler(TCPFakeRequestHandler):
    """One client's connection, which stays open after an error as with a real server."""

    def setup(self) -> None:
        """Connect the client, and let errors be answers like others."""
        super().setup()
        client = self.current_client
        answer = client.read_response

        def read_response(**options: object) -> object:
            try:
                return answer(**options)
            except ResponseError as error:
                return error

        client.read_response = read_response  # type: ignore[method-assign]


class _Server(fakeredis.TcpFakeServer):
    """fakeredis over TCP, which ends although clients are connected."""

    def __init__(self, port: int) -> None:
        super().__init__((HOST, port))
        self.RequestHandlerClass = _Handler
        self.daemon_threads = True

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept a client."""
        accepted, address = super().get_request()
        return _PatientSocket(fileno=accepted.detach()), address


@contextlib.asynccontextmanager
async def embedded(port: int) -> AsyncGenerator[RedisServer]:
    """Serve until left. It knows no password, INFO or scripts, and forgets all when it ends."""
    try:
        server = _Server(port)
    except OSError as error:
        raise RedisUnusable(f"the embedded Redis cannot use port {port}: {error}") from None
    thread = threading.Thread(
        target=server.serve_forever, args=(POLL_SECONDS,), name="embedded-redis", daemon=True
    )
    thread.start()
    try:
        version = importlib.metadata.version("fakeredis")
        url = f"redis://{HOST}:{server.server_address[1]}/0"
        yield RedisServer(url, "embedded", version, never)
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()
