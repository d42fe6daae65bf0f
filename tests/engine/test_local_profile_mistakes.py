"""Mistakes that the engine or the local cloud sees: one message, nothing else changes."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.test_local_profile import ROOT, Local, local

__all__ = ["local"]


@pytest.mark.parametrize(
    ("fleet", "said"),
    [
        ({"gpus": 3}, "fleet.gpus: is not a setting"),
        ({"diskGb": "much"}, "fleet.diskGb: Input should be a valid integer"),
        ({"min": 3, "max": 2}, "min must not be above max, got min 3 and max 2"),
        ({"selection": {"maxPricePerHour": -0.5}}, "fleet.selection.maxPricePerHour"),
        ({"image": "ollama/ollama"}, "fleet.image: must name a version"),
    ],
)
def test_wrong_settings_start_nothing(local: Local, fleet: dict[str, object], said: str) -> None:
    local.settings(json.dumps({"config": {"agent-docker:fleet": {"image": "a:1", **fleet}}}))
    assert said in local.refused(2, "up")
    assert not (local.folder / "local").exists()


def test_settings_that_cannot_be_met_leave_what_ran(local: Local, tmp_path: Path) -> None:
    local.fleet(gpu="RTX 4099")
    said = local.refused(1, "up")
    assert "RTX 4099" in said
    assert "RTX 4090" in said, "a near name"
    assert "nothing is left running" in said
    assert local.processes() == {}

    local.settings()
    local.ok("up")
    contracts, state = local.contracts(), local.state()
    local.fleet(desired=2, selection={"maxPricePerHour": 0.001})
    said = local.refused(1, "up")
    assert "above the price cap" in said
    assert "what ran before runs again" in said
    assert (local.contracts(), local.state()) == (contracts, state)

    passphrase = local.folder / "local" / "passphrase"
    right = passphrase.read_text()
    passphrase.write_text("another one")
    assert "passphrase" in local.refused(2, "up")
    passphrase.write_text(right)
    key = local.folder / "local" / "vast-key"
    kept = key.read_text()
    key.write_text("local-another-key")
    assert "key" in local.refused(5, "up")
    key.write_text(kept)
    assert (local.contracts(), local.state()) == (contracts, state)

    taken = local.cloud()["url"].rsplit(":", 1)[-1]
    assert f"runs on port {taken} already" in local.refused(2, "up", "--vast-port", "1")
    elsewhere = Local(tmp_path / "second")
    elsewhere.folder.mkdir()
    elsewhere.settings()
    said = elsewhere.refused(1, "up", "--vast-port", taken)
    assert f"port {taken}: address already in use" in said
    assert elsewhere.processes() == {}

    # `down` ends whatever there is, however broken.
    passphrase.write_text("another one")
    assert local.ok("down").err.count("passphrase") == 1
    assert local.processes() == {}


def test_without_any_source_of_an_engine(local: Local, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    env = {
        "PATH": str(tmp_path / "empty"),
        "AGENT_DOCKER_CACHE": str(tmp_path / "cache"),
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    said = local.refused(1, "up", **env)
    assert "there is no `go` on the PATH" in said
    assert "hint: install pulumi" in said
    assert not (local.folder / "local" / "cloud.json").exists()
    checks = {check["name"]: check for check in local.run("doctor", "--json", **env).json()}
    assert checks["Pulumi engine"]["state"] == "missing"
    assert checks["git"]["fix"]
    assert "GB" in checks["Disk for the engine"]["evidence"]


def test_a_folder_that_cannot_be_written(local: Local) -> None:
    (local.folder / "file").write_text("")
    for folder in ("/proc/agent-docker", str(local.folder / "file" / "below")):
        said = local.refused(1, "up", AGENT_DOCKER_LOCAL_DIR=folder)
        assert folder in said
        assert "AGENT_DOCKER_LOCAL_DIR" in said


def test_a_full_disk_is_one_message(local: Local) -> None:
    """A limit on the size of files stands for it: nothing more can be written."""
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "
        "sys.argv = ['agent-docker', 'up']; from cli.main import run; run()"
    )
    # Without the measuring of coverage, which writes files too.
    env = {name: value for name, value in local.env.items() if "COVERAGE" not in name}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert f"error: {local.folder / 'local'}" in done.stderr
    assert "free some space" in done.stderr
    assert "Traceback" not in done.stderr
    assert local.processes() == {}


def test_production_needs_its_own_things(local: Local) -> None:
    backend = {"PULUMI_BACKEND_URL": f"file://{local.folder}"}
    assert "PULUMI_BACKEND_URL is not set" in local.refused(2, "status", "--production")
    assert "VASTAI_API_KEY is not set" in local.refused(2, "status", "--production", **backend)
    two = {**backend, "VASTAI_API_KEY": "a" * 64, "VAST_API_KEY": "b" * 64}
    assert "hold different keys" in local.refused(2, "status", "--production", **two)


def test_json_is_one_document_also_when_it_fails(local: Local) -> None:
    for arguments, code in ((("status", "--json"), 1), (("up", "--json", "--vast-port", "x"), 2)):
        done = local.run(*arguments)
        assert done.code == code
        assert done.json()["error"]["exitCode"] == code
    broken = local.start("gpu", "offers", "--json")
    assert broken.end().json()["error"]["message"] == "the local profile is down"


def test_a_reader_that_has_enough_is_no_error(local: Local) -> None:
    reader, writer = socket.socketpair()
    reader.close()
    with writer:
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", "doctor"],
            cwd=ROOT,
            env=local.env,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.stderr == ""
    assert done.returncode == 1
