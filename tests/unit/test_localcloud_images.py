"""Recipes, root file systems and the stand-in program; images themselves: tests/docker."""

import io
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import httpx
import pytest

from localcloud.images import Kind, StandInImpossible, catalogue, machine, standin_program
from localcloud.images.recipe import Folder, Link, Owner, Programs, Standin, Text, digest
from localcloud.images.rootfs import FILES, layer
from localcloud.images.standin_program import SOURCE
from localcloud.images.stock import BadReference, Reference

ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
KEY = {"Authorization": "AWS4-HMAC-SHA256 Credential=root-user/20261101/us/s3/aws4_request"}


def never() -> tuple[Path, bool]:
    raise AssertionError("no part asked for the program")


def members(content: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return {member.name: member for member in tar}


# Recipes.


def test_every_kind_has_its_recipe() -> None:
    assert set(catalogue()) == set(get_args(Kind))


@pytest.mark.parametrize("kind", get_args(Kind))
def test_no_recipe_runs_as_root_or_hides_what_it_is(kind: Kind) -> None:
    recipe = catalogue()[kind]
    changes = recipe.changes()
    assert not recipe.user.startswith("0")
    assert f"USER {recipe.user}" in changes
    assert f"LABEL agent-docker.stand-in={kind}" in changes
    assert changes[0].startswith("ENTRYPOINT [")


@pytest.mark.parametrize(
    ("kind", "path", "owner"),
    [
        ("redis", "/data", Owner(999, 1000)),
        ("s3", "/data", Owner(1000, 1000)),
        ("postgres", "/var/lib/postgresql/data", Owner(999, 999)),
        ("qdrant", "/qdrant/storage", Owner(1000, 1000)),
        ("qdrant", "/qdrant/snapshots", Owner(1000, 1000)),
    ],
)
def test_a_new_volume_belongs_to_the_user(kind: Kind, path: str, owner: Owner) -> None:
    recipe = catalogue()[kind]
    (found,) = (part for part in recipe.parts if isinstance(part, Folder) and part.path == path)
    assert found.owner == owner
    assert recipe.user == f"{owner.uid}:{owner.gid}"


def test_a_digest_knows_content_and_settings() -> None:
    assert digest(b"a", ["USER 1"]) == digest(b"a", ["USER 1"])
    assert len({digest(b"a", ["USER 1"]), digest(b"b", ["USER 1"]), digest(b"a", ["USER 2"])}) == 3


# References.


@pytest.mark.parametrize(
    ("text", "repository", "tag"),
    [
        ("redis", "redis", "latest"),
        ("redis:7-alpine", "redis", "7-alpine"),
        ("localhost:5000/a/mesh", "localhost:5000/a/mesh", "latest"),
        ("registry.example:5000/a/mesh:1.2", "registry.example:5000/a/mesh", "1.2"),
    ],
)
def test_a_reference_is_split(text: str, repository: str, tag: str) -> None:
    assert Reference.parse(text) == Reference(repository, tag)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"redis:7@sha256:{'0' * 64}", "use redis:7 in the local profile"),
        ("", "expected repository:tag"),
        ("a/b/", "expected repository:tag"),
    ],
)
def test_a_reference_that_no_stand_in_can_have_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadReference, match=re.escape(said)):
        Reference.parse(text)


# Root file systems.


def test_the_same_parts_give_the_same_bytes() -> None:
    parts = (Text("/etc/a", "1"), Folder("/data", Owner(5, 6), 0o700), Link("/b", "etc/a"))
    assert layer(parts, never) == layer(reversed(parts), never)


def test_a_file_system_has_owners_modes_links_and_the_folders_between() -> None:
    parts = (Text("/a/b/c", "text", 0o755), Folder("/data", Owner(5, 6), 0o700), Link("/l", "a/b"))
    found = members(layer(parts, never))
    assert sorted(found) == ["a", "a/b", "a/b/c", "data", "l"]
    assert (found["a/b/c"].mode, found["a/b"].mode, found["a/b"].isdir()) == (0o755, 0o755, True)
    assert (found["data"].uid, found["data"].gid, found["data"].mode) == (5, 6, 0o700)
    assert found["l"].linkname == "a/b"
    assert {member.mtime for member in found.values()} == {0}


