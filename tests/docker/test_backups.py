"""Backups on a real daemon: real PostgreSQL and Redis; Qdrant and S3 are stand-ins."""

import hashlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from contracts.backups import BackupKind
from operations.backups.errors import BackupFailed, HoldsData, NotVerified
from operations.backups.store import Kept, Store
from operations.daemon import Daemon
from operations.docker_client import Unreachable
from tests.docker.backup_world import CANARY, RECIPES, QdrantData, World, backup_world, rewritten
from tests.docker.daemon import Docker
from tests.docker.nas_images import healthy
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
# What they are in these tests.
NAMES = {kind: f"{kind}-stand-in" for kind in ("qdrant", "s3")} | {
    kind: f"real-{kind}" for kind in ("postgres", "redis")
}
every_kind = pytest.mark.parametrize("kind", RECIPES, ids=lambda kind: NAMES[kind])


@pytest.fixture(scope="module")
def world(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with backup_world(docker, tmp_path_factory.mktemp("secrets")) as found:
        yield found


class Watch:
    """Looks for the canary on every command line of this machine, which has the containers' too."""

    def __init__(self) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.looks = 0
        self.found: set[str] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(0.01):
            self.looks += 1
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = path.read_bytes()
                except OSError:
                    continue
                if CANARY.encode() in line:
                    self.found.add(line.decode(errors="replace"))


@every_kind
def test_a_round_trip(kind: BackupKind, world: World, tmp_path: Path) -> None:
    backups = world.backups(tmp_path / "backups")
    with world.service(kind) as service, Watch() as watch:
        service.write()
        before = service.look()
        made = backups.take(service.subject)
        backup = backups.store.of(kind, None)
        assert backup.manifest == made
        assert made.verified is None
        if isinstance(service, QdrantData):
            assert service.snapshots() == []

        # Restored over data, it would lose what came later.
        service.more()
        with pytest.raises(HoldsData, match="--overwrite"):
            backups.restore(service.subject, backup)
        assert service.look() != before
        service.lose()

        assert backups.restore(service.subject, backup) == []
        assert service.look() == before
        service.more()
        assert service.look() != before

        verified = backups.verify(service.subject, backup)
        assert verified.verified is not None
        assert world.left() == []
        assert backups.store.of(kind, None).manifest == verified
        env = json.dumps(world.docker.inspect(service.subject.container)["Config"])
    assert watch.looks > 10
    assert watch.found == set()
    assert CANARY not in env
    for path in (tmp_path / "backups").rglob("manifest.json"):
        assert CANARY not in path.read_text()
    assert (tmp_path / "backups").stat().st_mode & 0o077 == 0


@every_kind
def test_overwriting_brings_the_old_data_back(
    kind: BackupKind, world: World, tmp_path: Path
) -> None:
    backups = world.backups(tmp_path)
    with world.service(kind) as service:
        service.write()
        before = service.look()
        backups.take(service.subject)
        service.more()
        changed = service.look()
        backups.restore(service.subject, backups.store.of(kind, None), overwrite=True)
        # Other objects of an S3 store stay, collections and tables and keys are replaced.
        assert service.look() == (changed if kind == "s3" else before)
        # And it is still there after the next start.
        service.container.restart(timeout=20)
        healthy(service.container)
        assert service.look() == (changed if kind == "s3" else before)


def corrupt(backup: Kept, *, honest: bool) -> None:
    """Change the largest file; `honest` leaves its checksum as it was."""
    file = max(backup.manifest.files, key=lambda one: one.size)
    path = backup.path(file)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(40)
    path.write_bytes(bytes(content))
    if not honest:
        rows = json.loads((backup.folder / "manifest.json").read_text())["files"]
        for row in rows:
            if row["name"] == file.name:
                row["sha256"] = hashlib.sha256(content).hexdigest()
        rewritten(backup.folder / "manifest.json", files=rows)


@pytest.mark.parametrize("honest", [True, False])
@every_kind
def test_a_corrupted_backup_is_found(
    kind: BackupKind, world: World, tmp_path: Path, *, honest: bool
) -> None:
    backups = world.backups(tmp_path)
    with world.service(kind) as service:
        service.write()
        backups.take(service.subject)
        corrupt(backups.store.of(kind, None), honest=honest)
        backup = backups.store.of(kind, None)
        with pytest.raises(NotVerified):
            backups.verify(service.subject, backup)
    assert world.left() == []
    (manifest,) = backups.store.manifests()
    assert manifest.verified is None
    assert manifest.failed


def test_real_postgres_a_killed_run_leaves_no_backup(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    program = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from contracts.backups import BackupSettings
from operations.backups.kinds import Subject
from operations.backups.run import Backups

def say(text):
    print(text, flush=True)
    if "other db" in text:
        sys.stdin.read()

settings = BackupSettings.model_validate({{"directory": {str(folder)!r}}})
subject = Subject(service="postgres", kind="postgres", container="backup-postgres", image="x",
                  port=5432)
Backups(url={world.docker.host!r}, settings=settings, say=say).take(subject)
"""
    with world.service("postgres") as service:
        service.write()
        with subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if b"other db" in line:
                    break
            # The first database is on the disk by now.
            assert list((folder / "postgres").glob(".partial-*/database-1.dump"))
            child.send_signal(signal.SIGKILL)
        store = Store(directory=folder)
        assert store.all() == []
        made = world.backups(folder).take(service.subject)
        assert [path.name for path in (folder / "postgres").iterdir()] == [made.id]


def test_real_postgres_a_restore_that_fails_changes_nothing(world: World, tmp_path: Path) -> None:
    backups = world.backups(tmp_path)
    with world.service("postgres") as service:
        service.write()
        backups.take(service.subject)
        corrupt(backups.store.of("postgres", None), honest=False)
        service.more()
        before = service.look()
        with pytest.raises(BackupFailed, match="pg_restore"):
            backups.restore(service.subject, backups.store.of("postgres", None), overwrite=True)
        assert service.look() == before


def test_real_redis_a_restore_leaves_no_old_files(world: World, tmp_path: Path) -> None:
    backups = world.backups(tmp_path)
    with world.service("redis") as service:
        service.write()
        backups.take(service.subject)
        for _ in range(2):
            backups.restore(service.subject, backups.store.of("redis", None), overwrite=True)
        files = service.run("sh", "-c", "cd /data/appendonlydir && echo *").split()
        assert files == [
            *("appendonly.aof.3.base.rdb", "appendonly.aof.3.incr.aof"),
            "appendonly.aof.manifest",
        ]
        service.more()
        service.container.restart(timeout=20)
        healthy(service.container)
        assert "newer" in str(service.look())


def test_real_redis_a_restore_that_was_cut_off_can_be_repeated(
    world: World, tmp_path: Path
) -> None:
    backups = world.backups(tmp_path)
    with world.service("redis") as service:
        service.write()
        before = service.look()
        backups.take(service.subject)
        service.lose()
        # As a restore leaves it that is killed before it starts Redis again.
        service.container.stop(timeout=20)
        assert backups.restore(service.subject, backups.store.of("redis", None)) == []
        assert service.look() == before


def test_real_redis_is_verified_with_its_image_pulled_anew(world: World, tmp_path: Path) -> None:
    backups = world.backups(tmp_path)
    with world.service("redis") as service:
        service.write()
        backups.take(service.subject)
        path = backups.store.of("redis", None).folder / "manifest.json"
        rewritten(path, imageId=f"sha256:{'0' * 64}")
        assert backups.verify(service.subject, backups.store.of("redis", None)).verified
        rewritten(path, image="local/no-such:1")
        with pytest.raises(BackupFailed, match="no-such:1 of the backup is not there"):
            backups.verify(service.subject, backups.store.of("redis", None))
    assert backups.store.of("redis", None).manifest.failed is None


def test_a_daemon_that_is_gone_says_nothing_of_a_backup(world: World, tmp_path: Path) -> None:
    with world.service("redis") as service:
        world.backups(tmp_path).take(service.subject)
    gone = replace(world.backups(tmp_path), url=f"tcp://127.0.0.1:{free_port()}")
    with pytest.raises(Unreachable):
        gone.verify(service.subject, gone.store.of("redis", None))
    (manifest,) = gone.store.manifests()
    assert (manifest.verified, manifest.failed) == (None, None)


def test_real_redis_a_stopped_container_is_no_backup(world: World, tmp_path: Path) -> None:
    backups = world.backups(tmp_path)
    with world.service("redis") as service:
        service.container.stop(timeout=20)
        with pytest.raises(BackupFailed, match="does not run"):
            backups.take(service.subject)
    assert backups.store.all() == []


def test_real_redis_only_the_rules_keep_a_backup(world: World, tmp_path: Path) -> None:
    backups = world.backups(tmp_path, keepDaily=1, keepWeekly=0, keepMonthly=0)
    with world.service("redis") as service:
        service.write()
        first = backups.take(service.subject)
        second = backups.take(service.subject)
    assert [one.id for one in backups.store.manifests()] == [second.id]
    assert first.id < second.id


def test_a_scratch_container_is_no_service(world: World) -> None:
    assert Daemon(url=world.docker.host).look("nas") == {}
