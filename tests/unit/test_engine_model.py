"""Which versions count, what the platform is called, which folders carry the plugins."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from tools.engine import model
from tools.engine.model import OFFLINE_PLUGINS, PINNED, engine_at, is_acceptable, platform_name

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("version", ["3.259.0", "v3.259.0", "3.259.1", "3.260.0", "3.1000.0"])
def test_pinned_and_newer_versions_are_acceptable(version: str) -> None:
    assert is_acceptable(version)


@pytest.mark.parametrize(
    "version", ["3.258.9", "2.999.0", "4.0.0", "3.259.0-alpha.1", "", "dev", "3.259", "3.259.0\nx"]
)
def test_older_foreign_and_unreadable_versions_are_not(version: str) -> None:
    assert not is_acceptable(version)


def test_a_prerelease_of_a_newer_version_is_newer() -> None:
    assert is_acceptable("3.260.0-alpha.1")


@pytest.mark.parametrize(
    ("system", "machine", "name"),
    [
        ("Linux", "x86_64", "linux-x64"),
        ("Linux", "aarch64", "linux-arm64"),
        ("Darwin", "arm64", "darwin-arm64"),
        ("Darwin", "x86_64", "darwin-x64"),
        ("FreeBSD", "riscv64", "freebsd-riscv64"),
    ],
)
def test_platforms_have_the_names_of_the_releases(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, name: str
) -> None:
    monkeypatch.setattr(model.platform, "system", lambda: system)
    monkeypatch.setattr(model.platform, "machine", lambda: machine)
    assert platform_name() == name


def test_the_official_language_host_beside_pulumi_needs_no_plugins_of_ours(tmp_path: Path) -> None:
    (tmp_path / "pulumi-language-python").touch()
    assert engine_at(tmp_path / "pulumi", "path", PINNED).plugin_dirs == (tmp_path,)


def test_a_linked_pulumi_is_followed_to_its_language_host(tmp_path: Path) -> None:
    installed, common = tmp_path / "opt", tmp_path / "bin"
    installed.mkdir()
    common.mkdir()
    (installed / "pulumi").touch()
    (installed / "pulumi-language-python").touch()
    (common / "pulumi").symlink_to(installed / "pulumi")
    assert engine_at(common / "pulumi", "path", PINNED).plugin_dirs == (installed,)


def test_a_lone_pulumi_gets_the_offline_plugins(tmp_path: Path) -> None:
    assert engine_at(tmp_path / "pulumi", "go", PINNED).plugin_dirs == (OFFLINE_PLUGINS,)


def test_the_version_is_pinned_alike_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert f"pulumi=={PINNED}" in project["project"]["dependencies"]
    module = (ROOT / "tools" / "engine" / "go.mod").read_text()
    assert re.search(rf"github.com/pulumi/pulumi/pkg/v3 v{re.escape(PINNED)}\n", module)
    assert json.dumps(PINNED)[1:-1] in (ROOT / "docs" / "engine.md").read_text()
