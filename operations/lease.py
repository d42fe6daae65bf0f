"""One changing operation at a time on a stack, among all processes of this installation."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout

from operations.errors import Busy
from providers.vastai.pacing import process_lock


@contextmanager
def lease(folder: Path, stack: str) -> Generator[None]:
    """Hold the lease on `stack`; Busy when another holds it. It goes with its process.

    Pulumi's own lock is no substitute: it is taken only after we have read and decided.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = process_lock(folder / f"lease-{stack}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise Busy(
            "another operation of this installation is changing the stack",
            hint="wait until it has ended",
        ) from None
    try:
        yield
    finally:
        lock.release()
