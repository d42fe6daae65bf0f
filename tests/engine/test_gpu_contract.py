"""What we build on in the engine and its SDK, pinned: an upgrade that changes it fails here."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pulumi.automation import errors as automation_errors
from pulumi.automation._cmd import CommandResult

from contracts.program import INSTANCE_TYPE
from operations import locks
from operations.failures import _KILLED
from tests.engine.conftest import backend_state
from tests.engine.fleets import PASSPHRASE_CANARY, TestFleet, environment
from tools import engine

PROGRAM = """
import pulumi
from stacks.last_update import LastUpdate
seen = LastUpdate().output("count")
pulumi.export("seen", "none" if seen is None else f"{seen} {type(seen).__name__}")
pulumi.export("count", (seen or 0) + 1)
"""
Pulumi = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    document = {
        "name": "pinned",
        "runtime": {"name": "python", "options": {"virtualenv": sys.prefix}},
    }
    (folder / "Pulumi.yaml").write_text(json.dumps(document))
    (folder / "__main__.py").write_text(PROGRAM)
    return folder


@pytest.fixture
def pulumi(project: Path, tmp_path: Path) -> Pulumi:
    env = environment(tmp_path, "http://127.0.0.1:9")
    (tmp_path / "passphrase").write_text(PASSPHRASE_CANARY)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(engine.ensure().pulumi), *arguments, "--non-interactive"]
        return subprocess.run(
            command, cwd=project, env=env, capture_output=True, text=True, check=False
        )

    assert run("stack", "init", "dev").returncode == 0
    return run


def test_a_reference_to_the_stack_itself_is_plain_data_from_the_first_update_on(
    pulumi: Pulumi,
) -> None:
    for expected in ("none", "1 int", "2 int"):
        planned = pulumi("preview")
        assert planned.returncode == 0, planned.stdout + planned.stderr
        done = pulumi("up", "--yes", "--skip-preview")
        assert done.returncode == 0, done.stdout + done.stderr
        outputs = json.loads(pulumi("stack", "output", "--json").stdout)
        # On the engine's wire every number is a float.
        assert outputs["seen"].replace("float", "int").replace(".0", "") == expected


def test_settings_and_secrets_come_back_from_the_last_update(pulumi: Pulumi, project: Path) -> None:
    early = pulumi("config", "refresh", "--force")
    assert early.returncode != 0
    assert "no previous deployment" in early.stderr
    assert pulumi("config", "set", "plain", "visible").returncode == 0
    assert pulumi("config", "set", "--secret", "hidden", "canary-of-a-setting").returncode == 0
    assert pulumi("up", "--yes", "--skip-preview").returncode == 0
    (project / "Pulumi.dev.yaml").unlink()
    assert pulumi("config", "refresh", "--force").returncode == 0
    assert "canary-of-a-setting" not in (project / "Pulumi.dev.yaml").read_text()
    assert pulumi("config", "get", "plain").stdout.strip() == "visible"
    assert pulumi("config", "get", "hidden").stdout.strip() == "canary-of-a-setting"


def test_the_refusal_of_a_locked_stack_names_its_owner(pulumi: Pulumi, tmp_path: Path) -> None:
    assert pulumi("up", "--yes", "--skip-preview").returncode == 0
    folder = tmp_path / "backend/.pulumi/locks/organization/pinned/dev"
    folder.mkdir(parents=True, exist_ok=True)
    lock = {"pid": 77, "username": "me", "hostname": "here", "timestamp": "2026-01-02T03:04:05Z"}
    (folder / "one.json").write_text(json.dumps(lock))
    refused = pulumi("up", "--yes", "--skip-preview")
    assert refused.returncode != 0
    assert automation_errors.diy_backend_conflict_text in refused.stderr
    (owner,) = locks.owners(refused.stderr)
    assert (owner.user, owner.host, owner.pid) == ("me", "here", 77)
    assert owner.at == "2026-01-02T03:04:05Z"
    # It removes whatever lock there is, which is why nobody calls it without a proof.
    assert pulumi("cancel", "--yes").returncode == 0
    assert list(folder.iterdir()) == []


def test_the_automation_api_tells_a_killed_engine_by_its_code() -> None:
    killed = automation_errors.create_command_error(CommandResult(stdout="", stderr="", code=-9))
    failed = automation_errors.create_command_error(CommandResult(stdout="", stderr="", code=255))
    assert _KILLED.search(str(killed))
    assert not _KILLED.search(str(failed))


def test_one_provider_process_works_on_four_machines_at_once() -> None:
    # Not imported: it would serve.
    found = importlib.util.find_spec("pulumi.dynamic.__main__")
    assert found is not None
    assert found.origin is not None
    assert "max_workers=4" in Path(found.origin).read_text()


def test_a_machine_in_the_state_is_small_and_says_nothing_of_our_code(fleet: TestFleet) -> None:
    fleet.deploy()
    state = json.loads(backend_state(fleet))
    rows = state["checkpoint"]["latest"]["resources"]
    (machine,) = [row for row in rows if row["type"] == INSTANCE_TYPE]
    assert len(machine["inputs"]["__provider"]) < 100
    assert len(json.dumps(machine)) < 12_000
    assert state["checkpoint"]["latest"].get("pending_operations", []) == []
