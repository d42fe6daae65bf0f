"""The `agent-docker` command as a person has it: one local profile, from up to down."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import psutil
import pytest

from tests.unit.test_cli_router import stand_in

Json: TypeAlias = Any
ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 120.0
SETTINGS = """config:
  agent-docker:fleet:
    min: 1
    max: 4
    image: ollama/ollama:0.12.6
"""


class Done(NamedTuple):
    code: int
    out: str
    err: str

    def json(self) -> Json:
        return json.loads(self.out)


def until(condition: Callable[[], Any], what: str, deadline: float = DEADLINE) -> Json:
    """Poll `condition` until it holds."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        if found := condition():
            return found
        threading.Event().wait(0.02)
    raise AssertionError(f"not within {deadline:.0f} s: {what}")


@dataclass
class Running:
    """A command that was started, and what it has said so far."""

    process: subprocess.Popen[str]
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err)):
            assert stream is not None
            thread = threading.Thread(target=lines.extend, args=(stream,))
            thread.start()
            self.threads.append(thread)

    def said(self, text: str) -> None:
        until(lambda: text in "".join(self.err) or self.process.poll() is not None, text)
        assert text in "".join(self.err), "".join(self.err)

    def signal(self, number: signal.Signals) -> None:
        """As a terminal does: to the whole process group."""
        os.killpg(self.process.pid, number)

    def end(self) -> Done:
        code = self.process.wait(DEADLINE)
        for thread in self.threads:
            thread.join(DEADLINE)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return Done(code, "".join(self.out), "".join(self.err))


@dataclass
class Local:
    """A local profile of one test's own."""

    folder: Path
    extra: dict[str, str] = field(default_factory=dict)
    # Stories that count machines themselves want nobody else to do so.
    autoscaler: bool = False
    started: list[Running] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        kept = ("HOME", "LANG", "PATH", "AGENT_DOCKER_CACHE")
        measured = [name for name in os.environ if name.startswith("COVERAGE_")]
        env = {name: os.environ[name] for name in (*kept, *measured) if name in os.environ}
        places = {
            "AGENT_DOCKER_LOCAL_DIR": str(self.folder / "local"),
            "AGENT_DOCKER_SETTINGS_DIR": str(self.folder / "settings"),
            # Never this machine's own daemon.
            "AGENT_DOCKER_DOCKER_SOCKET": str(self.folder / "no-docker.sock"),
        }
        return env | places | self.extra

    def start(self, *arguments: str, **env: str) -> Running:
        if arguments[:1] == ("up",) and not self.autoscaler:
            arguments = (*arguments, "--no-autoscaler")
        if arguments[:1] == ("up",):
            # A machine that has built a cluster would start one for each test.
            arguments = (*arguments, "--no-agents")
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "cli.main", *arguments],
            cwd=ROOT,
            env=self.env | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        running = Running(process)
        self.started.append(running)
        return running

    def run(self, *arguments: str, **env: str) -> Done:
        return self.start(*arguments, **env).end()

    def ok(self, *arguments: str, **env: str) -> Done:
        done = self.run(*arguments, **env)
        assert done.code == 0, done.err
        return done

    def refused(self, code: int, *arguments: str, **env: str) -> str:
        """Run what must fail in one message; the message."""
        done = self.run(*arguments, **env)
        assert done.code == code, (done.code, done.err)
        assert "Traceback" not in done.err
        assert done.err.count("error:") >= 1
        return done.err

    def settings(self, text: str = SETTINGS) -> None:
        (self.folder / "settings").mkdir(exist_ok=True)
        (self.folder / "settings" / "Pulumi.gpu.yaml").write_text(text)

    def fleet(self, **values: Json) -> None:
        """Settings with these values of the fleet."""
        lines = [f"    {key}: {json.dumps(value)}\n" for key, value in values.items()]
        self.settings(SETTINGS + "".join(lines))

    def status(self) -> dict[str, Any]:
        return self.run("status", "--json").json()

    def contracts(self) -> dict[str, int]:
        return {slot["slot"]: slot["contract"] for slot in self.status()["slots"]}

    def cloud(self) -> dict[str, Any]:
        return json.loads((self.folder / "local" / "cloud.json").read_text())

    def admin(self, path: str, body: object = None) -> Json:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        url = f"{self.cloud()['admin_url']}/{path}"
        request = urllib.request.Request(url, data=data, headers=headers)  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
            return json.loads(answer.read() or b"null")

    def processes(self) -> dict[int, str]:
        """Everything that carries this profile's folder in its environment or command."""
        found: dict[int, str] = {}
        folder = str(self.folder)
        for process in psutil.process_iter():
            try:
                values = [*process.environ().values(), *process.cmdline()]
                if any(folder in value for value in values):
                    found[process.pid] = " ".join(process.cmdline())
            except psutil.Error:
                continue
        return found

    def state(self) -> dict[str, bytes]:
        backend = self.folder / "local" / "backend"
        files = (path for path in backend.rglob("*") if path.is_file())
        return {str(path.relative_to(backend)): path.read_bytes() for path in files}

    def close(self) -> None:
        for pid in self.processes():
            try:
                psutil.Process(pid).kill()
            except psutil.Error:
                continue
        for running in self.started:
            if running.process.returncode is None:
                running.end()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    profile = Local(tmp_path)
    profile.settings()
    # What the tests' own `nohup` ignores, a person's terminal does not.
    kept = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        yield profile
    finally:
        signal.signal(signal.SIGHUP, kept)
        profile.close()