def test_the_later_of_two_parts_counts(tmp_path: Path) -> None:
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"program")
    parts = (Link("/usr/bin/wget", "standin"), Standin())
    found = members(layer(parts, lambda: (busybox, True)))
    assert found["usr/bin/wget"].linkname == "busybox"
    assert found["usr/bin/standin"].size == (FILES / "service.sh").stat().st_size
    assert members(layer(parts, lambda: (busybox, False)))["usr/bin/wget"].linkname == "standin"


# The machine's files.


def test_a_program_comes_with_its_libraries() -> None:
    found = members(layer((Programs(("cat",), "coreutils"),), never))
    assert found["usr/bin/cat"].mode == 0o755
    assert any(name.endswith("/libc.so.6") for name in found)
    # A link where the image has one already would take its place.
    assert {name.partition("/")[0] for name in found} == {"usr"}


def test_a_program_that_is_not_installed_is_named_with_its_package() -> None:
    with pytest.raises(
        StandInImpossible, match=r"no-such-server is not(?s:.)*install redis-server"
    ):
        machine.programs(("no-such-server",), "redis-server")


def test_another_system_gives_no_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(StandInImpossible, match="no Linux"):
        machine.programs(("cat",), "coreutils")


def test_without_a_postgresql_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "POSTGRES_HOMES", tmp_path)
    with pytest.raises(StandInImpossible, match="install postgresql"):
        machine.postgres()


def test_the_newest_postgresql_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for version in ("9", "15"):
        binary = tmp_path / version / "bin/postgres"
        binary.parent.mkdir(parents=True)
        binary.write_text("not a program")
        (tmp_path / version / "lib/bitcode").mkdir(parents=True)
        (tmp_path / version / "lib/bitcode/large.bc").touch()
        (tmp_path / version / "lib/llvmjit.so").touch()
    monkeypatch.setattr(machine, "POSTGRES_HOMES", tmp_path)
    found = machine.postgres()
    assert (found.home, found.programs) == (str(tmp_path / "15"), ("postgres",))
    assert [path for path in found.files if path.startswith(str(tmp_path))] == [
        str(tmp_path / "15/bin/postgres")
    ]


# The program.


def test_without_go_and_busybox_both_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(standin_program, "GO_PLACES", str(tmp_path))
    monkeypatch.setattr(standin_program, "BUSYBOX", tmp_path / "busybox")
    assert standin_program.program(ARCH, {"PATH": str(tmp_path)}, print) is None
    with pytest.raises(StandInImpossible, match=r"golang(?s:.)*busybox-static"):
        standin_program.busybox()


def test_a_busybox_that_needs_libraries_does_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standin_program, "BUSYBOX", Path("/bin/cat"))
    with pytest.raises(StandInImpossible, match="needs libraries"):
        standin_program.busybox()


def test_a_go_that_cannot_build_is_quoted(tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho 'go: too old' >&2\nexit 1\n")
    go.chmod(0o755)
    env = {"PATH": str(tmp_path), "AGENT_DOCKER_CACHE": str(tmp_path / "cache")}
    with pytest.raises(StandInImpossible, match=r"too old(?s:.)*1\.22"):
        standin_program.program(ARCH, env, print)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


@pytest.fixture(scope="module")
def standin() -> Path:
    found = standin_program.program(ARCH, os.environ, print)
    if found is None:
        pytest.skip("no Go")
    return found


def test_the_program_is_built_once(standin: Path) -> None:
    said: list[str] = []
    assert standin_program.program(ARCH, os.environ, said.append) == standin
    assert said == []


def test_the_source_is_formatted(standin: Path) -> None:
    assert standin.exists()
    go = standin_program.find_go(os.environ)
    assert go is not None
    gofmt = shutil.which("gofmt", path=str(Path(go).resolve().parent)) or "gofmt"
    done = subprocess.run([gofmt, "-l", str(SOURCE)], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_shellcheck_finds_nothing() -> None:
    shellcheck = shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    assert shellcheck is not None
    subprocess.run([shellcheck, *map(str, sorted(FILES.glob("*.sh")))], check=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "serve|qdrant|s3|cloudflared|get URL"),
        (["dance"], 'no part "dance"'),
        (["serve"], "PORT is not set"),
        (["get", "no-address"], "needs a URL"),
        (["s3"], "MINIO_ROOT_PASSWORD"),
        (["cloudflared", "tunnel", "run"], "holds no tunnel token"),
        (["cloudflared", "version"], "is a stand-in"),
    ],
)
def test_a_wrong_call_says_what_is_right(standin: Path, arguments: list[str], said: str) -> None:
    done = subprocess.run(
        [standin, *arguments], env={}, capture_output=True, text=True, check=False, timeout=10
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert "stand-in" in done.stderr


@pytest.fixture
def objects(standin: Path, tmp_path: Path) -> Iterator[httpx.Client]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with subprocess.Popen(
        [standin, "s3", "server", str(tmp_path), "--address", f"127.0.0.1:{port}"],
        env={"MINIO_ROOT_USER": "root-user", "MINIO_ROOT_PASSWORD": "a-long-password"},
        stdout=subprocess.DEVNULL,
    ) as server:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=KEY) as http:
                _until_alive(http)
                assert http.put("/backups").is_success
                yield http
        finally:
            server.terminate()
            assert server.wait(5) == 0


