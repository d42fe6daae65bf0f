"""What the kinds decide without a container."""

import os
import re
import socket
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.backups import BackupFile, Manifest
from operations.backups.errors import BackupFailed, ProgramFailed, Unfit
from operations.backups.kinds import Site, Subject
from operations.backups.postgres import Postgres, _counted
from operations.backups.qdrant import _Node
from operations.backups.reach import forwarding, place_of, reached
from operations.backups.redis import _keyspace, append_only_manifest, key_facts
from operations.backups.store import Draft, Kept
from tests.ports import free_port

# Redis.


def test_an_append_only_file_begins_with_the_snapshot() -> None:
    old = (
        "file appendonly.aof.4.base.rdb seq 4 type b\n"
        "file appendonly.aof.3.incr.aof seq 3 type h\n"
        "file appendonly.aof.9.incr.aof seq 9 type i\n"
    )
    text, base, increment = append_only_manifest(old, "appendonly.aof")
    assert (base, increment) == ("appendonly.aof.10.base.rdb", "appendonly.aof.10.incr.aof")
    assert text == (
        "file appendonly.aof.10.base.rdb seq 10 type b\n"
        "file appendonly.aof.4.base.rdb seq 4 type h\n"
        "file appendonly.aof.3.incr.aof seq 3 type h\n"
        "file appendonly.aof.9.incr.aof seq 9 type h\n"
        "file appendonly.aof.10.incr.aof seq 10 type i\n"
    )


def test_an_empty_volume_gets_the_first_append_only_file() -> None:
    text, base, _ = append_only_manifest("", "a.aof")
    assert base == "a.aof.1.base.rdb"
    assert text.count("\n") == 2


def test_keys_that_expire_may_be_gone() -> None:
    before = _keyspace("# Keyspace\r\ndb0:keys=10,expires=3,avg_ttl=5\r\n")
    after = _keyspace("db0:keys=12,expires=3,avg_ttl=5\r\ndb1:keys=1,expires=0,avg_ttl=0\r\n")
    facts = key_facts(before, after)
    assert (facts["keys in db0"].least, facts["keys in db0"].most) == (7, 12)
    assert (facts["keys in db1"].least, facts["keys in db1"].most) == (0, 1)


# PostgreSQL.


def test_counts_are_told_line_by_line() -> None:
    told = "public.a|3\npg_dump: warning: a|b\nodd.t|x|12\npg_dump|0\n"
    assert _counted(told) == {"public.a": 3, "odd.t|x": 12, "pg_dump": 0}


SUBJECT = Subject(service="db", kind="postgres", container="db", image="pg:16", port=5432)


def kept(folder: Path, name: str) -> Kept:
    (folder / name).write_bytes(b"x")
    file = BackupFile(name=name, holds="agents", size=1, sha256="")
    taken = datetime(2026, 11, 25, tzinfo=UTC)
    manifest = Manifest(
        id="1",
        service="db",
        kind="postgres",
        image="pg:16",
        image_id="sha256:1",
        taken=taken,
        files=(file,),
        facts={},
    )
    return Kept(folder=folder, manifest=manifest)


class FakeBox:
    """Tells what a session tells whose pg_dump failed."""

    fed = 0

    def run(self, *command: str) -> str:
        return "agents" if "datname" in command[-1] else "pg_dump 16.1"

    def copy_out(self, command: object, into: object) -> str:
        del command, into
        return "public.a|3\npg_dump: error: connection lost\npg_dump|1\n"

    def feed(self, command: object, source: object) -> None:
        del command, source
        self.fed += 1


def test_a_failed_pg_dump_fails_the_backup(tmp_path: Path) -> None:
    box: Any = FakeBox()
    site = Site(box=box, subject=SUBJECT, url="unix:///run/docker.sock")
    with pytest.raises(BackupFailed, match="connection lost"):
        Postgres().back_up(site, Draft(folder=tmp_path))
    assert box.fed == 0


class ViewBox(FakeBox):
    """Has a materialized view that was never filled."""

    def copy_out(self, command: object, into: object) -> str:
        del into
        if "pg_class" in str(command) and "AND c.relispopulated" not in str(command):
            raise BackupFailed('materialized view "later" has not been populated')
        return "public.a|3\npg_dump|0\n"


def test_a_view_that_was_never_filled_is_not_counted(tmp_path: Path) -> None:
    box: Any = ViewBox()
    site = Site(box=box, subject=SUBJECT, url="unix:///run/docker.sock")
    assert Postgres().count(site)["rows of agents public.a"] == 3
    assert "rows of agents public.a" in Postgres().back_up(site, Draft(folder=tmp_path)).facts


class RestoreBox(FakeBox):
    """Its pg_restore fails."""

    def __init__(self, said: str, code: int | None) -> None:
        self.error = ProgramFailed(said, code=code)

    def feed(self, command: object, source: object) -> None:
        del source
        if "pg_restore" in str(command):
            raise self.error


