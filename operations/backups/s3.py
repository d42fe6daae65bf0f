"""An S3 store: each bucket's objects in one archive, with a list of them beside it.

Not with it: older versions of objects, users, policies and lifecycle rules.
"""

import contextlib
import hashlib
import json
import secrets
import tarfile
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, cast

from minio import Minio
from minio.error import MinioException, S3Error
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from contracts.backups import BackupFile, Fact
from operations.backups.errors import BackupFailed, Unfit
from operations.backups.kinds import Scratch, Site, Subject
from operations.backups.reach import reached
from operations.backups.store import Draft, Kept, Taken

_PORT = 9000
_USER, _PASSWORD = "MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"
# Without it the client asks for the region of each bucket.
_REGION = "us-east-1"
_META = "x-amz-meta-"
# What readers need to understand the bytes.
_HEADERS = ("cache-control", "content-disposition", "content-encoding", "content-language")
_CHUNK = 1024 * 1024
_GONE = "NoSuchKey"
# Of each bucket, so many objects are read back whole in a restore test.
_SAMPLE = 100


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """One object; `member` is its name in the archive, because a key may be no file's name."""

    member: str
    key: str
    size: int
    sha256: str
    content_type: str
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    headers: dict[str, str] = field(default_factory=dict[str, str])


class S3:
    """See the module."""

    def back_up(self, site: Site, draft: Draft) -> Taken:
        """Two files a bucket: its objects, and the list of them."""
        facts: dict[str, Fact] = {}
        with _client(site) as client:
            for number, bucket in enumerate(_buckets(client), start=1):
                site.say(f"{site.subject.service}: copying bucket {bucket}")
                archive = draft.file(f"bucket-{number}.tar", holds=bucket)
                stored = _copy(client, bucket, archive)
                listing = draft.file(f"bucket-{number}.jsonl", holds=bucket)
                listing.write_text("".join(f"{json.dumps(asdict(one))}\n" for one in stored))
                facts |= _facts(bucket, stored)
        return Taken(facts=facts, tools={"minio-py": _version()})

    def count(self, site: Site) -> dict[str, int]:
        """Objects and bytes of each bucket."""
        found: dict[str, int] = {}
        with _client(site) as client:
            for bucket in _buckets(client):
                sizes = [one.size or 0 for one in client.list_objects(bucket, recursive=True)]
                found[f"objects in {bucket}"] = len(sizes)
                found[f"bytes in {bucket}"] = sum(sizes)
        return found

    def restore(self, site: Site, backup: Kept) -> None:
        """Put every object back; objects that the backup does not know stay."""
        with _client(site) as client:
            for archive, stored in _archives(backup):
                bucket = archive.holds
                site.say(f"{site.subject.service}: putting {len(stored)} objects into {bucket}")
                if not client.bucket_exists(bucket):
                    client.make_bucket(bucket)
                try:
                    for one, content in _members(backup.path(archive), stored):
                        _put(client, bucket, one, content)
                except tarfile.TarError as error:
                    raise Unfit(f"{site.subject.service}: {archive.name}: {error}") from None

    def scratch(self, subject: Subject) -> Scratch:
        """The same program with a user of its own, on the service's own network."""
        env = {_USER: "restore-test", _PASSWORD: secrets.token_urlsafe(18)}
        return Scratch(command=subject.command, env=env, network=True)

    def prepare(self, site: Site, backup: Kept) -> None:
        """Nothing."""

    def ready(self, site: Site) -> bool:
        """Whether it takes requests."""
        try:
            with _client(site) as client:
                client.list_buckets()
        except BackupFailed:
            return False
        return True

    def fill(self, site: Site, backup: Kept) -> None:
        """As a service is restored."""
        self.restore(site, backup)

    def faults(self, site: Site, backup: Kept) -> list[str]:
        """Objects of a sample that come back with another content."""
        with _client(site) as client:
            return [
                f"object {archive.holds}/{one.key}: {fault}"
                for archive, stored in _archives(backup)
                for one in _sample(stored)
                if (fault := _fault(client, archive.holds, one)) is not None
            ]


def _buckets(client: Minio) -> list[str]:
    return sorted(str(bucket.name) for bucket in client.list_buckets())


def _facts(bucket: str, stored: list[_Stored]) -> dict[str, Fact]:
    return {
        f"objects in {bucket}": Fact.of(len(stored)),
        f"bytes in {bucket}": Fact.of(sum(one.size for one in stored)),
    }


def _copy(client: Minio, bucket: str, archive: Path) -> list[_Stored]:
    stored: list[_Stored] = []
    with tarfile.open(archive, "w") as tar:
        for number, found in enumerate(client.list_objects(bucket, recursive=True), start=1):
            try:
                one = _copy_one(client, bucket, str(found.object_name), tar, f"{number:09d}")
            except S3Error as error:
                # Deleted since it was listed.
                if error.code != _GONE:
                    raise
                continue
            stored.append(one)
    return stored


