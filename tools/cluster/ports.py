"""A free port on loopback that stays ours until the server listens on it."""

import contextlib
import socket
from collections.abc import Generator

from tools.cluster.commands import HOST


@contextlib.contextmanager
def held_port(wanted: int = 0) -> Generator[int]:
    """Give `wanted`, or any free port if that is taken, and keep everybody else from it.

    Bound and not listening: only a process of this user that asks for SO_REUSEPORT gets in too.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((HOST, wanted if _is_free(wanted) else 0))
        yield int(holder.getsockname()[1])


def _is_free(port: int) -> bool:
    """Ask without sharing: another cluster's API server would let us in beside itself."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        # A connection that was closed a moment ago does not count.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
        except OSError:
            return False
        return True
