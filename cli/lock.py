"""One changing command at a time works on the local profile."""

import contextlib
import os
from collections.abc import Generator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from cli.files import LocalFiles, write_whole
from contracts.errors import AgentDockerError


class Occupied(AgentDockerError):
    """Another command is changing the local profile."""

    exit_code = 3


@contextmanager
def exclusive(files: LocalFiles, command: str) -> Generator[None]:
    """Hold the local profile for `command`; Occupied when another one does.

    The system takes the lock back when its process dies, however it dies.
    """
    files.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    holder = files.folder / "command"
    lock = FileLock(files.folder / "command.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise Occupied(
            f"another command is changing the local profile: {_read(holder)}",
            hint="wait until it has ended, then run this again",
        ) from None
    try:
        write_whole(holder, f"`{command}` (process {os.getpid()})")
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink()
        lock.release()


def _read(holder: os.PathLike[str]) -> str:
    try:
        with open(holder) as file:  # noqa: PTH123 - any path
            return file.read()
    except OSError:
        return "it has just begun"
