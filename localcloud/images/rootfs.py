"""A root file system as a tar in memory: the same parts give the same bytes."""

import io
import tarfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath

from localcloud.images import machine
from localcloud.images.recipe import (
    ROOT,
    Folder,
    Link,
    Owner,
    Part,
    Postgres,
    Programs,
    Shipped,
    Standin,
    Text,
)

FILES = Path(__file__).with_name("files")
BUSYBOX_HEALTH = '{"status": "ok", "service": "stand-in", "version": "stand-in"}\n'
_BUSYBOX = "/usr/bin/busybox"

# The stand-in program, and whether it is busybox: asked for only when a part needs it.
Program = Callable[[], tuple[Path, bool]]
Entry = tuple[tarfile.TarInfo, bytes]


def layer(parts: Iterable[Part], program: Program) -> bytes:
    """Return the tar; of two parts at one path the later one counts."""
    entries: dict[str, Entry] = {}
    for part in parts:
        for entry in _entries(part, program):
            entries[entry[0].name] = entry
    for name in list(entries):
        for parent in PurePosixPath(name).parents:
            if parent.name and str(parent) not in entries:
                entries[str(parent)] = _folder(f"/{parent}", ROOT, 0o755)
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in sorted(entries):
            info, content = entries[name]
            tar.addfile(info, io.BytesIO(content))
    return target.getvalue()


def _entries(part: Part, program: Program) -> list[Entry]:  # noqa: PLR0911 - one a part
    match part:
        case Folder(path, owner, mode):
            return [_folder(path, owner, mode)]
        case Text(path, text, mode):
            return [_file(path, text.encode(), mode)]
        case Shipped(path, name, mode):
            return [_file(path, (FILES / name).read_bytes(), mode)]
        case Link(path, target):
            return [_link(path, target)]
        case Programs(names, package):
            return _copies(machine.programs(names, package))
        case Standin(path):
            return _standin(path, *program())
        case Postgres(extension):
            return _postgres(machine.postgres(), extension)


def _standin(path: str, program: Path, is_busybox: bool) -> list[Entry]:  # noqa: FBT001 - a pair
    if not is_busybox:
        return [_file(path, program.read_bytes(), 0o755)]
    return [
        _file(_BUSYBOX, program.read_bytes(), 0o755),
        *(_link(f"/usr/bin/{name}", "busybox") for name in ("sh", "httpd", "wget")),
        _file("/srv/stand-in/health", BUSYBOX_HEALTH.encode(), 0o644),
        _file(path, (FILES / "service.sh").read_bytes(), 0o755),
    ]


def _postgres(found: machine.PostgresFiles, extension: Iterable[str]) -> list[Entry]:
    return [
        *_copies(found.files),
        *(_link(f"/usr/local/bin/{name}", f"{found.home}/bin/{name}") for name in found.programs),
        *(
            _file(f"{found.share}/extension/{name}", (FILES / name).read_bytes(), 0o644)
            for name in extension
        ),
    ]


def _copies(files: Mapping[str, Path]) -> list[Entry]:
    """Files of this machine; who may run one here may there, and everybody may read it."""
    return [
        _file(path, source.read_bytes(), 0o755 if source.stat().st_mode & 0o111 else 0o644)
        for path, source in files.items()
    ]


def _file(path: str, content: bytes, mode: int) -> Entry:
    info = _info(path, tarfile.REGTYPE, ROOT, mode)
    info.size = len(content)
    return info, content


def _folder(path: str, owner: Owner, mode: int) -> Entry:
    return _info(path, tarfile.DIRTYPE, owner, mode), b""


def _link(path: str, target: str) -> Entry:
    info = _info(path, tarfile.SYMTYPE, ROOT, 0o777)
    info.linkname = target
    return info, b""


def _info(path: str, kind: bytes, owner: Owner, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path.lstrip("/"))
    info.type, info.uid, info.gid, info.mode = kind, owner.uid, owner.gid, mode
    return info
