"""Recoveries that meet each other, other people's engines, and their own death."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.vastai.server import RunningCloud, running_cloud
from operations.errors import Busy, CutOff
from operations.fleet import Recovery
from tests.engine.fleets import VAST_CANARY, TestFleet, make_fleet
from tests.faults import processes
from tests.faults.run import ROOT


@pytest.fixture
def cloud() -> Iterator[RunningCloud]:
    with running_cloud(seed=1, key=VAST_CANARY, boot_seconds=0.05) as running:
        yield running


@pytest.fixture
def fleet(tmp_path: Path, cloud: RunningCloud) -> Iterator[TestFleet]:
    under_test = make_fleet(tmp_path, cloud)
    try:
        yield under_test
    finally:
        cloud.loop.call_soon_threadsafe(cloud.emulator.edge.holds.release, {})
        processes.kill(processes.of(tmp_path))


def cut_grow(fleet: TestFleet, *, keep_provider: bool = False) -> None:
    """A grow from one to three slots whose engine is killed while a rental is being accepted."""
    fleet.admin("hold", {"on": "create", "point": "accepted"})
    raised: list[Exception] = []

    def grow() -> None:
        try:
            fleet.fleet.resize(3)
        except CutOff as error:
            raised.append(error)

    running = threading.Thread(target=grow)
    running.start()
    fleet.until(fleet.is_held)
    processes.kill(processes.engines(fleet.folder))
    running.join()
    assert "recover" in str(raised[0])
    if not keep_provider:
        fleet.admin("release", {})


def test_of_two_recoveries_at_once_one_works_and_nothing_is_doubled(fleet: TestFleet) -> None:
    fleet.deploy()
    cut_grow(fleet)
    done: list[Recovery | Busy] = []

    def recover() -> None:
        try:
            done.append(fleet.fleet.recover())
        except Busy as error:
            done.append(error)

    both = [threading.Thread(target=recover) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sorted(type(one).__name__ for one in done) == ["Busy", "Recovery"]
    fleet.assert_whole(3)
    # A third finds nothing to do.
    before = fleet.contracts()
    again = fleet.fleet.recover()
    assert (again.unlocked, again.adopted, again.lost, again.ended) == ((), (), (), ())
    assert fleet.contracts() == before


def test_until_it_is_recovered_every_other_change_is_refused(fleet: TestFleet) -> None:
    fleet.deploy()
    cut_grow(fleet)
    before = fleet.live()
    with pytest.raises(CutOff, match="cut off") as caught:
        fleet.fleet.resize(2)
    assert "recover" in str(caught.value.hint)
    with pytest.raises(Busy):
        fleet.deploy()
    assert fleet.live().items() >= before.items()
    found = fleet.fleet.recover()
    assert len(found.unlocked) == 1
    # What was asked for is finished, not only what had been rented.
    fleet.assert_whole(3)


def test_a_provider_that_is_still_renting_is_waited_for(fleet: TestFleet) -> None:
    fleet.deploy()
    cut_grow(fleet, keep_provider=True)
    left = processes.providers(fleet.folder)
    assert left
    # Let go on once recovery has taken note of it: its own first calls are behind it then.
    waiting = threading.Timer(3.0, fleet.admin, args=("release", {}))
    waiting.start()
    fleet.fleet.recover()
    waiting.join()
    fleet.assert_whole(3)
    assert processes.of(fleet.folder) == []
    assert len([r for r in fleet.admin("state")["rentals"] if not r["live"]]) == 0


def test_the_lock_of_an_engine_that_was_not_started_here_is_left_alone(fleet: TestFleet) -> None:
    fleet.deploy()
    cut_grow(fleet)
    elsewhere = fleet.with_state("another-installation")
    with pytest.raises(Busy) as caught:
        elsewhere.fleet.recover()
    assert "pulumi cancel" in str(caught.value.hint)
    with pytest.raises(Busy):
        fleet.deploy()
    fleet.fleet.recover()
    fleet.assert_whole(3)


def test_a_recovery_that_dies_is_recovered(fleet: TestFleet) -> None:
    fleet.deploy()
    cut_grow(fleet)
    # So that recovery has something to rent.
    fleet.befall(fleet.names()[0], "vanish")
    fleet.admin("hold", {"on": "create", "point": "received"})
    arguments = [str(fleet.folder), fleet.cloud.url, fleet.cloud.endpoint_template, "recover"]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.driver", *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    ) as driver:
        fleet.until(fleet.is_held)
        driver.send_signal(signal.SIGKILL)
    processes.kill(processes.engines(fleet.folder))
    fleet.admin("release", {})
    fleet.fleet.recover()
    fleet.assert_whole(3)


def test_a_destroy_ends_what_only_its_label_tells_of(fleet: TestFleet) -> None:
    fleet.deploy()
    cut_grow(fleet)
    fleet.fleet.recover()
    orphan = fleet.rent_by_hand(
        _cheapest(fleet), label=f"agent-docker/{fleet.owner}/gpu/{fleet.names()[0]}"
    )
    found = fleet.fleet.destroy(remove=True)
    assert found.ended == (orphan,)
    assert fleet.rentals() == []
    assert list((fleet.folder / "operations").glob("intent-*")) == []
    assert list((fleet.folder / "operations").glob("engines-*")) == []


def _cheapest(fleet: TestFleet) -> int:
    with fleet.fleet.cloud() as client:
        return client.search({"gpu_name": {"eq": "RTX 3090"}, "rentable": {"eq": True}})[0].id
