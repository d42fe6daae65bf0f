"""How commands end: messages, hints, exit codes, signals; never a traceback for a mistake."""

import errno
import json
import signal
from collections.abc import Iterator

import pytest

from cli import ending, signals
from cli.ending import complain, mistakes
from cli.signals import Signals
from contracts.errors import AgentDockerError, SettingsError
from operations.errors import Busy, Interrupted
from tools.engine import EngineMissing

FREE = "free some space, then run the command again"
ELSEWHERE = "is it writable? AGENT_DOCKER_LOCAL_DIR names another folder for the local profile"
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def stop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Signals]:
    """Signals of this test alone; the process's own handlers come back."""
    fresh = Signals()
    monkeypatch.setattr(ending, "stop", fresh)
    kept = {number: signal.getsignal(number) for number in signals._ASKING}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # Not as `nohup` may have left it.
    yield fresh
    for number, handler in kept.items():
        signal.signal(number, handler)


def end(error: BaseException, *arguments: str) -> int:
    with pytest.raises(SystemExit) as caught, mistakes(arguments):
        raise error
    return int(str(caught.value.code))


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (SettingsError("min is odd", hint="even it"), 2, "error: min is odd\nhint: even it\n"),
        (AgentDockerError("[red] is no markup"), 1, "error: [red] is no markup\n"),
        (Busy("locked"), 3, "error: locked\n"),
        (EngineMissing("no engine", "install it"), 1, "error: no engine\nhint: install it\n"),
        (Interrupted("stopped; nothing runs"), 130, "stopped; nothing runs\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
        (SystemExit(130), 130, "stopped\n"),
        (SystemExit(4), 4, ""),
        (BrokenPipeError(), 1, ""),
        (
            OSError(errno.ENOSPC, "No space left on device", "/x/cloud.json"),
            1,
            f"error: /x/cloud.json: No space left on device\nhint: {FREE}\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x"),
            1,
            f"error: /x: Permission denied\nhint: {ELSEWHERE}\n",
        ),
        (OSError("something else"), 1, "error: something else\n"),
    ],
)  # fmt: skip
def test_every_mistake_has_one_message(
    error: BaseException, code: int, said: str, capsys: Captured
) -> None:
    assert end(error) == code
    seen = capsys.readouterr()
    assert seen.err == said
    assert seen.out == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("odd"), 2),
        (KeyboardInterrupt(), 130),
        (OSError(errno.ENOSPC, "full"), 1),
        (SystemExit(2), 2),
    ],
)
def test_with_json_the_error_is_the_document(
    error: BaseException, code: int, capsys: Captured
) -> None:
    assert end(error, "up", "--json") == code
    assert json.loads(capsys.readouterr().out)["error"]["exitCode"] == code


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), mistakes():
        raise ZeroDivisionError


def test_what_ends_well_ends_well() -> None:
    with mistakes():
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_an_interrupt_and_the_exit_code_tells_which(
    stop: Signals, number: signal.Signals, capsys: Captured
) -> None:
    stop.install()
    with pytest.raises(SystemExit) as caught, mistakes():
        signal.raise_signal(number)
    assert caught.value.code == 128 + number
    assert capsys.readouterr().err == "stopped\n"
    signal.raise_signal(number)  # What is left to say is said in peace.


def test_nohup_stays_in_force(stop: Signals) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop.install()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_an_impatient_second_ctrl_c_is_not_obeyed(stop: Signals) -> None:
    stop.obey_once()
    with pytest.raises(KeyboardInterrupt):
        stop.asked(signal.SIGTERM)
    stop.asked(signal.SIGINT)
    assert stop.exit_code == 128 + signal.SIGTERM
    with pytest.raises(KeyboardInterrupt):
        stop.check()  # An interrupt that a destructor swallowed is not lost.
    with stop.deaf():
        stop.check()
        stop.asked(signal.SIGINT)


def test_without_a_stop_there_is_nothing_to_check(stop: Signals) -> None:
    stop.check()
    assert stop.exit_code is None
    stop.install()
    stop.commit()
    signal.raise_signal(signal.SIGINT)
    assert stop.number is None, "done is done"


def test_a_stop_that_came_in_time_is_not_committed(stop: Signals) -> None:
    with stop.deaf():
        stop.asked(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        stop.commit()


def test_a_warning_names_its_kind(capsys: Captured) -> None:
    complain("careful", "look", kind="warning")
    assert capsys.readouterr().err == "warning: careful\nhint: look\n"
