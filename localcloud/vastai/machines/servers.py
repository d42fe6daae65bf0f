"""One server per rented machine: started when it runs, closed when it does not."""

import asyncio
from collections.abc import Iterable

from localcloud.vastai.cloud import Cloud
from localcloud.vastai.machines.addresses import Addresses
from localcloud.vastai.machines.http import serve_connection
from localcloud.vastai.machines.ollama import Ollama, models_to_pull
from localcloud.vastai.machines.work import Work
from localcloud.vastai.rentals.rental import Rental


class MachineServer:
    """The server of one machine."""

    def __init__(self, ollama: Ollama, work: Work) -> None:
        self._ollama = ollama
        self._work = work
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def open(self, host: str, port: int) -> None:
        """Listen, or raise OSError when the address is taken."""
        self._server = await asyncio.start_server(self._connected, host, port)

    async def close(self) -> None:
        """Close the listening socket and every connection."""
        self._closed = True
        if self._server is None:
            return
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A connection may be accepted before, and served after, the close.
        if self._closed:
            writer.close()
            return
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await serve_connection(reader, writer, self._ollama, self._work)


class Machines:
    """The servers of all rentals that serve; `sync` starts and closes them."""

    def __init__(self, cloud: Cloud, addresses: Addresses) -> None:
        self._cloud = cloud
        self.addresses = addresses
        self._servers: dict[int, MachineServer] = {}
        self._failed: set[int] = set()
        self._lock = asyncio.Lock()

    async def sync(self) -> None:
        """Make the servers match the rentals' states."""
        async with self._lock:
            wanted = {rental.id: rental for rental in self._cloud.live() if rental.serves}
            await self._close(self._servers.keys() - wanted.keys())
            self._failed &= wanted.keys()
            for rental_id in wanted.keys() - self._servers.keys() - self._failed:
                await self._open(wanted[rental_id])

    async def close(self) -> None:
        """Close all servers."""
        async with self._lock:
            await self._close(self._servers.keys())

    async def _open(self, rental: Rental) -> None:
        settings = self._cloud.settings
        work = Work(settings.work_seconds, settings.parallel)
        server = MachineServer(Ollama(models_to_pull(rental.order.env)), work)
        try:
            await server.open(*self.addresses.of(rental.id))
        except OSError as error:
            self._failed.add(rental.id)
            self._cloud.log.add("machine_unreachable", id=rental.id, reason=str(error))
            return
        self._servers[rental.id] = server

    async def _close(self, rental_ids: Iterable[int]) -> None:
        for rental_id in list(rental_ids):
            await self._servers.pop(rental_id).close()
