"""`agent-docker backup …` with backups that need no daemon."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli import backup
from cli.backup_profile import BackupWorld, backup_settings, subject_of
from cli.nas_profile import NasProfile
from cli.progress import Progress
from contracts.backups import BackupSettings, Fact, Manifest, backup_id
from contracts.errors import AgentDockerError, SettingsError
from contracts.outputs import ServiceOutput
from operations.backups.errors import BackupFailed, HoldsData, NoBackup
from operations.backups.kinds import Subject
from operations.backups.store import Kept, Store
from operations.target import Target
from tests.unit.nas_documents import documents, service

NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
RECORDS = documents(
    {
        "redis": service(image="redis:7.4", port=6379, backup="redis", user="999:1000"),
        "postgres": service(image="pg:16", port=5432, backup="postgres", env={"POSTGRES_DB": "a"}),
        "web": service(port=3000),
    }
).services.root
OUTPUTS = [
    ServiceOutput.model_validate(
        {
            "name": name,
            "container": f"agent-docker-{name}",
            "declared": record.image,
            "image": f"{record.image}@sha256:1",
            "port": record.port,
            "owner": "infrastructure",
        }
    )
    for name, record in RECORDS.items()
]


@dataclass(kw_only=True)
class FakeBackups:
    """Records what it is asked for."""

    store: Store
    fails: dict[str, AgentDockerError] = field(default_factory=dict[str, AgentDockerError])
    asked: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    clock: Callable[[], datetime] = lambda: NOW

    def take(self, subject: Subject) -> Manifest:
        self.asked.append(("take", subject.service))
        if subject.service in self.fails:
            raise self.fails[subject.service]
        return made(self.store, subject.service, timedelta(0)).manifest

    def restore(self, subject: Subject, kept: Kept, *, overwrite: bool) -> list[str]:
        self.asked.append(("restore", subject.service, kept.manifest.id, overwrite))
        if not overwrite and subject.service in self.fails:
            raise self.fails[subject.service]
        return ["keys in db0: 6 instead of 5"]

    def verify(self, subject: Subject, kept: Kept) -> Manifest:
        self.asked.append(("verify", subject.service, kept.manifest.id))
        return self.store.record(kept, verified=NOW)


def made(store: Store, name: str, ago: timedelta) -> Kept:
    taken = NOW - ago
    manifest = Manifest.model_validate(
        {
            "id": backup_id(taken),
            "service": name,
            "kind": name,
            "image": "x:1",
            "imageId": "sha256:1",
            "taken": taken,
            "files": (),
            "facts": {"keys in db0": Fact.of(5)},
        }
    )
    with store.draft(name, taken) as draft:
        draft.file("dump.rdb", holds="all").write_bytes(b"x" * 2500)
        return store.commit(draft, manifest)


class World(BackupWorld):
    """Without an engine and without a daemon."""

    fake: FakeBackups

    def names(self) -> list[str]:
        return ["redis", "postgres"]

    def subject(self, name: str) -> Subject:
        return subject_of(name, RECORDS, OUTPUTS)

    def backups(self, shown: Progress) -> Any:  # noqa: ANN401 - a fake
        del shown
        return self.fake


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeBackups:
    found = FakeBackups(store=Store(directory=tmp_path))
    profile = NasProfile(kind="production", target=Target(stack="nas", env={}, state=tmp_path))
    settings = BackupSettings.model_validate({"directory": str(tmp_path)})

    def world(shown: Progress, *, production: bool) -> World:
        del production
        made = World(profile=profile, settings=settings, shown=shown, clock=lambda: NOW)
        made.__dict__["fake"] = found
        return made

    monkeypatch.setattr(backup, "backup_world", world)
    return found


def run(*arguments: str, text: str = "") -> tuple[int, str, BaseException | None]:
    app = typer.Typer()
    for name, command in (
        ("run", backup.run),
        ("list", backup.list_),
        ("restore", backup.restore),
        ("verify", backup.verify),
    ):
        app.command(name=name)(command)
    done = CliRunner().invoke(app, list(arguments), input=text)
    return done.exit_code, done.stdout, done.exception


def test_run_takes_all_or_those_that_are_named(fake: FakeBackups) -> None:
    code, text, _ = run("run")
    assert code == 0, text
    assert fake.asked == [("take", "redis"), ("take", "postgres")]
    assert "2 of 2 services are backed up" in text
    fake.asked.clear()
    fake.clock = lambda: NOW
    for kept in fake.store.all():
        fake.store.remove(kept.manifest)
    assert run("run", "postgres")[0] == 0
    assert fake.asked == [("take", "postgres")]


def test_one_that_fails_keeps_no_other_from_it(fake: FakeBackups) -> None:
    fake.fails["redis"] = BackupFailed("redis: BGSAVE failed", hint="see its log")
    code, text, _ = run("run", "--json")
    assert code == 1
    found = json.loads(text[text.index("{") :])
    assert found["redis"] == {"error": {"message": "redis: BGSAVE failed", "hint": "see its log"}}
    assert found["postgres"]["service"] == "postgres"


def test_run_of_an_unknown_service_fails(fake: FakeBackups) -> None:
    assert run("run", "web")[0] == 1
    assert fake.asked == []


def test_list_is_1_unless_every_service_has_a_young_one(fake: FakeBackups) -> None:
    made(fake.store, "redis", timedelta(hours=2))
    made(fake.store, "postgres", timedelta(hours=30))
    code, text, _ = run("list", "--json")
    assert code == 1
    found = json.loads(text)
    assert [row["service"] for row in found["backups"]] == ["redis", "postgres"]
    assert found["backups"][0]["ageHours"] == 2
    assert found["backups"][0]["keptBy"] == ["newest", "daily", "weekly", "monthly"]
    assert found["stale"] == ["the last good backup of postgres is 30.0 h old, 24 h are allowed"]
    assert found["untested"] == ["redis", "postgres"]
    made(fake.store, "postgres", timedelta(hours=1))
    code, text, _ = run("list")
    assert code == 0
    assert "2.5 kB" in text
    assert "30.0 h" in text


def test_list_without_any_names_what_is_missing(fake: FakeBackups) -> None:
    code, text, _ = run("list")
    assert code == 1
    assert "redis has no good backup" in text
    assert fake.asked == []


def test_restore_asks_first(fake: FakeBackups) -> None:
    kept = made(fake.store, "redis", timedelta(hours=2))
    code, text, _ = run("restore", "redis", text="n\n")
    assert code == 1
    assert fake.asked == []
    assert "2026-11-25 01:00 UTC" in text
    code, text, _ = run("restore", "redis", text="y\n")
    assert code == 0
    assert fake.asked == [("restore", "redis", kept.manifest.id, False)]
    assert "6 instead of 5" in text


def test_restore_over_data_needs_a_word(fake: FakeBackups) -> None:
    kept = made(fake.store, "redis", timedelta(hours=2))
    fake.fails["redis"] = HoldsData("redis holds data")
    assert isinstance(run("restore", "redis", "--yes")[2], HoldsData)
    assert run("restore", "redis", kept.manifest.id, "--yes", "--overwrite")[0] == 0
    assert isinstance(run("restore", "redis", "no-such", "--yes")[2], NoBackup)


def test_verify_tells_what_it_found(fake: FakeBackups) -> None:
    kept = made(fake.store, "redis", timedelta(hours=2))
    code, text, _ = run("verify", "redis")
    assert code == 0
    assert fake.asked == [("verify", "redis", kept.manifest.id)]
    assert "5 keys in db0" in text
    code, text, _ = run("verify", "redis", "--json")
    assert json.loads(text)["verified"] == "2026-11-25T03:00:00Z"


# Services and settings.


def test_a_subject_is_its_record_and_its_container() -> None:
    found = subject_of("postgres", RECORDS, OUTPUTS)
    assert (found.container, found.kind, found.port) == ("agent-docker-postgres", "postgres", 5432)
    assert found.env == {"POSTGRES_DB": "a"}
    with pytest.raises(NoBackup, match="'web'") as error:
        subject_of("web", RECORDS, OUTPUTS)
    assert "redis, postgres" in str(error.value)


def test_production_must_say_where_backups_go(tmp_path: Path) -> None:
    target = Target(stack="nas", env={}, state=tmp_path)
    with pytest.raises(SettingsError, match="agent-docker:backups is required"):
        backup_settings(NasProfile(kind="production", target=target))
    wrong = {"backups": {"directory": "relative", "keepDaily": -1, "keep": 1}}
    target = Target(stack="nas", env={}, state=tmp_path, settings=wrong)
    with pytest.raises(SettingsError) as error:
        backup_settings(NasProfile(kind="production", target=target))
    for key in ("directory", "keepDaily", "keep"):
        assert f"agent-docker:backups.{key}: " in str(error.value)
