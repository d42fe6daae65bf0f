"""Where the engine is taken from, in which order, with fake programs and no network."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import engine
from tools.engine import BadEngineError, BuildError, EngineMissing
from tools.engine.cache import EngineCache, cache_root
from tools.engine.model import OFFLINE_PLUGINS, PINNED

NOWHERE = "http://127.0.0.1:9"  # the discard port: refused at once
Script = Callable[[str, str], Path]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Write an executable sh script into the only folder of the PATH."""

    def write(name: str, body: str) -> Path:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{body}\n")
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"PATH": str(tmp_path / "bin"), "AGENT_DOCKER_CACHE": str(tmp_path / "cache")}


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "cache")


def go_that_builds(version: str = PINNED) -> str:
    """Body of a fake `go`: logs its call, downloads nothing, writes a pulumi of `version`."""
    return f"""
echo "$GOFLAGS|$GOWORK|${{PULUMI_ACCESS_TOKEN:-}}|$PWD|$*" >> "${{0%/*}}/go.log"
echo "go: downloading example.org/a v1.0.0" >&2
while [ "$1" != -o ]; do shift; done
mkdir -p "${{2%/*}}"
printf '#!/bin/sh\\necho v{version}\\n' > "$2"
chmod +x "$2"
"""


def test_nothing_anywhere_is_none(env: dict[str, str]) -> None:
    assert engine.locate(env) is None


def test_pulumi_on_the_path_comes_first(script: Script, env: dict[str, str]) -> None:
    pulumi = script("pulumi", "echo v3.300.1")
    script("go", go_that_builds())
    found = engine.ensure(env, release_url=NOWHERE)
    assert (found.pulumi, found.source, found.version) == (pulumi, "path", "3.300.1")
    assert found.plugin_dirs == (OFFLINE_PLUGINS,)
    assert not (pulumi.parent / "go.log").exists()


def test_an_old_pulumi_on_the_path_is_named_and_not_used(
    script: Script, env: dict[str, str]
) -> None:
    script("pulumi", "echo v3.1.0")
    said: list[str] = []
    assert engine.locate(env, on_progress=said.append) is None
    assert "version 3.1.0, expected 3.259.0 or newer" in said[0]


def test_a_broken_pulumi_on_the_path_is_named_and_not_used(
    script: Script, env: dict[str, str]
) -> None:
    script("pulumi", "exit 3")
    said: list[str] = []
    assert engine.locate(env, on_progress=said.append) is None
    assert "version` failed" in said[0]


