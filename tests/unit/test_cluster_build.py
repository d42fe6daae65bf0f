"""Building the control plane: what `go` is asked for, and what the cache holds after each end."""

import re
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import cluster
from tools.cluster import BuildFailed, GoMissing, gobuild
from tools.cluster.model import ETCD, KUBERNETES, KWOK, PROGRAMS, home

FakeGo = Callable[[str], Path]
MODULES = Path(gobuild.__file__).parent
_LOG = 'echo "$GOFLAGS|$GOWORK|$CGO_ENABLED|${PWD##*/}|$*" >> "${0%/*}/go.log"\n'
_BUILDS = """
if [ "$1" = list ]; then echo "go: downloading something" >&2; echo "${0%/*}/source"; exit; fi
while [ "$1" != -o ]; do shift; done
mkdir -p "${2%/*}"
echo program > "$2"
chmod +x "$2"
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"PATH": str(tmp_path / "bin"), "AGENT_DOCKER_CACHE": str(tmp_path / "cache")}


@pytest.fixture
def go(tmp_path: Path) -> FakeGo:
    """Write a `go` with the given body, and the source of kwok that it finds."""

    def write(body: str) -> Path:
        folder = tmp_path / "bin"
        for name in gobuild.STAGES:
            stage = folder / "source" / "kustomize" / "stage" / name
            stage.parent.mkdir(parents=True, exist_ok=True)
            stage.write_text("kind: Stage\n")
            stage.chmod(0o444)
        (folder / "go").write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{_LOG}{body}")
        (folder / "go").chmod(0o755)
        return folder / "go.log"

    return write


def entries(env: dict[str, str]) -> list[str]:
    return sorted(path.name for path in home(env).parent.iterdir())


def test_every_program_is_built_once_from_its_module(go: FakeGo, env: dict[str, str]) -> None:
    log = go(_BUILDS)
    said: list[str] = []
    hostile = {**env, "GOFLAGS": "-mod=mod", "GOWORK": "/w"}
    built = cluster.build(said.append, hostile)
    assert built == cluster.locate(env) == cluster.build(env=env)
    assert said[1] == "building kube-apiserver (about 3 minutes)"

    calls = log.read_text().splitlines()
    assert len(calls) == len(PROGRAMS) + 1
    for program, call in zip(PROGRAMS, calls, strict=False):
        assert call.startswith(f"-mod=readonly|off|0|{program.module}|build -trimpath -ldflags ")
        assert call.endswith(f"/{program.name} {program.package}")
    assert f"k8s.io/component-base/version.gitVersion=v{KUBERNETES}" in calls[1]
    assert entries(env) == [home(env).name, f"{home(env).name}.lock"]
    assert sorted(path.name for path in home(env).iterdir()) == ["bin", "build.log", "stages"]
    assert all(path.stat().st_mode & stat.S_IWUSR for path in built.stages.iterdir())


def test_without_go_the_error_says_what_to_install(env: dict[str, str]) -> None:
    assert cluster.locate(env) is None
    with pytest.raises(GoMissing, match=r"no `go` on the PATH.*\nhint: install Go 1\.26"):
        cluster.build(env=env)
    assert entries(env) == [f"{home(env).name}.lock"]


def test_a_failed_build_ends_with_the_compilers_words_and_leaves_nothing(
    go: FakeGo, env: dict[str, str]
) -> None:
    go("echo 'package x: boom' >&2; exit 2")
    with pytest.raises(BuildFailed, match=r"etcd/server/v3` ended with exit code 2:\npackage x: b"):
        cluster.build(env=env)
    assert cluster.locate(env) is None
    assert entries(env) == [f"{home(env).name}.lock"]


def test_an_interrupted_build_ends_the_compilers(
    go: FakeGo, env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = tmp_path / "ended"
    go(f"trap 'touch {ended}; exit 130' INT\nsleep 60 & wait")

    class Interrupted(gobuild.subprocess.Popen[bytes]):  # type: ignore[name-defined]
        calls = 0

        def wait(self, timeout: float | None = None) -> int:
            Interrupted.calls += 1
            if Interrupted.calls == 1:
                deadline = threading.Event()
                while not (tmp_path / "bin" / "go.log").exists():
                    deadline.wait(0.02)
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(gobuild.subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        cluster.build(env=env)
    assert ended.exists()
    assert entries(env) == [f"{home(env).name}.lock"]


def test_what_a_killed_build_left_is_swept(go: FakeGo, env: dict[str, str]) -> None:
    left = home(env).parent / f".staging-{home(env).name}-abc" / "whole"
    left.mkdir(parents=True)
    go(_BUILDS)
    cluster.build(env=env)
    assert not left.exists()


def test_two_at_once_build_once_and_the_second_says_that_it_waits(
    go: FakeGo, env: dict[str, str], tmp_path: Path
) -> None:
    log, may_end = go(f"until [ -e {tmp_path}/go-on ]; do sleep 0.02; done\n{_BUILDS}"), tmp_path
    said: list[str] = []

    def hear(line: str) -> None:
        said.append(line)
        if line.startswith("waiting for another process"):
            (may_end / "go-on").touch()

    threads = [threading.Thread(target=cluster.build, args=(hear, env)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "go-on").exists()
    assert len(log.read_text().splitlines()) == len(PROGRAMS) + 1


def test_go_modules_and_constants_name_the_same_versions() -> None:
    kubernetes = (MODULES / "kubernetes" / "go.mod").read_text()
    assert f"k8s.io/kubernetes v{KUBERNETES}\n" in kubernetes
    assert f"go.etcd.io/etcd/server/v3 v{ETCD}\n" in kubernetes
    assert f"sigs.k8s.io/kwok v{KWOK}\n" in (MODULES / "kwok" / "go.mod").read_text()
    staging = re.findall(r"^\t(k8s\.io/\S+) => (\S+) v(\S+)$", kubernetes, re.MULTILINE)
    assert len(staging) == 31
    assert {version for _, _, version in staging} == {f"0.{KUBERNETES.split('.', 1)[1]}"}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_what_is_built_is_named_in_tools_go(program: cluster.model.Program) -> None:
    assert f'"{program.package}"' in (MODULES / program.module / "tools.go").read_text()
