"""The folder and the environment of one operation."""

import os
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from operations import engines
from operations.errors import Busy, CutOff, Failed, Interrupted
from operations.history import NO_BACKUPS
from operations.target import Target, workspace
from providers.vastai.pacing import shared_folder


@pytest.fixture
def target(tmp_path: Path) -> Target:
    (tmp_path / "bin").mkdir()
    engine = tmp_path / "bin" / "pulumi"
    engine.write_text("#!/bin/sh\n")
    engine.chmod(0o700)
    env = {"PATH": str(tmp_path / "bin"), "PULUMI_HOME": "/elsewhere", "KEPT": "yes"}
    return Target(stack="gpu", env=env, state=tmp_path / "state", secrets=("hidden-key",))


def left(target: Target) -> list[str]:
    return sorted(path.name.split("-")[0] for path in target.state.iterdir())


def test_the_environment_is_the_targets_with_folders_of_its_own(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://production")
    monkeypatch.setenv("VASTAI_API_KEY", "of the shell")
    with workspace(target) as (work, env):
        own = {"PATH", "PULUMI_HOME", "TMPDIR", "AGENT_DOCKER_RUN_DIR", *NO_BACKUPS}
        assert set(env) == {"KEPT"} | own
        assert env["KEPT"] == "yes"
        base = work.parent
        assert Path(env["PULUMI_HOME"]).parent == Path(env["TMPDIR"]).parent == base
        assert env["PATH"] == f"{base / 'bin'}:{target.env['PATH']}"
        assert env["AGENT_DOCKER_RUN_DIR"] == str(shared_folder(target.env))
        for folder in base.iterdir():
            assert folder.stat().st_mode & 0o777 == 0o700


def test_a_named_run_folder_is_kept(target: Target) -> None:
    named = Target(
        stack="gpu", env={**target.env, "AGENT_DOCKER_RUN_DIR": "/r"}, state=target.state
    )
    assert named.run_dir == Path("/r")


def test_two_operations_share_nothing_and_leave_nothing(target: Target) -> None:
    with workspace(target) as (one, _), workspace(target) as (two, _):
        assert one.parent != two.parent
        assert (one / "__main__.py").read_text() == (target.program / "__main__.py").read_text()
        document = YAML(typ="safe").load(one / "Pulumi.yaml")
        assert document["name"] == "agent-docker"
        assert document["runtime"]["options"]["virtualenv"] == str(target.python)
    assert left(target) == []


def test_nothing_is_left_when_the_operation_fails(target: Target) -> None:
    def fail() -> None:
        with workspace(target) as (work, _):
            (work / "sub").mkdir()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert left(target) == []


@pytest.mark.parametrize(
    ("error", "kept"), [(CutOff, 1), (Interrupted, 1), (Busy, 0), (Failed, 0), (None, 0)]
)
def test_the_record_of_engines_stays_only_when_a_lock_of_theirs_may_stand(
    target: Target, error: type[Failed] | None, kept: int
) -> None:
    try:
        with workspace(target) as (work, _):
            engines.record_file(target.state, "gpu", work.parent.name).write_text("77\n")
            assert engines.recorded(target.state, "gpu") == {77}
            if error is not None:
                raise error("why")
    except (Failed, Busy, Interrupted):
        pass
    assert len(engines.recorded(target.state, "gpu")) == kept


def test_what_a_killed_process_left_goes_after_a_day_not_before(target: Target) -> None:
    target.state.mkdir()
    old, young = target.state / "operation-old", target.state / "operation-young"
    for folder in (old, young):
        (folder / "work").mkdir(parents=True)
    os.utime(old, (time.time() - 90_000,) * 2)
    with workspace(target):
        assert not old.exists()
        assert young.exists()


def test_neither_environment_nor_secrets_are_shown(target: Target) -> None:
    assert "hidden-key" not in repr(target)
    assert "KEPT" not in repr(target)
