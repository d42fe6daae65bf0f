"""The official release: downloaded with its checksum verified, or reported as out of reach."""

import hashlib
import http.client
import tarfile
import urllib.error
import urllib.request
from pathlib import Path, PurePosixPath

from tools.engine.errors import BadEngineError, ChecksumError
from tools.engine.model import PINNED, platform_name
from tools.engine.progress import Progress

RELEASES = "https://github.com/pulumi/pulumi/releases/download"
PLATFORMS = ("linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64")
CONNECT_SECONDS = 5.0
STALL_SECONDS = 30.0
CHUNK_BYTES = 1 << 20
PROGRESS_BYTES = 20 << 20


class ReleaseUnreachableError(Exception):
    """The network, or the server, did not let the files through; another source may be tried."""


def fetch(folder: Path, progress: Progress, base_url: str = RELEASES) -> None:
    """Put the release's programs into `folder/bin`; needs about 100 MB of download.

    Raises ReleaseUnreachableError, ChecksumError when the archive is not the published one, and
    BadEngineError when it cannot be unpacked.
    """
    if platform_name() not in PLATFORMS:
        raise ReleaseUnreachableError(f"there is no release for {platform_name()}")
    name = f"pulumi-v{PINNED}-{platform_name()}.tar.gz"
    url = f"{base_url}/v{PINNED}"
    expected = published_checksum(f"{url}/pulumi-{PINNED}-checksums.txt", name)
    progress(f"downloading {url}/{name}")
    archive = folder / name
    found = download(f"{url}/{name}", archive, progress)
    if found != expected:
        raise ChecksumError(
            f"{url}/{name} has SHA-256 {found}, expected {expected}",
            "do not use it: ask whoever runs the network what sits between you and the server",
        )
    progress("unpacking")
    unpack(archive, folder / "bin")
    archive.unlink()


def published_checksum(url: str, name: str) -> str:
    """Return the SHA-256 (hex) that the release's list gives for `name`."""
    try:
        with _open(url, CONNECT_SECONDS) as answer:
            lines = answer.read().decode("ascii", "replace").splitlines()
    except (OSError, http.client.HTTPException) as error:
        raise ReleaseUnreachableError(f"{url}: {error}") from error
    for fields in map(str.split, lines):
        if len(fields) == 2 and fields[1].lstrip("*") == name:  # noqa: PLR2004 - sum and name
            return fields[0].lower()
    raise ChecksumError(
        f"{url} has no line for {name}, expected one",
        "nothing is installed without a checksum; put a pulumi on the PATH instead",
    )


def download(url: str, target: Path, progress: Progress) -> str:
    """Save `url` to `target`, return its SHA-256 (hex). Raises ReleaseUnreachableError."""
    digest, received = hashlib.sha256(), 0
    try:
        with _open(url, STALL_SECONDS) as answer, target.open("wb") as file:
            size = int(answer.headers.get("Content-Length") or 0)
            while chunk := answer.read(CHUNK_BYTES):
                file.write(chunk)
                digest.update(chunk)
                received += len(chunk)
                if received % PROGRESS_BYTES < len(chunk):
                    progress(f"downloaded {received >> 20} of {size >> 20} MB")
    except (OSError, http.client.HTTPException) as error:
        raise ReleaseUnreachableError(f"{url}: {error}") from error
    if received < size:
        raise ReleaseUnreachableError(f"{url}: cut off after {received} of {size} bytes")
    return digest.hexdigest()


def unpack(archive: Path, target: Path) -> None:
    """Put the files of the archive's `pulumi/` folder into `target`. Raises BadEngineError."""
    target.mkdir(parents=True)
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                if member.isfile() and path.parent == PurePosixPath("pulumi"):
                    member.name = path.name
                    tar.extract(member, target, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BadEngineError(
            f"{archive.name} cannot be unpacked: {error}", "check the free space and try again"
        ) from error


def _open(url: str, seconds: float) -> http.client.HTTPResponse:
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(  # noqa: S310 - not a user's URL
            url, timeout=seconds
        )
    except urllib.error.HTTPError as error:
        error.close()
        raise
    return answer
