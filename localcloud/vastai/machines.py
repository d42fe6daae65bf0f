"""The rented machines: one small HTTP server each, answering as Ollama does."""

import asyncio
from collections.abc import Iterable

from localcloud.vastai.addresses import Addresses
from localcloud.vastai.cloud import Cloud
from localcloud.vastai.machine_http import serve_connection
from localcloud.vastai.ollama import Ollama, models_to_pull
from localcloud.vastai.rental import Rental


class Machines:
    """The servers of the rentals that serve; `sync` starts and closes them."""

    def __init__(self, cloud: Cloud, addresses: Addresses) -> None:
        self._cloud = cloud
        self.addresses = addresses
        self._servers: dict[int, asyncio.Server] = {}
        self._connections: dict[int, set[asyncio.Task[None]]] = {}
        self._failed: set[int] = set()
        self._lock = asyncio.Lock()

    async def sync(self) -> None:
        """Make the servers match the rentals' states."""
        wanted = {r.id: r for r in self._cloud.live() if r.serves}
        if wanted.keys() == self._servers.keys() | self._failed & wanted.keys():
            return
        async with self._lock:
            await self._close(self._servers.keys() - wanted.keys())
            self._failed &= wanted.keys()
            for rental_id in wanted.keys() - self._servers.keys() - self._failed:
                await self._open(wanted[rental_id])

    async def close(self) -> None:
        """Close all servers and their connections."""
        async with self._lock:
            await self._close(self._servers.keys())

    async def _open(self, rental: Rental) -> None:
        host, port = self.addresses.of(rental.id)
        ollama = Ollama(models_to_pull(rental.order.env))
        open_connections: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is not None:
                open_connections.add(task)
                task.add_done_callback(open_connections.discard)
            await serve_connection(reader, writer, ollama)

        try:
            server = await asyncio.start_server(connected, host, port)
        except OSError as error:
            self._failed.add(rental.id)
            self._cloud.log.add("machine_unreachable", id=rental.id, reason=str(error))
            return
        self._servers[rental.id] = server
        self._connections[rental.id] = open_connections

    async def _close(self, rental_ids: Iterable[int]) -> None:
        for rental_id in list(rental_ids):
            server = self._servers.pop(rental_id)
            server.close()
            tasks = self._connections.pop(rental_id)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await server.wait_closed()