def _copy_one(client: Minio, bucket: str, key: str, tar: tarfile.TarFile, member: str) -> _Stored:
    with _opened(client, bucket, key) as content:
        info = tarfile.TarInfo(member)
        # As it is now: it may be another object than the one that was listed.
        info.size = content.size
        tar.addfile(info, content)
    headers = content.headers
    return _Stored(
        member=member,
        key=key,
        size=content.size,
        sha256=content.digest,
        content_type=headers.get("content-type", "application/octet-stream"),
        metadata={n.removeprefix(_META): v for n, v in headers.items() if n.startswith(_META)},
        headers={name: headers[name] for name in _HEADERS if name in headers},
    )


class _Content:
    """An object's bytes as they are stored, and hashed on the way; BackupFailed unless all come."""

    def __init__(self, answer: BaseHTTPResponse, name: str) -> None:
        self._answer, self._name = answer, name
        self._sum = hashlib.sha256()
        self.headers = {name.lower(): value for name, value in answer.headers.items()}
        length = self.headers.get("content-length", "")
        if not length.isdigit():
            raise BackupFailed(f"object {name}: the S3 store does not say how long it is")
        self.size = self._left = int(length)

    def read(self, size: int = -1, /) -> bytes:
        """As many bytes as are asked for, none at the end."""
        wanted = self._left if size < 0 else min(size, self._left)
        if not wanted:
            return b""
        data = self._take(wanted)
        if len(data) != wanted:
            raise BackupFailed(f"object {self._name}: it ended before its {self.size} bytes")
        self._left -= wanted
        self._sum.update(data)
        return data

    def require_end(self) -> None:
        """BackupFailed when there is more than the store said."""
        if self._left or self._take(1):
            raise BackupFailed(f"object {self._name}: it is not the {self.size} bytes of its head")

    @property
    def digest(self) -> str:
        return self._sum.hexdigest()

    def _take(self, size: int) -> bytes:
        # The client would unpack what is stored packed.
        return self._answer.read(size, decode_content=False)


@contextlib.contextmanager
def _opened(client: Minio, bucket: str, key: str) -> Generator[_Content]:
    answer = client.get_object(bucket, key)
    try:
        content = _Content(answer, f"{bucket}/{key}")
        yield content
        content.require_end()
    finally:
        answer.close()
        answer.release_conn()


def _put(client: Minio, bucket: str, one: _Stored, content: BinaryIO) -> None:
    # With its prefix, a name of a user's own is not taken for a header.
    named = {f"{_META}{name}": value for name, value in one.metadata.items()}
    client.put_object(
        bucket,
        one.key,
        content,
        one.size,
        content_type=one.content_type,
        metadata={**named, **one.headers},
    )


def _archives(backup: Kept) -> list[tuple[BackupFile, list[_Stored]]]:
    """Each bucket's archive with its list: they stand one after the other."""
    found: list[tuple[BackupFile, list[_Stored]]] = []
    for archive, listing in pairwise(backup.manifest.files):
        if archive.name.endswith(".tar"):
            rows = backup.path(listing).read_text().splitlines()
            found.append((archive, [_Stored(**json.loads(row)) for row in rows]))
    return found


def _members(path: Path, stored: list[_Stored]) -> Iterator[tuple[_Stored, BinaryIO]]:
    by_member = {one.member: one for one in stored}
    with tarfile.open(path, "r") as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is not None:
                yield by_member[member.name], cast("BinaryIO", content)


def _sample(stored: list[_Stored]) -> list[_Stored]:
    """Evenly among all."""
    step = max(1, len(stored) // _SAMPLE)
    return stored[::step][:_SAMPLE]


def _fault(client: Minio, bucket: str, one: _Stored) -> str | None:
    """What is wrong with the object in the store."""
    try:
        with _opened(client, bucket, one.key) as content:
            while content.read(_CHUNK):
                pass
    except S3Error as error:
        if error.code != _GONE:
            raise
        return "it is missing"
    return None if content.digest == one.sha256 else "its content differs"


def _version() -> str:
    from importlib.metadata import version  # noqa: PLC0415 - rarely asked

    return version("minio")


@contextlib.contextmanager
def _client(site: Site) -> Generator[Minio]:
    service, record = site.subject.service, site.box.inspect()
    env = site.box.env()
    password = env.get(_PASSWORD)
    if password is None:
        # Read from the file that the service reads it from; it goes no further than this process.
        found = site.box.read(env.get(f"{_PASSWORD}_FILE", "/run/secrets/minio-password"))
        password = (found or "").strip()
    try:
        with reached(site.url, record, site.subject.port or _PORT, service) as place:
            yield Minio(place, env.get(_USER, ""), password, secure=False, region=_REGION)
    except (MinioException, HTTPError) as error:
        raise BackupFailed(f"{service}: the S3 store refused: {error}") from None