def test_a_day_with_the_fleet(local: Local) -> None:
    """Up, look, grow, move, restart, read, drain and register, down; as JSON and as text."""
    first = local.ok("up", "--json").json()
    assert set(first["phases"]) == {"engine", "cloud", "stack", "healthy"}
    assert [slot["healthy"] for slot in first["slots"]] == [True]
    slot = first["slots"][0]["slot"]

    # Twice is harmless: the same cloud, the same machine.
    cloud, contracts = local.cloud(), local.contracts()
    again = local.ok("up")
    assert "1 of 1 machines answer" in again.out
    assert (local.cloud(), local.contracts()) == (cloud, contracts)
    told = again.err.splitlines()
    assert len(told) == len(set(told)), "nothing is said twice"

    grown = local.ok("gpu", "scale", "2", "--json").json()
    assert slot in grown["slots"]
    assert len(grown["slots"]) == 2
    other = next(name for name in grown["slots"] if name != slot)

    machine = next(s["machine"] for s in local.status()["slots"] if s["slot"] == slot)
    moved = local.ok("gpu", "replace", slot, "--json").json()
    assert moved["slot"] == slot
    assert moved["machine"] != machine
    until(lambda: local.run("status").code == 0, "the new machine answers")

    with stand_in() as router:
        router.answer = lambda: (200, {"providers": [{"endpoint": moved["endpoint"]}]})
        registered = local.ok("gpu", "register", "--router", router.url, "--json").json()
        assert [row["slot"] for row in registered] == grown["slots"]
        assert {r["endpoint"] for r in router.registered} == {r["endpoint"] for r in registered}
        drained = local.ok(
            "gpu", "drain", slot, "--router", router.url, "--deadline", "0.2", "--json"
        ).json()
        assert [(row["slot"], row["idle"]) for row in drained] == [(slot, False)]
        assert router.removed == [moved["endpoint"]]
        rolled = local.ok(
            "gpu", "roll", slot, "--router", router.url, "--deadline", "0", "--json"
        ).json()
        assert rolled == {"rolled": [slot]}
        assert router.registered[-1]["endpoint"] == moved["endpoint"]
        assert local.contracts()[slot] == moved["contract"], "a roll keeps the machine"
    assert "fleet.router is not set" in local.refused(2, "gpu", "drain", slot)
    assert "is not on this machine" in local.refused(
        2, "gpu", "register", "--router", "http://router.example"
    )

    assert local.ok("gpu", "logs", slot, "--tail", "3").out.count("\n") <= 4
    rows = local.ok("gpu", "instances", "--json").json()
    assert {row["slot"] for row in rows} == {slot, other}
    assert all(row["known"] for row in rows)
    assert local.ok("gpu", "offers", "--json").json()
    assert "no slot" in local.refused(2, "gpu", "replace", "gpu-none")
    # What the shell completes needs no engine.
    completed = local.run(
        _AGENT_DOCKER_COMPLETE="complete_bash",
        COMP_WORDS="agent-docker gpu logs gpu-",
        COMP_CWORD="3",
    )
    assert completed.out.split() == grown["slots"]

    local.ok("recover", "gpu", "--json")
    assert local.contracts() == {**local.contracts(), slot: moved["contract"]}
    local.ok("down")
    assert local.processes() == {}
    assert "nothing was running" in local.ok("down").err
    assert "is down" in local.refused(1, "status")
