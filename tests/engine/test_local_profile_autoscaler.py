"""The local profile with its autoscaler: up, a burst, its commands, a stop in the middle, down."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.test_local_profile import DEADLINE, Json, Local, until

INT = signal.SIGINT


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    profile = Local(tmp_path, autoscaler=True)
    profile.settings()
    try:
        yield profile
    finally:
        profile.close()


def autoscaler(local: Local) -> Json:
    return local.run("autoscaler", "status", "--json").json()


def settled(local: Local, slots: int) -> None:
    until(
        lambda: (
            len((found := autoscaler(local)).get("slots", ())) == slots and not found["operation"]
        ),
        f"{slots} slots",
    )


def pid(local: Local) -> int:
    said = json.loads((local.folder / "local" / "autoscaler.json").read_text())
    return int(said["pid"])


def test_a_burst_is_followed_and_paid_for(local: Local) -> None:
    first = local.ok("up", "--json").json()
    assert {"router", "autoscaler"} <= set(first["phases"])
    settled(local, 1)

    figures = local.folder / "demo.json"
    found = local.ok("demo", "--jobs", "250", "--figures", str(figures), "--json").json()
    assert found.pop("decisions")
    assert found == json.loads(figures.read_text())
    counts = ("jobs_in", "jobs_done", "jobs_lost", "jobs_on_draining")
    assert [found[name] for name in counts] == [250, 250, 0, 0]
    assert (found["start_instances"], found["end_instances"]) == (1, 1)
    assert found["max_instances"] >= 3
    assert found["destroys"] == found["max_instances"] - 1
    assert found["destroys_before_deregister"] == 0
    assert found["cost_error_cents"] < 1

    rows = local.ok("autoscaler", "decisions", "--limit", "500", "--json").json()
    assert {"grow", "shrink", "hold"} <= {row["rule"] for row in rows}
    assert "backlog asks for" in local.ok("autoscaler", "decisions", "--limit", "500").out

    seen = local.ok("status")
    assert "autoscaler auto: 0 waiting" in seen.out
    assert local.status()["autoscaler"]["leader"]

    # A person's word: two slots, whatever the queue says; then hands off.
    local.ok("autoscaler", "fix", "2")
    settled(local, 2)
    assert autoscaler(local)["mode"] == "fixed at 2"
    local.ok("autoscaler", "pause")
    until(lambda: autoscaler(local)["mode"] == "paused", "the pause")
    local.ok("gpu", "scale", "3")
    until(lambda: len(autoscaler(local)["slots"]) == 3, "a person's scale")
    assert "resume" in local.refused(1, "demo")

    # Another `up` keeps it all: the same cloud, the same machines, the mode.
    contracts, cloud = local.contracts(), local.cloud()
    local.ok("up")
    assert (local.contracts(), local.cloud()) == (contracts, cloud)
    assert autoscaler(local)["mode"] == "paused"
    local.ok("autoscaler", "resume")
    settled(local, 1)

    local.ok("down")
    assert local.processes() == {}
    assert "without an autoscaler" not in local.refused(1, "autoscaler", "status")


def test_a_stopped_up_lets_the_autoscaler_that_ran_run_again(local: Local) -> None:
    local.ok("up")
    before, contracts = pid(local), local.contracts()
    local.fleet(desired=3)
    running = local.start("up")
    running.said("renting gpu")
    running.signal(INT)
    done = running.end()
    assert done.code == 130, done.err
    assert "what ran before runs again" in done.err
    assert local.contracts().items() >= contracts.items()
    assert pid(local) != before
    until(lambda: autoscaler(local).get("leader"), "a leader", DEADLINE)
    # Without one it ends, and says so.
    local.settings()
    local.ok("up", "--no-autoscaler")
    assert not any("-m autoscaler" in text for text in local.processes().values())
