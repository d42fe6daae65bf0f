"""What is waited for, and what is ended, before a crashed stack is read."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from operations import engines
from operations.errors import Busy
from operations.settling import Settling
from operations.state import StackState
from providers.vastai.pacing import process_lock
from providers.vastai.session import rent_lock

LABEL = "agent-docker/0123456789ab/gpu/gpu-a"
DEAD_PID = 2**22 - 3  # Beyond the ids in use.
Started = Callable[..., psutil.Process]


@dataclass
class FakeStack:
    target: Any
    locked: bool = False
    calls: list[str] = field(default_factory=list)

    def refresh(self) -> StackState:
        self.calls.append("refresh")
        if self.locked:
            raise Busy(f"created by me@here (pid {DEAD_PID}) at 2026-01-02T03:04:05Z")
        return StackState(resources=len(self.calls))

    def unlock(self) -> None:
        self.calls.append("unlock")
        self.locked = False


@pytest.fixture
def stack(tmp_path: Path) -> FakeStack:
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    return FakeStack(SimpleNamespace(stack="gpu", state=tmp_path, run_dir=run))


@pytest.fixture
def started() -> Iterator[Started]:
    """Starts stand-ins of a provider process; each is ended."""
    with ExitStack() as ended:

        def start(run_dir: Path, command: str = sys.executable) -> psutil.Process:
            code = "import time; print(flush=True); time.sleep(60)"
            process = subprocess.Popen(
                [command, "-c", code, "pulumi.dynamic"],
                env={"AGENT_DOCKER_RUN_DIR": str(run_dir)},
                stdout=subprocess.PIPE,
            )
            ended.enter_context(process)
            ended.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
            return psutil.Process(process.pid)

        yield start


def settling(stack: FakeStack, clock: Callable[[], float] = time.monotonic) -> Settling:
    return Settling(stack=stack, host="here", clock=clock)  # type: ignore[arg-type]


def test_a_stack_at_rest_is_read_once(stack: FakeStack) -> None:
    state, removed = settling(stack).settle()
    assert (stack.calls, state.resources, removed) == (["refresh"], 1, [])


def test_a_renting_that_ends_is_waited_for_and_the_state_read_after_it(stack: FakeStack) -> None:
    held = process_lock(rent_lock(LABEL, stack.target.run_dir))
    held.acquire()
    # From another thread: this one's own locks are no obstacle to it.
    done: list[StackState] = []
    waiting = threading.Thread(target=lambda: done.append(settling(stack).settle()[0]))
    waiting.start()
    try:
        while not stack.calls:
            assert waiting.is_alive()
        assert done == []
    finally:
        held.release()
        waiting.join()
    assert stack.calls[-1] == "refresh"
    assert done[0].resources == len(stack.calls)


def test_a_renting_that_does_not_end_stops_recovery(stack: FakeStack) -> None:
    stack.locked = True
    engines.record_file(stack.target.state, "gpu", "operation-x").write_text(f"{DEAD_PID}")
    held = process_lock(rent_lock(LABEL, stack.target.run_dir))
    raised: list[Busy] = []
    moments = iter([0.0, 1_000.0])

    def settle() -> None:
        try:
            settling(stack, clock=lambda: next(moments)).settle()
        except Busy as error:
            raised.append(error)

    with held:
        waiting = threading.Thread(target=settle)
        waiting.start()
        waiting.join()
    assert "still renting" in raised[0].message
    # The lock still stands, and so does the proof that it is ours.
    assert stack.calls == ["refresh"]
    assert engines.recorded(stack.target.state, "gpu") == {DEAD_PID}


def test_a_provider_whose_engine_is_gone_is_ended_after_its_work(
    stack: FakeStack, started: Started, tmp_path: Path
) -> None:
    stack.locked = True
    engines.record_file(stack.target.state, "gpu", "operation-x").write_text(f"{DEAD_PID}")
    left, others = started(stack.target.run_dir), started(tmp_path / "other")
    _, removed = settling(stack).settle()
    assert len(removed) == 1
    assert stack.calls == ["refresh", "unlock", "refresh"]
    assert left.wait(timeout=20) is not None
    assert others.is_running()


def test_the_provider_of_a_live_engine_is_left_alone(stack: FakeStack, tmp_path: Path) -> None:
    # An engine by name: a shell that stays the parent of its provider.
    engine = tmp_path / "pulumi"
    engine.symlink_to("/bin/sh")
    code = "import time; print(flush=True); time.sleep(60)"
    script = f'{sys.executable} -c "{code}" pulumi.dynamic; true'
    env = {"AGENT_DOCKER_RUN_DIR": str(stack.target.run_dir), "PATH": os.environ["PATH"]}
    with subprocess.Popen([engine, "-c", script], env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (provider,) = psutil.Process(process.pid).children()
        try:
            settling(stack)._end_left_providers()
            assert provider.is_running()
            assert provider.status() != psutil.STATUS_ZOMBIE
        finally:
            provider.kill()
            process.kill()
