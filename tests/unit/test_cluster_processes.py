"""Components as processes, with shell scripts in the place of the programs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tools import cluster
from tools.cluster import __main__, processes, run
from tools.cluster.gobuild import STAGES
from tools.cluster.layout import Layout
from tools.cluster.model import PROGRAMS, binaries_at, home

_SLEEP = ["/bin/sh", "-c", "sleep 60; :"]
_OWNER = """
import sys, time
from pathlib import Path
from tools.cluster.layout import Layout
from tools.cluster.processes import launch
launch(Layout.of(Path(sys.argv[1])), "etcd", ["/bin/sleep", "60"], tied=True)
print("started", flush=True)
time.sleep(60)
"""


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    made = Layout.of(tmp_path / "data")
    made.create()
    yield made
    processes.end(made)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put scripts into the cache; each sleeps unless given a body."""

    def write(**bodies: str) -> None:
        monkeypatch.setenv("AGENT_DOCKER_CACHE", str(tmp_path / "cache"))
        binaries = binaries_at(home())
        binaries.folder.mkdir(parents=True)
        binaries.stages.mkdir()
        for program in PROGRAMS:
            body = bodies.get(program.name.replace("-", "_"), "exec sleep 60")
            binaries[program.name].write_text(f"#!/bin/sh\n{body}\n")
            binaries[program.name].chmod(0o755)
        for name in STAGES:
            (binaries.stages / Path(name).name).touch()

    return write


def until(ask: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not ask():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_component_is_found_again_by_its_folder_and_ended(layout: Layout) -> None:
    processes.launch(layout, "etcd", _SLEEP, tied=False)
    found = processes.found(Layout.of(layout.data))
    assert set(found) == {"etcd"}
    assert os.getsid(found["etcd"].pid) == found["etcd"].pid
    processes.end(layout)
    assert not found["etcd"].is_running()
    assert not processes.found(layout)


def test_processes_of_others_are_not_ended(layout: Layout, tmp_path: Path) -> None:
    """Neither of the same program nor of another cluster."""
    other = Layout.of(tmp_path / "other")
    other.create()
    processes.launch(other, "etcd", _SLEEP, tied=False)
    try:
        with subprocess.Popen(_SLEEP) as stranger:
            processes.launch(layout, "etcd", _SLEEP, tied=False)
            processes.end(layout)
            assert stranger.poll() is None
            assert set(processes.found(other)) == {"etcd"}
            stranger.kill()
    finally:
        processes.end(other)


def test_nothing_of_the_shell_reaches_a_component(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KUBECONFIG", "HTTPS_PROXY", "HOME"):
        monkeypatch.setenv(name, "hostile")
    processes.launch(layout, "etcd", ["/usr/bin/env"], tied=False)
    until(lambda: not processes.found(layout))
    said = layout.log("etcd").read_text()
    assert "hostile" not in said
    assert f"HOME={layout.data}\n" in said


def test_one_that_does_not_heed_the_request_is_killed(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.2)
    deaf = ["/bin/sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.1; done"]
    processes.launch(layout, "etcd", deaf, tied=False)
    until(lambda: layout.log("etcd").read_text())
    processes.end(layout)
    assert not processes.found(layout)


@pytest.mark.skipif(sys.platform != "linux", reason="ties processes by a call of Linux")
def test_a_tied_one_ends_with_a_killed_owner(layout: Layout) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(layout.data)],
        cwd=Path(run.__file__).parents[2],
        stdout=subprocess.PIPE,
    ) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        assert set(processes.found(layout)) == {"etcd"}
        owner.send_signal(signal.SIGKILL)
    until(lambda: not processes.found(layout))


def test_a_failed_start_names_the_component_and_its_last_words(
    fake: Callable[..., None], tmp_path: Path
) -> None:
    fake(etcd="echo first; echo no room on the disk >&2; exit 1")
    data = tmp_path / "data"
    with pytest.raises(cluster.NotStarted) as failed:
        cluster.start(data)
    assert str(failed.value).startswith("etcd: has ended; it said last:\nfirst\nno room on the di")
    assert f"hint: the whole log is {data}/logs/etcd.log" in str(failed.value)
    assert not processes.found(Layout.of(data))
    assert cluster.running(data) is None
    cluster.stop(data)
    assert not data.exists()


def test_a_start_that_hangs_ends_at_its_deadline(
    fake: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake()
    monkeypatch.setattr(run, "START_SECONDS", 0.1)
    said: list[str] = []
    with pytest.raises(cluster.NotStarted, match="kube-apiserver: certificate not ready"):
        cluster.start(tmp_path / "data", on_progress=said.append)
    assert said == ["starting etcd and the API server"]
    assert not processes.found(Layout.of(tmp_path / "data"))


def test_a_cluster_of_ones_own_leaves_nothing_when_it_cannot_start(
    fake: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(kube_apiserver="exit 3")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    with pytest.raises(cluster.NotStarted, match="kube-apiserver"), cluster.cluster():
        raise AssertionError
    assert not list((tmp_path / "temporary").iterdir())


def test_status_prints_the_kubeconfig_and_every_process(
    fake: Callable[..., None], layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    fake()
    layout.port.write_text("12345")
    layout.kubeconfig.touch()
    for part in run.PARTS:
        assert __main__.main(["status", "--data", str(layout.data)]) == 1
        processes.launch(layout, part, _SLEEP, tied=False)
    capsys.readouterr()
    assert __main__.main(["status", "--data", str(layout.data)]) == 0
    assert capsys.readouterr().out == f"{layout.kubeconfig}\n"
    assert __main__.main(["status", "--data", str(layout.data), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["server"] == "https://127.0.0.1:12345"
    assert said["kubectl"] == str(binaries_at(home())["kubectl"])
    assert {psutil.Process(each["pid"]).pid for each in said["processes"].values()} == {
        each.pid for each in processes.found(layout).values()
    }


def test_where_says_what_there_is(
    fake: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AGENT_DOCKER_CACHE", str(tmp_path / "cache"))
    assert __main__.main(["where"]) == 1
    assert capsys.readouterr().err.endswith("hint: python -m tools.cluster build\n")
    fake()
    assert __main__.main(["where"]) == 0
    assert __main__.main(["build", "--json"]) == 0
    folder = str(binaries_at(home()).folder)
    out = capsys.readouterr().out
    assert out.startswith(f"{folder}\n")
    assert json.loads(out.removeprefix(f"{folder}\n"))["binaries"] == folder


def test_stop_of_nothing_does_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "no" / "where"
    assert __main__.main(["stop", "--data", str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"data": str(data), "running": False}
    assert list(tmp_path.iterdir()) == []
