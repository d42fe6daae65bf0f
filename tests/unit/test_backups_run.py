"""What a restore test and a restore do when the daemon or a container fails them."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from docker.errors import ImageNotFound

from contracts.backups import BackupSettings, Fact, Manifest, backup_id
from contracts.errors import AgentDockerError
from operations.backups import run as module
from operations.backups.errors import BackupFailed, Ended, NotVerified, Unfit
from operations.backups.kinds import Scratch, Site, Subject
from operations.backups.run import Backups
from operations.backups.store import Draft, Kept, Taken
from operations.docker_client import Unreachable

NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
SUBJECT = Subject(service="redis", kind="redis", container="redis", image="redis:7", port=6379)
RUNS: Mapping[str, Any] = {"Running": True, "ExitCode": 0}


@dataclass(kw_only=True)
class FakeApi:
    """A daemon with the service's container, and those that are made on it."""

    images: set[str] = field(default_factory=lambda: {"sha256:1"})
    states: dict[str, Mapping[str, Any]] = field(default_factory=lambda: {"redis": RUNS})
    # What becomes of one that is started.
    after: Mapping[str, Any] = field(default_factory=lambda: RUNS)
    words: bytes = b"last words"
    made: list[str] = field(default_factory=list[str])
    started: list[str] = field(default_factory=list[str])

    def inspect_container(self, name: str) -> dict[str, Any]:
        return {"State": dict(self.states[name]), "Config": {}}

    def create_host_config(self, **given: object) -> object:
        return given

    def create_container(self, image: str, *, name: str, **_: object) -> None:
        if image not in self.images:
            raise ImageNotFound(f"No such image: {image}")
        self.made.append(image)
        self.states[name] = {"Running": False, "ExitCode": 0}

    def start(self, name: str) -> None:
        self.started.append(name)
        self.states[name] = self.after

    def logs(self, _name: str, *, tail: int) -> bytes:
        del tail
        return self.words

    def containers(self, **_: object) -> list[Any]:
        return []


@dataclass(kw_only=True)
class FakeKind:
    """Ready while its container runs, and fails as it is told."""

    loads: bool = False
    fails: Exception | None = None
    found: int = 5
    faulty: list[str] = field(default_factory=list[str])
    restored: int = 0

    def back_up(self, _site: Site, _draft: Draft, /) -> Taken:
        return Taken(facts={}, tools={})

    def count(self, _site: Site, /) -> dict[str, int]:
        return {"keys": self.found}

    def restore(self, _site: Site, _backup: Kept, /) -> None:
        self.restored += 1

    def scratch(self, _subject: Subject, /) -> Scratch:
        return Scratch(loads=self.loads)

    def prepare(self, _site: Site, _backup: Kept, /) -> None:
        pass

    def ready(self, site: Site, /) -> bool:
        return bool(site.box.inspect()["State"]["Running"])

    def fill(self, _site: Site, _backup: Kept, /) -> None:
        if self.fails is not None:
            raise self.fails

    def faults(self, _site: Site, _backup: Kept, /) -> list[str]:
        return self.faulty


@dataclass(kw_only=True)
class World:
    api: FakeApi
    kind: FakeKind
    backups: Backups
    gone: bool = False

    @property
    def backup(self) -> Kept:
        (found,) = self.backups.store.all()
        return found

    def verify(self) -> Manifest:
        return self.backups.verify(SUBJECT, self.backup)

    def require_unmarked(self, error: type[AgentDockerError], match: str) -> None:
        with pytest.raises(error, match=match) as raised:
            self.verify()
        assert not isinstance(raised.value, NotVerified)
        assert (self.backup.manifest.verified, self.backup.manifest.failed) == (NOW, None)

    def require_marked(self, match: str) -> None:
        with pytest.raises(NotVerified, match=match):
            self.verify()
        assert self.backup.manifest.verified is None
        assert self.backup.manifest.failed


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    settings = BackupSettings.model_validate({"directory": str(tmp_path)})
    backups = Backups(url="unix:///run/docker.sock", settings=settings, clock=lambda: NOW)
    found = World(api=FakeApi(), kind=FakeKind(), backups=backups)

    @contextlib.contextmanager
    def connected(_url: str) -> Iterator[Any]:
        if found.gone:
            raise Unreachable("does not answer")
        yield found.api

    def kind_of(_name: str) -> FakeKind:
        return found.kind

    monkeypatch.setattr(module, "connected", connected)
    monkeypatch.setattr(module, "kind_of", kind_of)
    manifest = Manifest(
        id=backup_id(NOW),
        service="redis",
        kind="redis",
        image="redis:7",
        image_id="sha256:1",
        taken=NOW,
        files=(),
        facts={"keys": Fact.of(5)},
        verified=NOW,
    )
    with backups.store.draft("redis", NOW) as draft:
        draft.file("dump.rdb", holds="all keys").write_bytes(b"data")
        backups.store.commit(draft, manifest)
    return found


