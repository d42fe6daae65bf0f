"""The child process: what it says, how it dies, how it is stopped."""

import os
import signal
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from operations.errors import Busy, CutOff, Failed, Interrupted, OperationError
from operations.jobs import Event, Job, MessageEvent, PhaseEvent
from operations.process import Limits, Switch, run
from operations.redaction import Redactor

SECRET = "a-secret-key"  # noqa: S105 - of nothing
DEADLINE = 20.0


class Child:
    """A module that stands in for operations.child."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []

    def run(
        self,
        code: str,
        *,
        limits: Limits | None = None,
        on_event: Callable[[Event], None] | None = None,
        switch: Switch | None = None,
    ) -> dict[str, Any]:
        (self.folder / "fake_child.py").write_text(PRELUDE + textwrap.dedent(code))
        return run(
            Job(kind="snapshot", stack="gpu", work_dir=str(self.folder)),
            env={"PATH": os.environ["PATH"], "MARK": "of this test"},
            redactor=Redactor([SECRET]),
            on_event=on_event or self.events.append,
            limits=limits,
            switch=switch,
            module="fake_child",
        )

    def noted(self) -> list[str]:
        return (self.folder / "notes").read_text().split()

    def session(self) -> int:
        """The child's process id, once it runs."""
        return int(poll((self.folder / "pid").read_text))


# The id is written last and whole: whoever waits for it may signal at once.
PRELUDE = """
import json, os, pathlib, signal, subprocess, sys, time
def note(text):
    with open("notes", "a") as file:
        file.write(text + "\\n")
def say(**event):
    print(json.dumps(event), flush=True)
def ready():
    pathlib.Path("pid.new").write_text(str(os.getpid()))
    pathlib.Path("pid.new").rename("pid")
job = json.loads(sys.stdin.read())
"""
STUBBORN = """
signal.signal(signal.SIGINT, lambda *_: note("interrupt"))
plugin = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], process_group=0)
note(str(plugin.pid))
ready()
while True:
    time.sleep(0.05)
"""


def poll(attempt: Callable[[], str]) -> str:
    end = time.monotonic() + DEADLINE
    while True:
        try:
            return attempt()
        except FileNotFoundError:
            assert time.monotonic() < end


@pytest.fixture
def child(tmp_path: Path) -> Child:
    return Child(tmp_path)


def test_events_come_in_order_and_the_result_last(child: Child) -> None:
    result = child.run(
        """
        say(event="phase", name="update")
        say(event="message", severity="info", text="said by " + job["stack"])
        say(event="result", data={"changed": True})
        """
    )
    assert result == {"changed": True}
    assert child.events == [
        PhaseEvent(name="update"),
        MessageEvent(severity="info", text="said by gpu"),
    ]


def test_garbage_on_the_output_is_no_event_and_no_end(child: Child) -> None:
    result = child.run(
        """
        print("not json")
        print('{"event": "unknown"}')
        print('{"event": "phase"}')
        say(event="result", data={})
        """
    )
    assert (result, child.events) == ({}, [])


@pytest.mark.parametrize(
    ("kind", "expected"), [("Busy", Busy), ("Failed", Failed), ("Unheard", Failed)]
)
def test_the_childs_error_is_raised_as_it_was(
    child: Child, kind: str, expected: type[OperationError]
) -> None:
    with pytest.raises(expected) as caught:
        child.run(f'say(event="error", kind="{kind}", message="why", hint="do")')
    assert type(caught.value) is expected
    assert (caught.value.message, caught.value.hint) == ("why", "do")


def test_no_secret_comes_out_in_any_way(child: Child) -> None:
    with pytest.raises(Failed) as caught:
        child.run(
            f"""
            say(event="message", severity="info", text="key {SECRET}")
            say(event="error", kind="Failed", message="with {SECRET}", hint="use {SECRET}")
            """
        )
    assert SECRET not in f"{caught.value} {child.events}"
    with pytest.raises(CutOff) as died:
        child.run(f'print("{SECRET}"); print("{SECRET}", file=sys.stderr); sys.exit(3)')
    assert SECRET not in str(died.value)
    assert "***" in str(died.value)


def test_a_death_without_an_answer_is_a_cut(child: Child) -> None:
    with pytest.raises(CutOff, match="-9"):
        child.run("os.kill(os.getpid(), signal.SIGKILL)")


