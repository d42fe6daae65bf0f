"""Bringing up and putting back, where it needs no engine: who is told what, what is kept."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from cli import cloud_process, local, restore
from cli.cloud_process import CloudFailed
from cli.files import LocalFiles
from cli.local import NotHealthy
from cli.profile import Profile
from cli.progress import Progress
from operations.errors import Busy, CutOff, Failed, Interrupted
from operations.stack import Applied
from operations.target import Target
from tests.unit.test_cli_commands import FakeFleet, state

SETTINGS = {
    "owner": "0123456789ab",
    "fleet": {"image": "ollama/ollama:0.12.6", "endpoint": "http://{slot}"},
}


@dataclass
class FakeStack:
    """Deploys by raising what it was given, then by succeeding."""

    errors: list[Exception] = field(default_factory=list)
    target: Target = field(default_factory=lambda: Target(stack="gpu", env={}, state=Path()))

    def deploy(self, settings: Mapping[str, Any]) -> Applied:
        assert settings["owner"] == SETTINGS["owner"]
        if self.errors:
            raise self.errors.pop(0)
        return Applied(changed=True, state=state())


@dataclass
class Deployable(FakeFleet):
    its: FakeStack = field(default_factory=FakeStack)

    @property
    def stack(self) -> FakeStack:
        return self.its


@dataclass
class FakeProfile:
    made: Deployable
    target: Target = field(
        default_factory=lambda: Target(stack="gpu", env={}, state=Path(), settings=SETTINGS)
    )

    def fleet(self, _on_event: object) -> Deployable:
        return self.made


def update(*errors: Exception) -> tuple[Deployable, Any]:
    fleet = Deployable(its=FakeStack([*errors]))
    return fleet, lambda: local._update(cast("Profile", FakeProfile(fleet)), Progress())


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.health.answers", lambda _url: True)


@pytest.mark.usefixtures("answering")
@pytest.mark.parametrize("error", [Busy("locked"), CutOff("killed")])
def test_what_a_killed_engine_left_is_recovered(error: Exception) -> None:
    fleet, run = update(error)
    assert [slot.slot for slot in run().slots] == ["gpu-a1", "gpu-b2"]
    assert fleet.asked == [("recover",)]


def test_any_other_failure_is_the_users_to_see() -> None:
    fleet, run = update(Failed("no offer fits"))
    with pytest.raises(Failed, match="no offer fits"):
        run()
    assert fleet.asked == []


def test_a_silent_machine_is_named_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_BOOT_SECONDS", 0.0)
    monkeypatch.setattr("cli.health.answers", lambda url: "gpu-a1" in url)
    with pytest.raises(NotHealthy, match="gpu-b2 did not answer within 0 s; all goes on running"):
        update()[1]()


def test_an_error_tells_what_runs_now() -> None:
    told = local._ended(Failed("no offer fits"), "nothing is left running")
    assert isinstance(told, Failed)
    assert told.message == "no offer fits\nnothing is left running"
    assert str(local._ended(KeyboardInterrupt(), "x")) == "stopped; x"
    assert isinstance(local._ended(Interrupted("y"), "x"), Interrupted)
    assert isinstance(local._ended(OSError("full"), "x"), OSError)


@pytest.fixture
def files(tmp_path: Path) -> LocalFiles:
    made = LocalFiles(folder=tmp_path / "local")
    made.folder.mkdir()
    made.prepare()
    return made


def test_a_restoring_that_was_killed_half_way_is_finished(files: LocalFiles) -> None:
    copy = files.before / "backend"
    copy.mkdir(parents=True)
    (copy / "state").write_text("before")
    files.backend.rmdir()
    restore.finish(files)
    assert (files.backend / "state").read_text() == "before"
    assert not files.before.exists()
    restore.finish(files)
    assert (files.backend / "state").exists()


def test_only_what_differs_is_put_back(files: LocalFiles) -> None:
    copy = files.before / "backend"
    copy.mkdir(parents=True)
    for folder in (copy, files.backend):
        (folder / "state").write_text("same")
    inode = files.backend.stat().st_ino
    restore._put_back(files.backend, copy)
    assert files.backend.stat().st_ino == inode, "somebody else's engine may be at work there"
    (files.backend / "state").write_text("other")
    restore._put_back(files.backend, copy)
    assert (files.backend / "state").read_text() == "same"


def test_a_cloud_that_does_not_start_says_why(
    files: LocalFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud_process, "_MODULE", "localcloud.none")
    with pytest.raises(CloudFailed, match="No module named localcloud") as caught:
        cloud_process.start(files)
    assert caught.value.hint == f"see {files.folder}/cloud.log"
    assert not files.cloud_file.exists()


def test_a_cloud_is_no_other_process(files: LocalFiles) -> None:
    assert not cloud_process.lives(files)
    for pid in (1, "x", 2**22 - 1):
        files.cloud_file.write_text(json.dumps({"pid": pid, "url": "http://127.0.0.1:9"}))
        assert not cloud_process.lives(files)
        assert cloud_process.running(files) is None
    assert not cloud_process._answers({"url": "http://127.0.0.1:9"})
    assert not cloud_process._answers({})
    assert not cloud_process.stop(files)
    assert not files.cloud_file.exists()