# A restore test.


def test_files_that_changed_mark_it(world: World) -> None:
    (world.backup.folder / "dump.rdb").write_bytes(b"else")
    world.require_marked("checksum")


def test_other_facts_mark_it_and_faults_do(world: World) -> None:
    world.kind.found = 4
    world.require_marked("4 instead of 5")
    world.kind.found = 5
    assert world.verify().failed is None
    world.kind.faulty = ["alias a: missing"]
    world.require_marked("alias a")


def test_content_that_cannot_be_restored_marks_it(world: World) -> None:
    world.kind.fails = Unfit("the archive is broken")
    world.require_marked("archive is broken")


@pytest.mark.parametrize(
    "error",
    [
        BackupFailed("Qdrant does not answer: timed out"),
        Ended("redis ended with 137", killed=True),
        Unreachable("the daemon does not answer"),
    ],
)
def test_a_connection_that_fails_marks_nothing(world: World, error: AgentDockerError) -> None:
    world.kind.fails = error
    world.require_unmarked(type(error), error.message)


def test_a_client_that_fails_marks_nothing(world: World) -> None:
    world.kind.fails = requests.ConnectionError("reset")
    with pytest.raises(requests.ConnectionError):
        world.verify()
    assert world.backup.manifest.failed is None


def test_a_daemon_that_is_gone_marks_nothing(world: World) -> None:
    world.gone = True
    world.require_unmarked(Unreachable, "does not answer")


@pytest.mark.parametrize("loads", [True, False])
@pytest.mark.parametrize(
    ("code", "out_of_memory", "words", "killed"),
    [
        (1, False, b"Bad file format reading the RDB", False),
        (1, True, b"", True),
        (137, False, b"", True),
        (143, False, b"", True),
        (1, False, b"write: No space left on device", True),
    ],
)
def test_only_one_that_ends_of_what_it_loads_marks_it(
    world: World, code: int, words: bytes, *, out_of_memory: bool, killed: bool, loads: bool
) -> None:
    world.kind.loads = loads
    world.api.after = {"Running": False, "ExitCode": code, "OOMKilled": out_of_memory}
    world.api.words = words
    if loads and not killed:
        world.require_marked(f"ended with {code}")
    else:
        world.require_unmarked(Ended, f"ended with {code}")


def test_an_image_whose_id_is_gone_is_found_by_its_name(world: World) -> None:
    world.api.images = {"redis:7"}
    assert world.verify().verified == NOW
    assert world.api.made == ["redis:7"]


def test_without_the_image_the_hint_says_how_to_get_it(world: World) -> None:
    world.api.images = set()
    world.require_unmarked(BackupFailed, "docker pull redis:7")


# A restore.


def test_a_restore_starts_what_was_left_stopped(world: World) -> None:
    world.api.states["redis"] = {"Running": False, "ExitCode": 0}
    assert world.backups.restore(SUBJECT, world.backup, overwrite=True) == []
    assert world.api.started == ["redis"]
    assert world.kind.restored == 1


def test_a_backup_of_a_stopped_service_says_how_to_start_it(world: World) -> None:
    world.api.states["redis"] = {"Running": False, "ExitCode": 0}
    with pytest.raises(BackupFailed, match="does not run") as error:
        world.backups.take(SUBJECT)
    assert error.value.hint == "`agent-docker nas restart redis` starts it"
    assert world.api.started == []
