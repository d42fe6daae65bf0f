"""The official release, served by a local server that can lie, break off or be away."""

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tools import engine
from tools.engine import BadEngineError, ChecksumError, EngineMissing, release
from tools.engine.cache import EngineCache
from tools.engine.model import PINNED

ARCHIVE = f"pulumi-v{PINNED}-linux-x64.tar.gz"
CHECKSUMS = f"pulumi-{PINNED}-checksums.txt"


class Server(ThreadingHTTPServer):
    """Serves `files` under /v<version>/; a file in `cut` breaks off half-way."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def publish(self, archive: bytes, checksum: str | None = None) -> None:
        digest = checksum or hashlib.sha256(archive).hexdigest()
        self.files = {
            ARCHIVE: archive,
            CHECKSUMS: f"{'0' * 64}  other.tar.gz\n{digest}  {ARCHIVE}\n".encode(),
        }


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        folder, _, name = self.path.lstrip("/").partition("/")
        body = self.server.files.get(name)
        if folder != f"v{PINNED}" or body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if name in self.server.cut else body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - likewise
        del format, args


@pytest.fixture(autouse=True)
def _platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "platform_name", lambda: "linux-x64")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"PATH": str(tmp_path / "bin")}


def archive_of(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text), 0o755
            tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


GOOD = archive_of(
    {
        "pulumi/pulumi": f"#!/bin/sh\necho v{PINNED}\n",
        "pulumi/pulumi-language-python": "#!/bin/sh\n",
        "pulumi/nested/other": "not wanted",
        "elsewhere/pulumi": "not wanted",
        "../outside": "not wanted",
    }
)


def test_the_release_is_installed_with_its_own_plugins(
    server: Server, env: dict[str, str], tmp_path: Path
) -> None:
    server.publish(GOOD)
    said: list[str] = []
    found = engine.ensure(env, tmp_path, on_progress=said.append, release_url=server.url)
    assert (found.source, found.version) == ("release", PINNED)
    assert found.plugin_dirs == (found.pulumi.parent,)
    assert sorted(path.name for path in found.pulumi.parent.iterdir()) == [
        "pulumi",
        "pulumi-language-python",
    ]
    assert engine.locate(env, tmp_path) == found
    assert said[0] == f"downloading {server.url}/v{PINNED}/{ARCHIVE}"
    assert not (tmp_path / "outside").exists()


def test_a_wrong_checksum_stops(server: Server, env: dict[str, str], tmp_path: Path) -> None:
    server.publish(GOOD, checksum="a" * 64)
    forbid_go(tmp_path)
    with pytest.raises(ChecksumError, match=f"expected {'a' * 64}"):
        engine.ensure(env, tmp_path, release_url=server.url)
    assert_empty(tmp_path)


def test_a_release_without_a_checksum_stops(
    server: Server, env: dict[str, str], tmp_path: Path
) -> None:
    server.publish(GOOD)
    server.files[CHECKSUMS] = b"\n"
    forbid_go(tmp_path)
    with pytest.raises(ChecksumError, match="has no line for"):
        engine.ensure(env, tmp_path, release_url=server.url)
    assert_empty(tmp_path)


@pytest.mark.parametrize("name", [ARCHIVE, CHECKSUMS])
def test_a_missing_file_or_one_cut_off_counts_as_out_of_reach(
    server: Server, env: dict[str, str], tmp_path: Path, name: str
) -> None:
    server.publish(GOOD)
    server.cut.add(name)
    with pytest.raises(EngineMissing, match=r"no `go` on the PATH"):
        engine.ensure(env, tmp_path, release_url=server.url)
    del server.files[name]
    with pytest.raises(EngineMissing, match="404"):
        engine.ensure(env, tmp_path, release_url=server.url)
    assert_empty(tmp_path)


@pytest.mark.parametrize("archive", [GOOD[: len(GOOD) // 2], b"not an archive"])
def test_an_archive_that_cannot_be_unpacked_stops(
    server: Server, env: dict[str, str], tmp_path: Path, archive: bytes
) -> None:
    server.publish(archive)
    forbid_go(tmp_path)
    with pytest.raises(BadEngineError, match="cannot be unpacked"):
        engine.ensure(env, tmp_path, release_url=server.url)
    assert_empty(tmp_path)


def test_an_archive_with_another_version_stops(
    server: Server, env: dict[str, str], tmp_path: Path
) -> None:
    server.publish(archive_of({"pulumi/pulumi": "#!/bin/sh\necho v3.0.0\n"}))
    forbid_go(tmp_path)
    with pytest.raises(BadEngineError, match=r"source `release` says version '3\.0\.0'"):
        engine.ensure(env, tmp_path, release_url=server.url)
    assert_empty(tmp_path)


def test_an_unreachable_host_is_said_and_go_takes_over(env: dict[str, str], tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(EngineMissing, match="no `go`"):
        engine.ensure(env, tmp_path, on_progress=said.append, release_url="http://127.0.0.1:9")
    assert said[0].startswith("the official release cannot be reached (http://127.0.0.1:9/")


def test_a_platform_without_a_release_asks_no_server(
    monkeypatch: pytest.MonkeyPatch, server: Server, env: dict[str, str], tmp_path: Path
) -> None:
    monkeypatch.setattr(release, "platform_name", lambda: "freebsd-riscv64")
    server.publish(GOOD)
    with pytest.raises(EngineMissing, match="no release for freebsd-riscv64"):
        engine.ensure(env, tmp_path, release_url=server.url)


def forbid_go(tmp_path: Path) -> None:
    """Put a `go` on the PATH that fails the test's expectation if it is asked."""
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text("#!/bin/sh\nexit 77\n")
    go.chmod(0o755)


def assert_empty(root: Path) -> None:
    cache = EngineCache(root)
    assert not cache.home.exists()
    assert not list(cache.folder.glob(".staging-*"))
