"""Archives as Docker sends and takes them, read and written piece by piece."""

import io
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def as_file(parts: Iterator[bytes]) -> io.BufferedReader:
    """Parts that come one after the other, as one file."""
    return io.BufferedReader(_Stream(parts))


class _Stream(io.RawIOBase):
    """Never holds more than one part."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        super().__init__()
        self._parts = parts
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - the base's
        while not self._left:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._left = part
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def add(tar: tarfile.TarFile, name: str, content: Path | bytes | None, uid: int, gid: int) -> None:
    """Add a file of that content, or a folder when it has none."""
    info = tarfile.TarInfo(name)
    info.uid, info.gid, info.mtime = uid, gid, int(time.time())
    if content is None:
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(info)
        return
    info.mode = 0o644
    if isinstance(content, bytes):
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
        return
    info.size = content.stat().st_size
    with content.open("rb") as file:
        tar.addfile(info, file)
