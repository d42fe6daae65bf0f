"""Files of this machine for an image: programs, the libraries they load, a PostgreSQL server."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import AgentDockerError

SEARCH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
POSTGRES_HOMES = Path("/usr/lib/postgresql")
POSTGRES_SHARE = Path("/usr/share/postgresql")
ZONES = Path("/usr/share/zoneinfo")
LOCALE = Path("/usr/lib/locale/C.utf8")
_LOADED = re.compile(r"(/\S+) \(0x")
_MERGED = re.compile(r"^/(?=(?:s?bin|lib|lib32|lib64)/)")
# A compiler of 120 MB that the server starts well without; compile-time files; two copies of zones.
_LEFT_OUT = re.compile(r"/(?:llvmjit\S*|bitcode|pgxs|man|right|posix)(?:/|$)")


class StandInImpossible(AgentDockerError):
    """What a stand-in is made of is not on this machine."""


def programs(names: Iterable[str], package: str) -> dict[str, Path]:
    """Return path in the image → file here, for these programs and their libraries."""
    if sys.platform != "linux":
        raise StandInImpossible(
            f"{', '.join(names)} would be taken from this machine, which is no Linux",
            hint="run the local profile on Linux, or pull the real image",
        )
    found: dict[str, Path] = {}
    for name in names:
        path = shutil.which(name, path=SEARCH)
        if path is None:
            raise StandInImpossible(
                f"the program {name} is not installed in {SEARCH}",
                hint=f"install {package}, as in `apt-get install` on Debian, or pull the image",
            )
        found[f"/usr/bin/{name}"] = Path(path).resolve()
    return found | libraries(found.values())


def libraries(files: Iterable[Path]) -> dict[str, Path]:
    """Return the shared libraries that programs, or libraries, load; none for a static one."""
    done = subprocess.run(  # noqa: S603 - programs of this machine
        [shutil.which("ldd", path=SEARCH) or "ldd", *map(str, files)],
        env={"LC_ALL": "C", "PATH": SEARCH},
        capture_output=True,
        text=True,
        check=False,
    )
    paths = [Path(text) for text in sorted(set(_LOADED.findall(done.stdout)))]
    return {merged(path): path.resolve() for path in paths}


def merged(path: Path) -> str:
    """Return where a file lies in an image, whose /lib and /bin are links into /usr."""
    return _MERGED.sub("/usr/", f"{path.parent.resolve()}/{path.name}")


@dataclass(frozen=True)
class PostgresFiles:
    """A server's files, path in the image → file here, and where its parts lie."""

    files: dict[str, Path]
    home: str
    share: str
    programs: tuple[str, ...]


def postgres() -> PostgresFiles:
    """Return what the newest PostgreSQL of this machine needs to run elsewhere."""
    homes = [path.parents[1] for path in POSTGRES_HOMES.glob("*/bin/postgres")]
    if not homes:
        raise StandInImpossible(
            f"there is no PostgreSQL server in {POSTGRES_HOMES}",
            hint="install postgresql, as in `apt-get install postgresql` on Debian",
        )
    home = max(homes, key=lambda path: [int(part) for part in path.name.split(".")])
    share = POSTGRES_SHARE / home.name
    files: dict[str, Path] = {}
    for folder in (home / "bin", home / "lib", share, ZONES, LOCALE):
        files |= {str(path): path.resolve() for path in _files(folder)}
    files |= libraries(Path(path) for path in list(files) if _is_code(path, home))
    names = tuple(path.name for path in _files(home / "bin"))
    return PostgresFiles(files, str(home), str(share), names)


def _is_code(path: str, home: Path) -> bool:
    return path.startswith(f"{home}/bin/") or (path.startswith(f"{home}/lib/") and ".so" in path)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not _LEFT_OUT.search(str(path.relative_to(folder.parent))):
            yield path
