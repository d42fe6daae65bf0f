"""Ctrl-C, SIGTERM and SIGHUP at every stage of `up`: what ran before runs, and nothing else."""

import signal
import stat
from pathlib import Path

import pytest

from tests.engine.test_local_profile import Local, Running, local, until

__all__ = ["local"]
INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


def stopped(running: Running, number: signal.Signals, *, impatient: bool = True) -> str:
    """Send the signal, and an impatient Ctrl-C or two after it; what was said."""
    running.signal(number)
    if impatient:
        for _ in range(2):
            if running.process.poll() is None:
                running.signal(INT)
    done = running.end()
    # Of signals that come together the system delivers the lowest first.
    assert done.code in {128 + number, 128 + INT if impatient else 0}, done.err
    assert "Traceback" not in done.err
    assert done.out == ""
    return done.err


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("updating the stack", INT),
        ("renting gpu", HUP),
        ("rented gpu", TERM),
        ("machines boot", INT),
    ],
)
def test_where_nothing_ran_nothing_runs(local: Local, moment: str, number: signal.Signals) -> None:
    local.fleet(desired=2)
    running = local.start("up")
    running.said(moment)
    assert "nothing is left running" in stopped(running, number)
    assert local.processes() == {}
    assert "is down" in local.refused(1, "status")


def test_a_cloud_that_is_just_starting_goes(local: Local) -> None:
    running = local.start("up")
    until(lambda: any("localcloud" in text for text in local.processes().values()), "the cloud")
    stopped(running, INT)
    assert local.processes() == {}


def test_an_engine_that_is_being_built_leaves_no_compiler(local: Local, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    go = tools / "go"
    go.write_text(f"#!/bin/sh\n: {tmp_path}\n/bin/sleep 300 & /bin/sleep 300\n")
    go.chmod(go.stat().st_mode | stat.S_IXUSR)
    running = local.start(
        "up",
        PATH=str(tools),
        AGENT_DOCKER_CACHE=str(tmp_path / "cache"),
        HTTPS_PROXY="http://127.0.0.1:9",
    )
    running.said("building pulumi")
    until(lambda: len(local.processes()) > 3, "the compilers")
    stopped(running, INT)
    assert local.processes() == {}


@pytest.fixture
def one_slot(local: Local) -> Local:
    local.ok("up")
    return local


def test_a_cloud_that_ran_runs_on_as_it_was(one_slot: Local) -> None:
    contracts, state, processes = one_slot.contracts(), one_slot.state(), one_slot.processes()
    one_slot.fleet(desired=3)
    for moment, number in (
        ("updating the stack", HUP),
        ("rented gpu", INT),
        ("machines boot", TERM),
    ):
        running = one_slot.start("up")
        running.said(moment)
        assert "what ran before runs again" in stopped(running, number)
        assert one_slot.state() == state, moment
        assert one_slot.processes() == processes, moment
        live = {rental["id"] for rental in one_slot.admin("state")["rentals"] if rental["live"]}
        assert live == set(contracts.values()), moment
    assert one_slot.contracts() == contracts
    # And nothing of it stands in the way of the next one.
    grown = one_slot.ok("up", "--json").json()
    assert len(grown["slots"]) == 3
    assert contracts.items() <= one_slot.contracts().items()


def test_a_machine_that_the_stopped_update_had_ended_is_rented_anew(one_slot: Local) -> None:
    slot = next(iter(one_slot.contracts()))
    one_slot.fleet(diskGb=80)  # Another disk means another machine.
    running = one_slot.start("up")
    running.said("rented")
    said = stopped(running, INT)
    assert "what ran before runs again, on other machines" in said
    until(lambda: one_slot.run("status").code == 0, "the machine answers")
    assert list(one_slot.contracts()) == [slot]
    known = one_slot.ok("gpu", "instances", "--json").json()
    assert [row["known"] for row in known] == [True]


def test_a_stopped_scale_says_how_to_go_on(one_slot: Local) -> None:
    running = one_slot.start("gpu", "scale", "3")
    running.said("updating the stack")
    stopped(running, INT, impatient=False)
    one_slot.ok("recover", "gpu")
    assert one_slot.ok("status", "--json").json()["orphans"] == []
    assert len(one_slot.processes()) == 1


def test_a_stopped_down_is_finished_by_the_next(one_slot: Local) -> None:
    running = one_slot.start("down")
    running.said("ending what the stack has")
    assert "run `agent-docker down` again" in stopped(running, INT)
    one_slot.ok("down")
    assert one_slot.processes() == {}