def test_a_pulumi_on_the_path_is_asked_once(
    script: Script, env: dict[str, str], tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    script("pulumi", f"echo x >> {asked}; echo v{PINNED}")
    for _ in range(3):
        assert engine.locate(env) is not None
    assert asked.read_text() == "x\n"
    script("pulumi", f"echo y >> {asked}; echo v3.1.0")
    assert engine.locate(env) is None
    assert asked.read_text() == "x\ny\n"


def test_the_question_sees_nothing_of_the_shell(
    script: Script, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_HOME", "/nonexistent")
    monkeypatch.setenv("PULUMI_ACCESS_TOKEN", "hostile")
    script("pulumi", f'test -d "$PULUMI_HOME" && test -z "$PULUMI_ACCESS_TOKEN" && echo v{PINNED}')
    assert engine.locate(env) is not None


def test_go_builds_into_the_cache_once(
    script: Script, env: dict[str, str], cache: EngineCache
) -> None:
    go = script("go", go_that_builds())
    said: list[str] = []
    hostile = {**env, "GOFLAGS": "-mod=mod", "GOWORK": "/w", "PULUMI_ACCESS_TOKEN": "hostile"}
    built = engine.ensure(hostile, on_progress=said.append, release_url=NOWHERE)
    assert (built.pulumi, built.source, built.version) == (cache.pulumi, "go", PINNED)
    assert built == engine.locate(env) == engine.ensure(env, release_url=NOWHERE)

    (call,) = (go.parent / "go.log").read_text().splitlines()
    assert call.startswith("-mod=readonly|off||")
    assert f"version.Version=v{PINNED}" in call
    assert "-trimpath" in call
    assert "downloading example.org/a v1.0.0" in said
    assert any("about 3 minutes" in line for line in said)
    assert [entry.name for entry in sorted(cache.home.iterdir())] == ["bin", "engine.json"]


def test_a_build_that_fails_leaves_nothing(
    script: Script, env: dict[str, str], cache: EngineCache
) -> None:
    script("go", "echo 'package x: boom' >&2; exit 2")
    with pytest.raises(BuildError, match=r"exit code 2:\npackage x: boom\nhint: "):
        engine.ensure(env, release_url=NOWHERE)
    assert not cache.home.exists()
    assert not list(cache.folder.glob(".staging-*"))


def test_a_build_of_another_version_is_refused(
    script: Script, env: dict[str, str], cache: EngineCache
) -> None:
    script("go", go_that_builds("3.1.0"))
    with pytest.raises(BadEngineError, match=r"says version '3\.1\.0', expected '3\.259\.0'"):
        engine.ensure(env, release_url=NOWHERE)
    assert not cache.home.exists()


def test_without_release_and_go_the_error_names_both(env: dict[str, str]) -> None:
    with pytest.raises(
        EngineMissing, match=r"no `go` on the PATH.*checksums\.txt.*\nhint: install"
    ):
        engine.ensure(env, release_url=NOWHERE)


def test_an_interrupted_build_ends_the_compilers_and_leaves_nothing(
    script: Script, env: dict[str, str], cache: EngineCache, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    script(
        "go",
        f"""
while [ "$1" != -o ]; do shift; done
mkdir -p "${{2%/*}}"
echo half > "$2"
sleep 600 & compiler=$!
echo "$$ $compiler" > {pids}
echo "go: downloading half of it" >&2
wait""",
    )

    def interrupt(line: str) -> None:
        if line == "downloading half of it":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.ensure(env, on_progress=interrupt, release_url=NOWHERE)
    assert not cache.home.exists()
    assert not list(cache.folder.glob(".staging-*"))
    for pid in map(int, pids.read_text().split()):
        wait_until_gone(pid)


def test_what_a_killed_installer_left_is_swept(
    script: Script, env: dict[str, str], cache: EngineCache
) -> None:
    left = cache.folder / ".staging-left" / "bin"
    left.mkdir(parents=True)
    script("go", go_that_builds())
    engine.ensure(env, release_url=NOWHERE)
    assert not left.exists()


def test_two_installers_build_once(script: Script, env: dict[str, str]) -> None:
    go = script("go", go_that_builds())
    found: list[engine.Engine] = []
    threads = [
        threading.Thread(target=lambda: found.append(engine.ensure(env, release_url=NOWHERE)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 3
    assert len(set(found)) == 1
    assert len((go.parent / "go.log").read_text().splitlines()) == 1


def test_a_changed_binary_in_the_cache_is_replaced(
    script: Script, env: dict[str, str], cache: EngineCache
) -> None:
    script("go", go_that_builds())
    engine.ensure(env, release_url=NOWHERE)
    cache.pulumi.write_text("#!/bin/sh\necho v3.259.0; echo mine\n")
    assert engine.locate(env) is None
    assert engine.ensure(env, release_url=NOWHERE).pulumi == cache.pulumi
    assert "mine" not in cache.pulumi.read_text()


@pytest.mark.parametrize("stamp", ["", "[]", "{}", '{"version": 1}', "\0"])
def test_an_unreadable_stamp_counts_as_no_engine(
    script: Script, env: dict[str, str], cache: EngineCache, stamp: str
) -> None:
    script("go", go_that_builds())
    engine.ensure(env, release_url=NOWHERE)
    (cache.home / "engine.json").write_text(stamp)
    assert engine.locate(env) is None


def test_a_read_only_cache_still_serves_the_path(
    script: Script, env: dict[str, str], tmp_path: Path
) -> None:
    script("pulumi", f"echo v{PINNED}")
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert engine.locate(env) is not None


def test_the_cache_folder_can_be_chosen(tmp_path: Path) -> None:
    assert cache_root({"AGENT_DOCKER_CACHE": str(tmp_path)}) == tmp_path
    assert cache_root({}).name == "agent-docker"


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        status = Path(f"/proc/{pid}/stat")
        if status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z":
            return  # dead; whoever adopted it has not collected it yet
        threading.Event().wait(0.02)
    pytest.fail(f"process {pid} is still there")