@pytest.mark.parametrize(
    ("said", "code", "unfit"),
    [
        ("pg_restore: error: could not uncompress data: (null)", 1, True),
        ("pg_restore: error: server closed the connection unexpectedly", 1, False),
        ("ERROR: could not extend file: No space left on device", 1, False),
        ("it said nothing", 137, False),
        ("it said nothing", None, False),
    ],
)
def test_only_content_that_postgres_cannot_take_is_unfit(
    tmp_path: Path, said: str, code: int | None, *, unfit: bool
) -> None:
    box: Any = RestoreBox(said, code)
    site = Site(box=box, subject=SUBJECT, url="unix:///run/docker.sock")
    with pytest.raises(BackupFailed, match=re.escape(said)) as error:
        Postgres().fill(site, kept(tmp_path, "database-1.dump"))
    assert isinstance(error.value, Unfit) == unfit


# Qdrant.


@pytest.mark.parametrize(
    ("status", "said", "unfit"),
    [
        (400, "Wrong input: the archive is broken", True),
        (500, "Service internal error: failed to unpack", True),
        (500, "Service internal error: No space left on device", False),
        (503, "starting", False),
    ],
)
def test_only_content_that_qdrant_cannot_take_is_unfit(
    tmp_path: Path, status: int, said: str, *, unfit: bool
) -> None:
    client = httpx.Client(
        base_url="http://qdrant.test",
        transport=httpx.MockTransport(lambda _request: httpx.Response(status, text=said)),
    )
    path = tmp_path / "collection-1.snapshot"
    path.write_bytes(b"x")
    with client, pytest.raises(BackupFailed, match=said) as error:
        _Node(client, "qdrant").recover("docs", path)
    assert isinstance(error.value, Unfit) == unfit


# Reaching a container.


def record(ports: object = None, **addresses: str) -> dict[str, Any]:
    networks = {name: {"IPAddress": address} for name, address in addresses.items()}
    return {"NetworkSettings": {"Ports": ports, "Networks": networks}}


def test_a_published_port_comes_first() -> None:
    bound = {"9000/tcp": [{"HostIp": "127.65.0.1", "HostPort": "9001"}]}
    assert place_of(record(bound, net="172.18.0.2"), 9000) == ("127.65.0.1", 9001)
    everywhere = {"9000/tcp": [{"HostIp": "0.0.0.0", "HostPort": "9001"}]}  # noqa: S104
    assert place_of(record(everywhere), 9000) == ("127.0.0.1", 9001)
    assert place_of(record({"9000/tcp": None}, net="172.18.0.2"), 9000) == ("172.18.0.2", 9000)
    assert place_of(record({}), 9000) is None


def test_one_that_cannot_be_reached_says_what_to_do() -> None:
    with (
        pytest.raises(BackupFailed, match="neither published") as error,
        reached("unix:///run/docker.sock", record(), 9000, "minio"),
    ):
        pass
    assert error.value.hint is not None
    bound = {"9000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(free_port())}]}
    with (
        pytest.raises(BackupFailed, match="nothing answers"),
        reached("unix:///run/docker.sock", record(bound), 9000, "minio"),
    ):
        pass


def test_over_ssh_a_port_is_forwarded() -> None:
    command = forwarding("ssh://agent@nas.test:2222", 5000, "172.18.0.2", 6333)
    assert command[-3:] == ["2222", "--", "nas.test"]
    assert "127.0.0.1:5000:172.18.0.2:6333" in command
    assert command[command.index("-l") + 1] == "agent"


_SSH = """#!{python}
# Takes the place of ssh: forwards the port that -L names on this machine.
import socket, sys
spec = sys.argv[sys.argv.index("-L") + 1].split(":")
if "{fails}":
    sys.exit("{fails}")
with socket.create_server((spec[0], int(spec[1]))) as server:
    while True:
        near, _ = server.accept()
        with near, socket.create_connection((spec[2], int(spec[3]))) as far:
            data = near.recv(100)
            if data:
                far.sendall(data)
                near.sendall(far.recv(100))
"""


def ssh(folder: Path, monkeypatch: pytest.MonkeyPatch, fails: str = "") -> None:
    path = folder / "ssh"
    path.write_text(_SSH.format(python=sys.executable, fails=fails))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_what_stands_in_for_ssh_carries_a_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh(tmp_path, monkeypatch)

    def echo(server: socket.socket) -> None:
        # The first is the look whether anything answers.
        for _ in range(2):
            near, _ = server.accept()
            with near:
                near.sendall(near.recv(100).upper())

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=echo, args=(server,))
        thread.start()
        bound = {"9000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(server.getsockname()[1])}]}
        with reached("ssh://agent@nas.test", record(bound), 9000, "minio") as place:
            host, _, port = place.partition(":")
            with socket.create_connection((host, int(port)), timeout=20) as line:
                line.sendall(b"hello")
                assert line.recv(100) == b"HELLO"
        thread.join()


def test_ssh_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ssh(tmp_path, monkeypatch, fails="Permission denied (publickey)")
    with (
        pytest.raises(BackupFailed, match="Permission denied"),
        reached("ssh://agent@nas.test", record(net="172.18.0.2"), 9000, "minio"),
    ):
        pass
