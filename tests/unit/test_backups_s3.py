"""Objects come back byte for byte. The store is a plain HTTP server, the client is the real one."""

import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from contracts.backups import BackupFile, Fact, Manifest
from operations.backups.errors import BackupFailed
from operations.backups.kinds import Site, Subject
from operations.backups.s3 import S3, _Content
from operations.backups.store import Draft, Kept

TEXT = b"the same line again and again\n" * 2000
PACKED = gzip.compress(TEXT)
HEADERS = {
    "Content-Type": "text/plain",
    "Content-Encoding": "gzip",
    "Content-Disposition": 'attachment; filename="a.txt"',
    "Cache-Control": "max-age=60",
    "x-amz-meta-owner": "me",
}


@dataclass(kw_only=True)
class Object:
    content: bytes
    headers: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(kw_only=True)
class Store:
    """One bucket. `gone` are listed and then not there; `headless` tell no length."""

    objects: dict[str, Object] = field(default_factory=dict[str, Object])
    gone: set[str] = field(default_factory=set[str])
    headless: set[str] = field(default_factory=set[str])
    port: int = 0

    def put(self, key: str, content: bytes, given: Message) -> None:
        kept = {name: str(given[name]) for name in HEADERS if name in given}
        self.objects[key] = Object(content=content, headers=kept)


class Server(ThreadingHTTPServer):
    def __init__(self, store: Store) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.store = store


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def store(self) -> Store:
        assert isinstance(self.server, Server)
        return self.server.store

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's
        del format, args

    def do_HEAD(self) -> None:
        self._answer(200, b"")

    def do_GET(self) -> None:
        found = urlsplit(self.path)
        _, _, key = unquote(found.path).lstrip("/").partition("/")
        if found.path == "/":
            self._answer(200, _BUCKETS)
        elif not key:
            self._answer(200, listing(sorted({*self.store.objects, *self.store.gone})))
        elif key in self.store.objects:
            one = self.store.objects[key]
            self._answer(200, one.content, one.headers, sized=key not in self.store.headless)
        else:
            self._answer(404, _NO_SUCH_KEY)

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.store.put(unquote(self.path).split("/", 2)[2], content, self.headers)
        self._answer(200, b"", {"ETag": '"1"'})

    def _answer(
        self,
        status: int,
        content: bytes,
        headers: dict[str, str] | None = None,
        *,
        sized: bool = True,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {"Content-Type": "application/xml"}).items():
            self.send_header(name, value)
        if sized:
            self.send_header("Content-Length", str(len(content)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)


_BUCKETS = (
    b"<ListAllMyBucketsResult><Buckets><Bucket><Name>files</Name>"
    b"<CreationDate>2026-11-25T03:00:00.000Z</CreationDate></Bucket></Buckets>"
    b"</ListAllMyBucketsResult>"
)
_NO_SUCH_KEY = b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>"


def listing(keys: list[str]) -> bytes:
    rows = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys)
    text = f"<ListBucketResult><Name>files</Name><IsTruncated>false</IsTruncated>{rows}"
    return f"{text}</ListBucketResult>".encode()


class FakeBox:
    """Its port is the store's."""

    def __init__(self, port: int) -> None:
        bound = {"9000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}
        self.record = {"NetworkSettings": {"Ports": bound}}

    def inspect(self) -> dict[str, Any]:
        return self.record

    def env(self) -> dict[str, str]:
        return {"MINIO_ROOT_USER": "user", "MINIO_ROOT_PASSWORD": "password"}


@pytest.fixture
def store() -> Iterator[Store]:
    found = Store(objects={"a": Object(content=PACKED, headers=dict(HEADERS))})
    with Server(found) as server:
        found.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def site(store: Store) -> Site:
    box: Any = FakeBox(store.port)
    subject = Subject(service="minio", kind="s3", container="minio", image="minio:1", port=9000)
    return Site(box=box, subject=subject, url="unix:///run/docker.sock")


def backed_up(store: Store, folder: Path) -> Kept:
    draft = Draft(folder=folder)
    taken = S3().back_up(site(store), draft)
    manifest = Manifest(
        id="1",
        service="minio",
        kind="s3",
        image="minio:1",
        image_id="sha256:1",
        taken=datetime(2026, 11, 25, tzinfo=UTC),
        files=tuple(
            BackupFile(name=name, holds=holds, size=1, sha256="")
            for name, holds in draft.holds.items()
        ),
        facts=dict(taken.facts),
    )
    return Kept(folder=folder, manifest=manifest)


def test_a_packed_object_comes_back_as_it_was(store: Store, tmp_path: Path) -> None:
    backup = backed_up(store, tmp_path)
    assert backup.manifest.facts["bytes in files"] == Fact.of(len(PACKED))
    store.objects.clear()
    S3().fill(site(store), backup)
    assert store.objects["a"].content == PACKED
    assert store.objects["a"].headers == HEADERS
    assert S3().faults(site(store), backup) == []


def test_another_content_and_none_are_faults(store: Store, tmp_path: Path) -> None:
    store.objects["b"] = Object(content=b"b")
    backup = backed_up(store, tmp_path)
    store.objects["a"].content = gzip.compress(TEXT + b"x")
    del store.objects["b"]
    assert S3().faults(site(store), backup) == [
        "object files/a: its content differs",
        "object files/b: it is missing",
    ]


def test_an_object_that_is_deleted_meanwhile_is_skipped(store: Store, tmp_path: Path) -> None:
    store.gone.add("0-deleted")
    store.objects["b"] = Object(content=b"b")
    backup = backed_up(store, tmp_path)
    rows = (tmp_path / "bucket-1.jsonl").read_text().splitlines()
    assert [json.loads(row)["key"] for row in rows] == ["a", "b"]
    assert backup.manifest.facts["objects in files"] == Fact.of(2)
    store.objects.clear()
    S3().restore(site(store), backup)
    assert store.objects["b"].content == b"b"


def test_an_object_without_a_length_fails_the_backup(store: Store, tmp_path: Path) -> None:
    store.headless.add("a")
    with pytest.raises(BackupFailed, match="how long it is"):
        backed_up(store, tmp_path)


class Answer:
    """Says another length than it has."""

    def __init__(self, content: bytes, length: int) -> None:
        self.headers = {"Content-Length": str(length)}
        self._content = content

    def read(self, size: int, *, decode_content: bool) -> bytes:
        assert not decode_content
        data, self._content = self._content[:size], self._content[size:]
        return data


@pytest.mark.parametrize("length", [3, 5])
def test_too_few_and_too_many_bytes_are_failures(length: int) -> None:
    answer: Any = Answer(b"four", length)
    content = _Content(answer, "files/a")

    def read() -> None:
        while content.read(2):
            pass
        content.require_end()

    with pytest.raises(BackupFailed, match="files/a"):
        read()
