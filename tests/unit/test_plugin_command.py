"""The offline `command` plugin: what runs when, with what, and what is shown of it."""

import inspect
import os
import threading
import time
from pathlib import Path

import pytest
from pulumi._types import input_type_py_to_pulumi_names
from pulumi_command import local as official

from localcloud.plugins import diffs
from localcloud.plugins.command import local, shell
from localcloud.plugins.model import Call, Old, PluginError
from localcloud.plugins.shapes import names
from localcloud.plugins.values import Properties, Values

SECRET = "hunter2-hunter2"  # noqa: S105 - made up
DEADLINE_SECONDS = 20.0


class Calls:
    """A caller that keeps what it was shown."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.cancelled = threading.Event()

    @property
    def call(self) -> Call[None]:
        return Call(None, "urn", "thing", 0, self.cancelled, self.lines.append)


@pytest.fixture
def calls() -> Calls:
    return Calls()


def old(outputs: Values) -> Old:
    return Old("thing", Properties(outputs), Properties(outputs))


def test_the_inputs_are_those_of_the_official_sdk() -> None:
    assert names(local.INPUTS) == set(input_type_py_to_pulumi_names(official.CommandArgs).values())
    assert "triggers" in inspect.signature(official.CommandArgs).parameters
    logging = {member.value for member in official.Logging}
    assert logging == set(local._LOGGING)


def test_a_command_gets_its_surroundings(calls: Calls, tmp_path: Path) -> None:
    inputs: Values = {
        "create": "cat; pwd; echo $WORD; echo trouble >&2",
        "stdin": "given\n",
        "dir": str(tmp_path),
        "environment": {"WORD": "heard"},
    }
    made = local.create(calls.call, Properties(inputs))
    assert made.outputs == {"stdout": f"given\n{tmp_path}\nheard", "stderr": "trouble"}
    assert sorted(calls.lines) == sorted(["given", str(tmp_path), "heard", "trouble"])


def test_an_interpreter_of_ones_own(calls: Calls) -> None:
    inputs: Values = {"create": "the line", "interpreter": ["/bin/echo", "-n"]}
    assert local.create(calls.call, Properties(inputs)).outputs["stdout"] == "the line"


@pytest.mark.parametrize(
    ("logging", "shown"),
    [("none", []), ("stdout", ["out"]), ("stderr", ["err"]), ("stdoutAndStderr", ["err", "out"])],
)
def test_only_what_may_be_shown_is(calls: Calls, logging: str, shown: list[str]) -> None:
    inputs: Values = {"create": "echo out; echo err >&2", "logging": logging}
    local.create(calls.call, Properties(inputs))
    assert sorted(calls.lines) == shown


def test_a_change_runs_update_or_create_again(calls: Calls) -> None:
    before = old({"create": "echo 1", "stdout": "before", "stderr": "noise"})
    with_update: Values = {"create": "echo create", "update": "echo $PULUMI_COMMAND_STDOUT"}
    assert local.update(calls.call, before, Properties(with_update))["stdout"] == "before"
    again: Values = {"create": "echo create again"}
    assert local.update(calls.call, before, Properties(again))["stdout"] == "create again"
    alone: Values = {"create": "echo [$PULUMI_COMMAND_STDERR]", "addPreviousOutputInEnv": False}
    assert local.update(calls.call, before, Properties(alone))["stdout"] == "[]"


def test_a_delete_is_the_old_states(calls: Calls, tmp_path: Path) -> None:
    state: Values = {
        "delete": "echo $PULUMI_COMMAND_STDOUT $WHO > bye",
        "dir": str(tmp_path),
        "environment": {"WHO": "me"},
        "stdout": "old",
    }
    local.delete(calls.call, old(state))
    assert (tmp_path / "bye").read_text() == "old me\n"
    local.delete(calls.call, old({"create": "echo nothing to delete"}))


def test_triggers_replace_and_all_else_updates() -> None:
    inputs = Properties({"create": "a", "triggers": [1]})
    before = Old("thing", Properties({**inputs, "stdout": "x"}), inputs)
    found = diffs.changes(local.TYPE, before, Properties({"create": "b", "triggers": [2]}))
    response = diffs.response(local.TYPE, found)
    assert list(response.replaces) == ["triggers"]
    assert list(response.diffs) == ["create", "triggers"]
    assert not response.deleteBeforeReplace


def test_a_failure_names_the_line_and_shows_the_output(calls: Calls) -> None:
    with pytest.raises(PluginError) as raised:
        local.create(calls.call, Properties({"create": "echo why; exit 3"}))
    assert str(raised.value) == "exit status 3: running 'echo why; exit 3':\nwhy\n"
    with pytest.raises(PluginError, match="signal: killed: running"):
        local.create(calls.call, Properties({"create": "kill -9 $$"}))
    with pytest.raises(PluginError) as raised:
        local.create(calls.call, Properties({"create": "echo why; exit 3", "logging": "none"}))
    assert "why\n" not in str(raised.value)
    with pytest.raises(PluginError, match="No such file"):
        local.create(calls.call, Properties({"create": "true", "dir": "/missing"}))


def test_secrets_are_not_shown(calls: Calls) -> None:
    inputs = Properties({"create": "cat", "stdin": SECRET}, secret=["stdin"], words=[SECRET])
    assert local.create(calls.call, inputs).outputs["stdout"] == SECRET
    assert calls.lines == ["[secret]"]
    assert local.TYPE.hidden(inputs) == {"stdin", "stdout", "stderr"}
    assert local.TYPE.hidden(Properties({"create": "true"})) == frozenset()


def test_a_cancelled_command_ends_with_its_children(calls: Calls, tmp_path: Path) -> None:
    command = shell.Command(
        line="sleep 1000 & echo $! > child; wait",
        interpreter=("/bin/sh", "-c"),
        environment={},
        stdin="",
        folder=str(tmp_path),
        logging="none",
        secrets=(),
    )
    failed: list[PluginError] = []

    def work() -> None:
        try:
            shell.run(command, calls.lines.append, calls.cancelled)
        except PluginError as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    child = tmp_path / "child"
    until(lambda: child.exists() and child.read_text().strip() != "")
    calls.cancelled.set()
    thread.join(DEADLINE_SECONDS)
    assert "signal: killed" in str(failed[0])
    until(lambda: not alive(int(child.read_text())))


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z" and os.path.exists(f"/proc/{pid}")  # noqa: PTH110 - a process


def until(holds: object) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end
        threading.Event().wait(0.02)


@pytest.mark.parametrize(
    ("inputs", "path"),
    [({"assetPaths": ["*"]}, "assetPaths"), ({"logging": "loud"}, "logging")],
)
def test_what_is_not_done_is_refused(inputs: Values, path: str) -> None:
    assert [found.path for found in local.check(Properties(inputs))] == [path]


def test_a_refresh_finds_nothing_new(calls: Calls) -> None:
    found = local.read(calls.call, old({"stdout": "x"}))
    assert found is not None
    assert (found.id, found.outputs) == ("thing", {})
