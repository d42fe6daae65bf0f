"""The offline plugins refuse to run by accident, and say what is missing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.engine.model import OFFLINE_PLUGINS

NAMES = ["pulumi-language-python", "pulumi-resource-pulumi-python"]
OFFLINE = {"PATH": "/usr/bin:/bin", "AGENT_DOCKER_OFFLINE": "1"}


def start(name: str, env: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [OFFLINE_PLUGINS / name, "127.0.0.1:1"],
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [None, "", "0", "true"])
def test_a_plugin_refuses_without_the_variable(
    name: str, value: str | None, tmp_path: Path
) -> None:
    env = {"PATH": "/usr/bin:/bin", "AGENT_DOCKER_PYTHON": sys.executable}
    if value is not None:
        env["AGENT_DOCKER_OFFLINE"] = value
    ended = start(name, env, tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "only runs with AGENT_DOCKER_OFFLINE=1\nhint: " in ended.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_plugin_needs_to_know_its_python(name: str, tmp_path: Path) -> None:
    ended = start(name, OFFLINE, tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "AGENT_DOCKER_PYTHON is unset, expected" in ended.stderr


def test_the_dynamic_provider_names_a_virtualenv_that_is_none(tmp_path: Path) -> None:
    env = {**OFFLINE, "AGENT_DOCKER_PYTHON": sys.executable, "PULUMI_RUNTIME_VIRTUALENV": "env"}
    ended = start("pulumi-resource-pulumi-python", env, tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"virtualenv is {tmp_path}/env, expected" in ended.stderr


@pytest.mark.parametrize("option", ["env", "{absolute}/env"])
def test_the_dynamic_provider_runs_in_the_projects_virtualenv(option: str, tmp_path: Path) -> None:
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$VIRTUAL_ENV|${PYTHONHOME-unset}|$*"\n')
    python.chmod(0o755)
    env = {**OFFLINE, "PYTHONHOME": "/hostile"}
    env["PULUMI_RUNTIME_VIRTUALENV"] = option.format(absolute=tmp_path)
    ended = start("pulumi-resource-pulumi-python", env, tmp_path)
    assert ended.stdout == f"{tmp_path}/env|unset|-u -m pulumi.dynamic 127.0.0.1:1\n"


def test_the_scripts_are_clean() -> None:
    shellcheck = shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    assert shellcheck is not None
    subprocess.run([shellcheck, *(OFFLINE_PLUGINS / name for name in NAMES)], check=True)