def test_much_on_the_error_output_does_not_stop_the_child(child: Child) -> None:
    assert child.run(
        """
        for number in range(40_000):
            print("line", number, file=sys.stderr)
        say(event="result", data={"done": 1})
        """
    ) == {"done": 1}


def test_the_environment_is_exactly_what_was_given(child: Child) -> None:
    env = child.run('say(event="result", data=dict(os.environ))')
    assert {"PATH", "MARK"} <= set(env)
    # What Python itself adds for its locale.
    assert set(env) - {"PATH", "MARK"} <= {"LC_CTYPE"}


def test_a_child_that_ends_at_the_first_interrupt_is_not_interrupted_again(child: Child) -> None:
    with pytest.raises(Interrupted):
        child.run(
            """
            signal.signal(signal.SIGINT, lambda *_: (note("interrupt"), sys.exit(1)))
            ready()
            time.sleep(60)
            """,
            limits=Limits(timeout=1.0, first_wait=DEADLINE, second_wait=DEADLINE),
        )
    assert child.noted() == ["interrupt"]


def test_after_its_time_a_child_is_interrupted_twice_and_its_session_killed(child: Child) -> None:
    with pytest.raises(Interrupted):
        child.run(STUBBORN, limits=Limits(timeout=1.5, first_wait=0.4, second_wait=0.4))
    plugin, *interrupts = child.noted()
    assert interrupts == ["interrupt", "interrupt"]
    assert not psutil.pid_exists(child.session())
    # The kernel takes its time; nobody may be there to collect it.
    end = time.monotonic() + DEADLINE
    while not _is_dead(int(plugin)):
        assert time.monotonic() < end
        time.sleep(0.01)


def _is_dead(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_ctrl_c_is_passed_on_and_the_engines_last_words_are_waited_for(child: Child) -> None:
    def press() -> None:
        child.session()
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    # More output than a pipe holds: nobody reading it would keep the child from ending.
    with pytest.raises(Interrupted):
        child.run(
            """
            def end(*_):
                for _ in range(3_000):
                    say(event="message", severity="info", text="x" * 100)
                note("finished")
                sys.exit(0)
            signal.signal(signal.SIGINT, end)
            ready()
            time.sleep(60)
            """,
            limits=Limits(first_wait=DEADLINE, second_wait=DEADLINE),
        )
    presser.join()
    assert child.noted() == ["finished"]


def test_a_switch_stops_what_runs_and_lets_nothing_begin(child: Child) -> None:
    switch = Switch()

    def press() -> None:
        child.session()
        switch.press()

    presser = threading.Thread(target=press)
    presser.start()
    with pytest.raises(Interrupted, match="recorded"):
        child.run(
            """
            signal.signal(signal.SIGINT, lambda *_: (note("interrupt"), sys.exit(0)))
            ready()
            time.sleep(60)
            """,
            limits=Limits(first_wait=DEADLINE, second_wait=DEADLINE),
            switch=switch,
        )
    presser.join()
    assert child.noted() == ["interrupt"]
    assert switch.pressed
    with pytest.raises(Interrupted, match="before it began"):
        child.run('note("began")', switch=switch)
    assert child.noted() == ["interrupt"]


def test_a_switch_that_is_pressed_while_the_child_starts_stops_it() -> None:
    switch, stopped = Switch(), threading.Event()
    with switch.stops(stopped.set):
        switch.press()
    assert stopped.wait(DEADLINE)
    again = threading.Event()
    with switch.stops(again.set):
        assert again.wait(DEADLINE)


def test_a_listener_that_fails_stops_the_child_gently(child: Child) -> None:
    def fail(_event: Event) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        child.run(
            """
            signal.signal(signal.SIGINT, lambda *_: (note("interrupt"), sys.exit(0)))
            say(event="phase", name="update")
            time.sleep(60)
            """,
            on_event=fail,
            limits=Limits(first_wait=DEADLINE, second_wait=DEADLINE),
        )
    assert child.noted() == ["interrupt"]


def test_no_process_and_no_pipe_is_left(child: Child) -> None:
    me = psutil.Process()
    child.run('say(event="result", data={})')
    before = me.num_fds(), me.children()
    for _ in range(3):
        child.run('say(event="result", data={})')
    assert (me.num_fds(), me.children()) == before
