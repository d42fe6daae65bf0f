"""Files, locks, settings and the owner: whole or not at all, and nobody else's."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cli import completion, leftovers
from cli import files as files_module
from cli.files import LocalFiles, write_whole
from cli.init import KEY, init
from cli.lock import Occupied, exclusive
from cli.settings import fleet_settings, stack_settings
from contracts.errors import SettingsError

FILE = """# Production settings. # keep me
config:
  # the fleet
  agent-docker:fleet:
    image: "a:1"   # pinned
    models: [one, two]
# the end
"""


@pytest.fixture
def files(tmp_path: Path) -> LocalFiles:
    return LocalFiles.of({"AGENT_DOCKER_LOCAL_DIR": str(tmp_path / "local")})


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "Pulumi.gpu.yaml").write_text(FILE)
    return {"AGENT_DOCKER_SETTINGS_DIR": str(tmp_path)}


def test_secrets_are_made_once_and_private(files: LocalFiles) -> None:
    files.prepare()
    first = {name: files.read(name) for name in ("passphrase", "vast-key", "owner")}
    files.prepare()
    assert first == {name: files.read(name) for name in first}
    assert len(set(first.values())) == 3
    for name in first:
        assert stat.S_IMODE((files.folder / name).stat().st_mode) == 0o600
    assert files.read("vast-key").startswith("local-")


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


def test_a_relative_folder_is_made_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert LocalFiles.of({"AGENT_DOCKER_LOCAL_DIR": "here"}).folder == tmp_path / "here"
    assert LocalFiles.of({}).folder.name == ".local"


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_record_that_is_no_record_is_none(files: LocalFiles, text: str) -> None:
    files.folder.mkdir()
    files.cloud_file.write_text(text)
    assert not files.cloud()


def test_the_lock_is_one_commands_alone(files: LocalFiles) -> None:
    with exclusive(files, "up"):
        with (
            pytest.raises(Occupied, match=rf"`up` \(process {os.getpid()}\)") as caught,
            exclusive(files, "down"),
        ):
            pass
        assert caught.value.exit_code == 3
        (files.folder / "command").unlink()
        with pytest.raises(Occupied, match="it has just begun"), exclusive(files, "down"):
            pass
    with exclusive(files, "down"):
        pass
    assert not (files.folder / "command").exists()


def test_only_marked_processes_of_dead_commands_are_left_overs(files: LocalFiles) -> None:
    files.folder.mkdir()
    mine = leftovers.mark(files)
    other = {leftovers.COMMAND_VARIABLE: f"1 0.0 {files.folder.parent}"}
    dead = {leftovers.COMMAND_VARIABLE: f"{2**22 - 1} 1.0 {files.folder}"}
    alive = {leftovers.COMMAND_VARIABLE: f"{os.getppid()} {_created(os.getppid())} {files.folder}"}
    children = {
        name: subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=env)
        for name, env in (("mine", mine), ("other", other), ("dead", dead), ("alive", alive))
    }
    try:
        assert leftovers.end_operations(files) == 2
        assert {name for name, child in children.items() if child.poll() is None} == {
            "other",
            "alive",
        }
        assert leftovers.clouds(files) == []
    finally:
        for child in children.values():
            child.kill()
            child.wait()
            assert child.stdin is not None
            child.stdin.close()


def _created(pid: int) -> float:
    import psutil  # noqa: PLC0415 - the only use

    return psutil.Process(pid).create_time()


# Settings.


def test_the_owner_is_written_once_and_comments_stay(env: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.gpu.yaml"
    path.chmod(0o640)
    given = init("gpu", env)
    assert given.written
    lines = path.read_text().splitlines()
    assert [line for line in lines if KEY not in line] == FILE.splitlines()
    assert stack_settings("gpu", env)["owner"] == given.owner
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    text = path.read_text()
    again = init("gpu", env)
    assert (again.owner, again.written) == (given.owner, False)
    assert path.read_text() == text


@pytest.mark.parametrize("text", ["", "# only a comment\n", "config:\n", "encryptionsalt: v1:x\n"])
def test_a_file_without_settings_gets_them(env: dict[str, str], tmp_path: Path, text: str) -> None:
    (tmp_path / "Pulumi.gpu.yaml").write_text(text)
    assert init("gpu", env).owner == stack_settings("gpu", env)["owner"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("config: [", "is not YAML"),
        ("config: {a: 1, a: 2}", "is not YAML"),
        ("[1, 2]", "it must be a mapping"),
        ("config: 5", "config must be a mapping, got 5"),
        (f"config: {{'{KEY}': No Owner}}", "must match"),
        (f"config: {{'{KEY}': 12345678}}", "must match"),
    ],
)
def test_a_malformed_file_is_refused_and_kept(
    env: dict[str, str], tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "Pulumi.gpu.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"Pulumi\.gpu\.yaml") as caught:
        init("gpu", env)
    assert said in caught.value.message
    assert path.read_text() == text


def test_bytes_that_are_no_text_are_refused(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "Pulumi.gpu.yaml").write_bytes(b"config: \xff")
    with pytest.raises(SettingsError, match="is not YAML"):
        init("gpu", env)


def test_an_unknown_stack_is_named_with_the_known(env: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"Pulumi\.gpo\.yaml does not exist") as caught:
        init("gpo", env)
    assert caught.value.hint == "the stacks are: gpu"


def test_a_stack_without_a_fleet_is_refused() -> None:
    with pytest.raises(SettingsError, match="agent-docker:fleet is required"):
        fleet_settings({}, "Pulumi.gpu.yaml")
    assert fleet_settings({"fleet": {"image": "a:1", "tailnet": "t"}}, "x").image == "a:1"


# Completion.


def test_completion_reads_slots_and_stacks(
    files: LocalFiles, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_DOCKER_LOCAL_DIR", str(files.folder))
    monkeypatch.setenv("AGENT_DOCKER_SETTINGS_DIR", env["AGENT_DOCKER_SETTINGS_DIR"])
    assert completion.slots("") == []
    stacks = files.backend / ".pulumi" / "stacks" / "agent-docker"
    stacks.mkdir(parents=True)
    (stacks / "gpu.json").write_text(
        '{"checkpoint": {"latest": {"resources": [{"type": "x"}, {"type": "pulumi:pulumi:Stack",'
        '"outputs": {"slots": {"slots": [{"name": "gpu-a"}, {"name": "gpu-b"}]}}}]}}}'
    )
    assert completion.slots("gpu-") == ["gpu-a", "gpu-b"]
    assert completion.slots("gpu-b") == ["gpu-b"]
    (stacks / "gpu.json").write_text("{}")
    assert completion.slots("") == []
    assert completion.stacks("g") == ["gpu"]
    monkeypatch.setenv("AGENT_DOCKER_SETTINGS_DIR", "/nowhere")
    assert completion.stacks("") == []


def test_the_owner_is_no_number_to_yaml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # The first is infinite to YAML and nothing to JSON, the second is a whole number.
    drawn = iter(["12345e678901", "123456789012", "a23456789012"])
    monkeypatch.setattr(files_module.secrets, "token_hex", lambda _n: next(drawn))
    assert files_module.fresh_owner() == "a23456789012"
    monkeypatch.undo()
    files = LocalFiles(folder=tmp_path)
    files.prepare()
    assert files.read("owner")[0].isalpha()
