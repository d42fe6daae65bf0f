"""Whose lock it is, and whether its owner is dead."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from operations import engines, locks
from operations.errors import Failed

# As the engine says it (pkg/backend/diy/lock.go); the engine tier pins it.
TEXT = """error: the stack is currently locked by 2 lock(s). Either wait for the other \
process(es) to end or delete the lock file with `pulumi cancel`.
  file:///b/.pulumi/locks/organization/p/gpu/1.json: created by me@here (pid 12) at \
2026-01-02T03:04:05Z
  s3://b/.pulumi/locks/organization/p/gpu/2.json: created by ci@there (pid 34) at \
2026-01-02T03:04:05+02:00
"""
HOST = socket.gethostname()


@pytest.fixture
def ended() -> int:
    """The id of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[psutil.Process]:
    """A live process by the engine's name."""
    command = tmp_path / "pulumi"
    command.symlink_to("/bin/sleep")
    with subprocess.Popen([command, "60"]) as process:
        yield psutil.Process(process.pid)
        process.kill()


def owner(pid: int, host: str = HOST) -> locks.LockOwner:
    return locks.LockOwner(user="me", host=host, pid=pid, at="2026-01-02T03:04:05Z")


def test_every_owner_is_read_and_survives_the_description() -> None:
    found = locks.owners(TEXT)
    assert [(o.user, o.host, o.pid) for o in found] == [("me", "here", 12), ("ci", "there", 34)]
    assert locks.owners(locks.describe(TEXT)) == found
    assert "\n" not in locks.describe(TEXT)


def test_a_text_without_owner_has_none() -> None:
    assert locks.owners("locked") == []
    assert "unknown" in locks.describe("locked")


def test_a_recorded_engine_whose_process_is_gone_is_dead(ended: int) -> None:
    assert locks.is_dead(owner(ended), host=HOST, engines={ended})


def test_one_that_lives_is_not(engine: psutil.Process) -> None:
    assert not locks.is_dead(owner(engine.pid), host=HOST, engines={engine.pid})


def test_one_whose_id_another_program_has_by_now_is_dead() -> None:
    assert locks.is_dead(owner(os.getpid()), host=HOST, engines={os.getpid()})


def test_on_another_host_nothing_is_proved(ended: int) -> None:
    assert not locks.is_dead(owner(ended, host="elsewhere"), host=HOST, engines={ended})


def test_another_host_of_the_same_name_proves_nothing_either(ended: int) -> None:
    assert not locks.is_dead(owner(ended), host=HOST, engines=())


def test_a_process_that_cannot_be_seen_counts_as_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(pid: int) -> psutil.Process:
        raise psutil.AccessDenied(pid)

    monkeypatch.setattr(psutil, "Process", denied)
    assert not locks.is_dead(owner(7), host=HOST, engines={7})


def test_the_hint_tells_a_live_engine_of_ours_from_a_foreign_one() -> None:
    assert "wait" in locks.hint([owner(7)], host=HOST, engines={7})
    assert "pulumi cancel" in locks.hint([owner(7)], host=HOST, engines=())
    assert "pulumi cancel" in locks.hint([owner(7, host="x")], host=HOST, engines={7})


def test_an_engine_writes_its_own_process_id_down(tmp_path: Path) -> None:
    real, commands, state = (tmp_path / name for name in ("it's real", "commands", "state"))
    for folder in (real, commands, state):
        folder.mkdir()
    (real / "pulumi").write_text('#!/bin/sh\necho $$ "$@"\n')
    (real / "pulumi").chmod(0o700)
    record = engines.record_file(state, "gpu", "operation-x")
    path = engines.install(commands, record, path=str(real))
    env = {"PATH": f"{path}:/usr/bin:/bin"}
    ran = [
        subprocess.run(["pulumi", "up", "a b"], env=env, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    said = [line.stdout.split(maxsplit=1) for line in ran]
    assert [words[1] for words in said] == ["up a b\n"] * 2
    assert engines.recorded(state, "gpu") == {int(words[0]) for words in said}
    assert engines.recorded(state, "gp") == frozenset()
    engines.forget(state, "gpu")
    assert engines.recorded(state, "gpu") == frozenset()


def test_without_an_engine_the_message_says_so(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="no `pulumi`"):
        engines.install(tmp_path, tmp_path / "record", path=str(tmp_path))
