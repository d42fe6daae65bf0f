"""Progress, health and doctor: what is said while waiting, and what a machine lacks."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from cli import doctor, health, progress, views
from cli.progress import Progress, Waiting
from cli.signals import Signals
from cli.views import _Talk
from contracts.program import INSTANCE_TYPE
from operations.jobs import MessageEvent, PhaseEvent, ResourceEvent

URN = f"urn:pulumi:gpu::agent-docker::{INSTANCE_TYPE}::gpu-a1"
Captured = pytest.CaptureFixture[str]


def step(phase: str, op: str, kind: str = INSTANCE_TYPE) -> ResourceEvent:
    return ResourceEvent.model_validate({"phase": phase, "op": op, "urn": URN, "type": kind})


def test_plain_lines_say_everything_once(capsys: Captured) -> None:
    shown = Progress()
    with shown.phase("stack", "pulumi up"):
        for _ in range(3):
            shown.say("machines boot: 0 of 1 answer")
        shown.on_event(PhaseEvent(name="update"))
        shown.on_event(PhaseEvent(name="else"))
        for event in (
            step("begin", "create"),
            step("end", "create"),
            step("begin", "read"),
            step("end", "read"),
            step("begin", "delete"),
            step("failed", "delete"),
            step("begin", "same"),
            step("begin", "create", kind="other"),
        ):
            shown.on_event(event)
        shown.on_event(MessageEvent(severity="warning", text="slow [x]", urn=URN))
        shown.on_event(MessageEvent(severity="warning", text="odd"))
        shown.on_event(MessageEvent(severity="error", text="told at the end"))
    lines = capsys.readouterr().err.splitlines()
    assert lines[:-1] == [
        "machines boot: 0 of 1 answer",
        "updating the stack",
        "else",
        "renting gpu-a1",
        "  · rented gpu-a1",
        "reading gpu-a1",
        "ending gpu-a1",
        "  ✗ ending gpu-a1",
        "warning gpu-a1: slow [x]",
        "warning odd",
    ]
    assert lines[-1].startswith("✓ pulumi up ")
    assert shown.phases.keys() == {"stack"}


def test_a_terminal_shows_what_is_waited_for_and_how_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80)
    monkeypatch.setattr(progress, "talk", console)
    with progress.progress() as shown, shown.phase("x", "a long step"):
        pass
    assert "a long step" in screen.getvalue()
    times = iter([10.0, 22.4])
    assert str(Waiting("machines boot", lambda: next(times)).__rich__()) == "machines boot (12 s)"


def test_a_stop_is_seen_at_the_next_word(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = Signals()
    stop.number = 2
    monkeypatch.setattr(progress, "stop", stop)
    with pytest.raises(KeyboardInterrupt):
        Progress().say("on")


def test_a_closed_terminal_is_talked_to_in_vain_and_without_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise OSError(5, "Input/output error")

        def isatty(self) -> bool:
            raise ValueError("closed")

    monkeypatch.setattr(views.sys, "stderr", Gone())
    talk = _Talk()
    assert talk.write("text") == 4
    talk.flush()
    assert not talk.isatty()


def test_waiting_ends_when_all_answer_or_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now, told = [0.0], list[int]()
    monkeypatch.setattr(health, "answers", lambda url: now[0] >= float(url))

    def sleep(seconds: float) -> None:
        now[0] += seconds

    def wait(urls: dict[str, str], deadline: float) -> dict[str, bool]:
        return health.wait(
            urls, deadline=deadline, on_progress=told.append, clock=lambda: now[0], sleep=sleep
        )

    assert wait({"a": "0", "b": "1"}, 5) == {"a": True, "b": True}
    assert told == [1, 1, 1, 1, 2]
    assert wait({"a": "0", "b": "99"}, 5) == {"a": True, "b": False}
    assert wait({}, 5) == {}


def test_an_address_that_does_not_answer_is_not_healthy() -> None:
    assert not health.answers("http://127.0.0.1:9/")


# Doctor.


def checks(env: dict[str, str]) -> dict[str, doctor.Check]:
    return {check.name: check for check in doctor.examine(env)}


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "Pulumi.gpu.yaml").write_text("config: {'agent-docker:fleet': {image: 'a:1'}}\n")
    return {
        "PATH": "/usr/bin:/bin",
        "AGENT_DOCKER_LOCAL_DIR": str(tmp_path / "local"),
        "AGENT_DOCKER_SETTINGS_DIR": str(tmp_path),
        "AGENT_DOCKER_CACHE": str(tmp_path / "cache"),
    }


def test_a_machine_without_an_engine_is_told_what_a_build_needs(env: dict[str, str]) -> None:
    found = checks({**env, "PATH": ""})
    assert found["Pulumi engine"].state == "missing"
    assert found["Go toolchain"].state == "off"
    assert found["git"].state == "missing"
    assert found["Production"].state == "off"
    assert found["Local profile"].state == "off"
    assert found["Local passphrase"].state == "off"
    assert found["Python"].state == found["Local folder"].state == "ok"


def test_too_little_room_is_found_before_the_build(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_BUILD_GB", 1e9)
    assert checks(env)["Disk for the engine"].fix
    monkeypatch.setattr(doctor, "_BUILD_GB", 0)
    assert checks(env)["Disk for the engine"].state == "ok"
    monkeypatch.setattr(doctor, "_PYTHON", (9, 0))
    assert checks(env)["Python"].state == "missing"


def test_a_file_in_the_way_of_the_folder_is_found(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = checks({**env, "AGENT_DOCKER_LOCAL_DIR": str(tmp_path / "file")})
    assert found["Local folder"].state == "missing"


def test_a_passphrase_that_others_read_is_found(env: dict[str, str], tmp_path: Path) -> None:
    passphrase = tmp_path / "local" / "passphrase"
    passphrase.parent.mkdir()
    passphrase.write_text("secret-words")
    passphrase.chmod(0o644)
    check = checks(env)["Local passphrase"]
    assert (check.state, check.fix) == ("missing", f"chmod 600 {passphrase}")
    passphrase.chmod(0o600)
    assert checks(env)["Local passphrase"].state == "ok"


def test_wrong_settings_are_found(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "Pulumi.gpu.yaml").write_text("config: {'agent-docker:fleet': {images: 'a:1'}}\n")
    assert "fleet.images: is not a setting" in checks(env)["Settings of gpu"].evidence
    (tmp_path / "Pulumi.gpu.yaml").unlink()
    found = checks({**env, "VASTAI_API_KEY": "k" * 64})
    assert found["Owner of gpu"].state == "missing"


def test_production_is_whole_or_its_gaps_are_named(env: dict[str, str], tmp_path: Path) -> None:
    secret = "5e1f" * 16
    half = {**env, "VASTAI_API_KEY": secret, "VAST_API_KEY": "c0de" * 16}
    found = checks({**half, "PULUMI_CONFIG_PASSPHRASE_FILE": str(tmp_path / "none")})
    assert "hold different keys" in found["Vast.ai key"].evidence
    missing = {name for name, check in found.items() if check.state == "missing"}
    assert missing >= {"Owner of gpu", "PULUMI_BACKEND_URL", "TAILSCALE_AUTH_KEY"}
    assert found["Production passphrase"].fix
    assert not any(secret in f"{check}" for check in found.values())

    (tmp_path / "Pulumi.gpu.yaml").write_text(
        "config:\n  agent-docker:owner: abcdef012345\n"
        "  agent-docker:fleet: {image: 'a:1', tailnet: t}\n"
    )
    found = checks(
        {
            **env,
            "VASTAI_API_KEY": secret,
            "PULUMI_BACKEND_URL": "s3://bucket",
            "TAILSCALE_AUTH_KEY": "tskey",
        }
    )
    names = ("Vast.ai key", "Owner of gpu", "PULUMI_BACKEND_URL", "TAILSCALE_AUTH_KEY")
    assert {found[name].state for name in names} == {"ok"}
