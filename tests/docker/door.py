"""This machine's loopback from within a container: emulators listen there and nowhere else."""

import asyncio
import contextlib
import ctypes
import os
import socket
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_NEW_NETWORK = 0x40000000
_PIECE = 65536
_LOOK_SECONDS = 0.3


@contextlib.contextmanager
def kept_open(
    find: Callable[[], int], *, loopback: Sequence[int], anywhere: Sequence[int]
) -> Generator[None]:
    """As `opened`, for the process that `find` gives and each that comes after it; 0 is none."""
    over = threading.Event()

    def follow() -> None:
        known = 0
        with contextlib.ExitStack() as door:
            while not over.wait(_LOOK_SECONDS):
                pid = find()
                if pid == known:
                    continue
                door.close()
                known = pid
                # It may be gone again.
                with contextlib.suppress(OSError):
                    if pid:
                        door.enter_context(opened(pid, loopback=loopback, anywhere=anywhere))

    following = threading.Thread(target=follow)
    following.start()
    try:
        yield
    finally:
        over.set()
        following.join()


@contextlib.contextmanager
def opened(pid: int, *, loopback: Sequence[int], anywhere: Sequence[int]) -> Generator[None]:
    """Forward these ports in the network of process `pid` to the same addresses of this machine.

    Those of `loopback` are open on 127.0.0.1, those of `anywhere` on every address there: which
    one was called decides where it goes.
    """
    wanted = [("127.0.0.1", port) for port in loopback] + [("0.0.0.0", port) for port in anywhere]  # noqa: S104
    # A thread of its own: whatever it opens stays where it was opened.
    with ThreadPoolExecutor(1) as inside:
        sockets = inside.submit(_listening, pid, wanted).result()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        for sock in sockets:
            serving = asyncio.start_server(_forward, sock=sock)
            asyncio.run_coroutine_threadsafe(serving, loop).result()
        yield
    finally:
        asyncio.run_coroutine_threadsafe(_end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        for sock in sockets:
            sock.close()


def _listening(pid: int, places: Sequence[tuple[str, int]]) -> list[socket.socket]:
    libc = ctypes.CDLL(None, use_errno=True)
    namespace = os.open(Path(f"/proc/{pid}/ns/net"), os.O_RDONLY)
    try:
        if libc.setns(namespace, _NEW_NETWORK):
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(namespace)
    return [socket.create_server(place) for place in places]


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        host, port = writer.get_extra_info("sockname")
        there, back = await asyncio.open_connection(host, port)
        await asyncio.gather(_pump(reader, back), _pump(there, writer))
    writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
    finally:
        writer.close()


async def _end() -> None:
    me = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not me]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
