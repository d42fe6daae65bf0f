"""Which engines this installation started: the proof that a stale lock is ours to remove.

A lock names a host and a process id, but two hosts may share a name and any host a process id. So
each engine writes its own id down before it begins, in a file of its operation that stays when
the operation is cut off.
"""

import shlex
import shutil
from pathlib import Path

from operations.errors import Failed

_COMMAND = "pulumi"


def install(folder: Path, record: Path, *, path: str) -> str:
    """Put a `pulumi` into `folder` that records its process id; the PATH that finds it first."""
    real = shutil.which(_COMMAND, path=path)
    if real is None:
        raise Failed("there is no `pulumi` on the operation's PATH", hint="install the engine")
    script = folder / _COMMAND
    names = {"record": shlex.quote(str(record)), "real": shlex.quote(real)}
    # `exec` keeps the process id.
    script.write_text('#!/bin/sh\necho $$ >>{record}\nexec {real} "$@"\n'.format(**names))
    script.chmod(0o700)
    return f"{folder}:{path}"


def record_file(folder: Path, stack: str, operation: str) -> Path:
    """Where the engines of one operation are written down."""
    return folder / f"engines-{stack}-{operation}"


def recorded(folder: Path, stack: str) -> frozenset[int]:
    """Process ids of the engines of running or cut-off operations on `stack`."""
    lines = [line for path in _records(folder, stack) for line in path.read_text().split()]
    return frozenset(int(line) for line in lines if line.isdigit())


def forget(folder: Path, stack: str) -> None:
    """No lock of an engine recorded so far stands any more."""
    for path in _records(folder, stack):
        path.unlink(missing_ok=True)


def _records(folder: Path, stack: str) -> list[Path]:
    return sorted(folder.glob(f"engines-{stack}-operation-*"))