def _until_alive(http: httpx.Client) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            assert http.get("/minio/health/live").is_success
        except httpx.ConnectError:
            assert time.monotonic() < end
            time.sleep(0.02)
        else:
            return


@pytest.mark.parametrize("key", ["a", "a/b", "a b+c%.txt", "../../etc/passwd", ".", "ü/é"])
def test_an_object_comes_back_under_its_key(objects: httpx.Client, key: str) -> None:
    path = "/backups/" + "".join(f"%{byte:02X}" for byte in key.encode())
    tag = objects.put(path, content=b"one\0two").headers["ETag"]
    assert objects.get(path).content == b"one\0two"
    assert objects.head(path).headers["ETag"] == tag
    assert objects.get(path, headers={"Range": "bytes=4-"}).content == b"two"
    assert objects.delete(path).status_code == 204
    assert objects.get(path).status_code == 404


def test_objects_are_listed_in_pages(objects: httpx.Client) -> None:
    keys = [f"pg/{n}" for n in range(5)] + ["qdrant/1"]
    for key in keys:
        objects.put(f"/backups/{key}", content=b"")
    found: list[str] = []
    token: dict[str, str] = {}
    for _ in range(3):
        text = objects.get("/backups", params={"list-type": "2", "max-keys": "2", **token}).text
        found += re.findall("<Key>(.+?)</Key>", text)
        more = re.search("<NextContinuationToken>(.+?)<", text)
        token = {"continuation-token": more[1]} if more else {}
    assert (found, token) == (keys, {})
    grouped = objects.get("/backups", params={"list-type": "2", "delimiter": "/"}).text
    assert re.findall("<CommonPrefixes><Prefix>(.+?)<", grouped) == ["pg/", "qdrant/"]
    below = objects.get("/backups", params={"list-type": "2", "prefix": "qdrant/"}).text
    assert re.findall("<Key>(.+?)</Key>", below) == ["qdrant/1"]


def test_a_body_signed_in_pieces_is_put_together(objects: httpx.Client) -> None:
    pieces = (b"3;chunk-signature=x", b"one", b"4;chunk-signature=y", b"\r\n!!", b"0;", b"")
    body = b"".join(piece + b"\r\n" for piece in pieces)
    headers = {"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}
    assert objects.put("/backups/a", content=body, headers=headers).is_success
    assert objects.get("/backups/a").content == b"one\r\n!!"
    torn = objects.put("/backups/a", content=b"9;\r\none", headers=headers)
    assert torn.status_code == 500
    assert objects.get("/backups/a").content == b"one\r\n!!"


@pytest.mark.parametrize("key", ["", "AWS4-HMAC-SHA256 Credential=somebody/20261101/us/s3/x"])
def test_only_the_root_users_key_is_admitted(objects: httpx.Client, key: str) -> None:
    refused = objects.get("/backups/a", headers={"Authorization": key})
    assert refused.status_code == 403
    assert "stand-in" in refused.text


def test_what_it_cannot_do_is_said(objects: httpx.Client) -> None:
    assert objects.post("/backups/a?uploads").status_code == 501
    assert objects.get("/absent/a").status_code == 404
    assert objects.put("/No.Bucket!").status_code == 400
    assert objects.put(f"/backups/{'k' * 300}", content=b"").status_code == 400
