"""What dies without a word: the command, its cloud, the whole machine; and two at once."""

import contextlib
import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from tests.engine.test_local_profile import Local, local, until

__all__ = ["local"]


def only_the_cloud(profile: Local) -> None:
    left = list(profile.processes().values())
    assert len(left) == 1, left
    assert "localcloud" in left[0]


def whole(profile: Local, count: int) -> None:
    seen = profile.ok("status", "--json").json()
    live = [rental["id"] for rental in profile.admin("state")["rentals"] if rental["live"]]
    assert sorted(live) == sorted(slot["contract"] for slot in seen["slots"])
    assert len(live) == count


@pytest.mark.parametrize("moment", ["updating the stack", "rented gpu"])
def test_up_after_a_killed_up_is_whole(local: Local, moment: str) -> None:
    local.fleet(desired=3)
    running = local.start("up")
    running.said(moment)
    running.process.kill()
    running.end()
    local.ok("up")
    whole(local, 3)
    only_the_cloud(local)
    local.ok("down")
    assert local.processes() == {}


def test_an_engine_that_was_killed_is_recovered(local: Local) -> None:
    local.ok("up")
    local.fleet(desired=3)
    running = local.start("up")
    running.said("rented gpu")
    engines = [pid for pid, text in local.processes().items() if "/pulumi " in text]
    assert engines
    running.process.kill()
    for pid in engines:
        # It may have heard by now that its command is gone.
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).kill()
    running.end()
    local.ok("up")
    whole(local, 3)
    only_the_cloud(local)


def test_a_killed_cloud_takes_its_machines_along(local: Local) -> None:
    local.ok("up")
    first = local.cloud()
    psutil.Process(first["pid"]).kill()
    until(lambda: not local.processes(), "its end")
    assert "has ended, and its machines with it" in local.refused(1, "status")
    local.ok("up")
    assert local.cloud()["pid"] != first["pid"]
    whole(local, 1)
    psutil.Process(local.cloud()["pid"]).kill()
    local.ok("down")
    assert local.processes() == {}


def test_a_cloud_that_dies_during_an_update(local: Local) -> None:
    local.ok("up")
    local.fleet(desired=4)
    running = local.start("up")
    running.said("updating the stack")
    psutil.Process(local.cloud()["pid"]).kill()
    done = running.end()
    assert done.code == 1
    assert "the local cloud has ended" in done.err
    assert "nothing is left running" in done.err
    assert local.processes() == {}
    local.ok("up", "--json")
    whole(local, 4)


def test_a_recorded_process_that_is_another_one_by_now_is_not_touched(local: Local) -> None:
    """As after a restart of the machine: the number in the file is somebody else's."""
    local.ok("up")
    recorded = local.cloud()
    psutil.Process(recorded["pid"]).kill()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as foreign:
        file = local.folder / "local" / "cloud.json"
        file.write_text(json.dumps({**recorded, "pid": foreign.pid}))
        assert "has ended" in local.refused(1, "status")
        assert "nothing was running" in local.ok("down").err
        file.write_text(json.dumps({**recorded, "pid": foreign.pid}))
        local.ok("up")
        assert local.cloud()["pid"] != foreign.pid
        assert foreign.poll() is None
        assert foreign.stdin is not None
        foreign.stdin.close()
        assert foreign.wait(30) == 1


def test_a_cloud_whose_record_is_lost_is_ended_and_not_doubled(local: Local) -> None:
    local.ok("up")
    (local.folder / "local" / "cloud.json").unlink()
    local.ok("up")
    only_the_cloud(local)
    (local.folder / "local" / "cloud.json").write_text("{")
    local.ok("down")
    assert local.processes() == {}


def test_of_two_at_once_one_works_and_the_other_says_so(local: Local) -> None:
    first = local.start("up", "--json")
    until((local.folder / "local" / "command").exists, "the lock")
    for command in (("up",), ("down",)):
        said = local.refused(3, *command)
        assert (
            f"another command is changing the local profile: `up` (process {first.process.pid})"
            in said
        )
        assert len(said.splitlines()) == 2, "one line and its hint"
    assert first.end().code == 0
    whole(local, 1)


def test_a_stack_that_another_living_process_updates_is_left_to_it(local: Local) -> None:
    local.ok("up")
    name = "organization/agent-docker/gpu"
    locks = local.folder / "local" / "backend" / ".pulumi" / "locks" / name
    locks.mkdir(parents=True, exist_ok=True)
    owner = {
        "pid": os.getpid(),
        "username": "somebody",
        "hostname": os.uname().nodename,
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    lock = locks / "11111111-2222-3333-4444-555555555555.json"
    lock.write_text(json.dumps(owner))
    contracts = local.contracts()
    assert f"pid {os.getpid()}" in local.refused(3, "up")
    assert lock.exists()
    lock.unlink()
    assert local.contracts() == contracts
