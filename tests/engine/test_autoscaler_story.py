"""The autoscaler at work on the real engine: what it does, and what it never does."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from operations.errors import Busy
from providers.vastai.models import Rental
from providers.vastai.offers import Want
from tests.engine.autoscalers import World, running_world, until
from tests.engine.fleets import TestFleet


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path, work_seconds=2.0) as running:
        yield running


def assert_untouched(world: World) -> None:
    """What holds after every story."""
    assert world.touched() == []
    assert world.doubled() == 0
    assert world.unannounced() == []
    assert world.router.router.account.lost == 0
    assert world.router.router.account.handed_to_draining == 0


class Person:
    """Somebody who deploys another image at each of these moments, whatever runs then."""

    def __init__(self, fleet: TestFleet, *moments: Callable[[], object]) -> None:
        self.fleet = fleet
        self.deployed: list[str] = []
        self.told_to_wait = 0
        self._thread = threading.Thread(target=self._work, args=moments)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _work(self, *moments: Callable[[], object]) -> None:
        for number, moment in enumerate(moments):
            until(moment)
            until(lambda number=number: self._deploys(f"ollama/ollama:0.13.{number}"))

    def _deploys(self, image: str) -> bool:
        try:
            self.fleet.deploy(image=image)
        except Busy:
            self.told_to_wait += 1
            return False
        self.deployed.append(image)
        return True


def test_a_burst_is_served_while_a_person_deploys(world: World) -> None:
    world.fleet.deploy()
    first = world.fleet.contracts()
    scaler = world.scaler(scaleUpThreshold=10, scaleDownThreshold=3)
    world.until_whole(1)
    account = world.router.router.account
    world.push(60)
    with Person(
        world.fleet,
        lambda: scaler.status().get("operation") == "update",
        lambda: len(world.fleet.live()) >= 3,
        lambda: scaler.said("giving up"),
    ) as person:
        until(lambda: len(world.rentals()) >= 3, what=scaler.status)
        until(lambda: account.done == 60, what=account.as_json)
    assert len(person.deployed) == 3
    world.until_whole(1)

    assert account.done == 60
    assert_untouched(world)
    # A machine that worked was never restarted, and the last that is left is the first or another.
    assert world.fleet.calls("update_template") == [0]
    assert set(first.values()) <= {rental["id"] for rental in world.rentals()}
    # Nobody's image came back once another was deployed; an update that was refused did nothing.
    images = [u.fleet["image"] for u in world.updates() if u.result == "succeeded"]
    seen = ["ollama/ollama:0.12.6", *person.deployed]
    assert [seen.index(image) for image in images] == sorted(map(seen.index, images))
    assert images[-1] == person.deployed[-1]
    # The books agree with the bill, but for the machine of somebody else.
    status = scaler.status()
    bill = sum(float(rental["bill"]) for rental in world.rentals())
    assert abs(status["spentTotal"] - bill) < 0.01
    assert scaler.stop() == 0


def test_machines_that_fail_are_replaced_and_strays_end(world: World) -> None:
    world.fleet.deploy(min=2)
    scaler = world.scaler(bootDeadlineSeconds=6)
    world.until_whole(2)
    dead, healthy = world.fleet.names()
    before, machines = world.fleet.contracts(), _machines(world)

    world.fleet.befall(dead, "die")
    until(lambda: world.fleet.contracts().get(dead, before[dead]) != before[dead])
    world.until_whole(2)
    assert _machines(world)[dead] != machines[dead]
    assert world.fleet.contracts()[healthy] == before[healthy]

    # One that never boots, in a slot that is new.
    world.fleet.admin("faults", {"kind": "stuck_loading"})
    world.mode("fixed", 3)
    until(lambda: len(world.rentals()) == 4)
    stuck = world.rentals()[-1]
    world.until_whole(3)
    slot = stuck["label"].rpartition("/")[2]
    assert world.fleet.contracts()[slot] != stuck["id"]
    assert _machines(world)[slot] != stuck["machine_id"]
    assert {boot["outcome"] for boot in scaler.said("boot")} == {"ready", "failed"}

    # A contract that ended without us.
    before = world.fleet.contracts()
    world.fleet.befall(healthy, "vanish")
    until(lambda: world.fleet.contracts().get(healthy, before[healthy]) != before[healthy])
    world.until_whole(3)

    # Machines with our label that no update has rented: a second one in a slot, one in none.
    before = world.fleet.contracts()
    strays = [_rent_stray(world, name) for name in (healthy, "gpu-9999")]
    until(lambda: not _lives(world, strays[0]))
    world.until_whole(3)
    # Which of the four goes is the policy's to say; nothing new was rented.
    assert {*world.fleet.contracts().values()} <= {*before.values(), strays[1]}
    assert world.touched() == []
    assert world.unannounced() == []
    assert scaler.stop() == 0


def test_the_end_in_mid_update_loses_nothing(world: World) -> None:
    world.fleet.deploy()
    before = world.fleet.contracts()
    scaler = world.scaler()
    world.until_whole(1)
    world.fleet.admin("hold", {"on": "create", "point": "accepted"})
    world.mode("fixed", 3)
    until(world.fleet.is_held)
    ended: list[int] = []
    stopping = threading.Thread(target=lambda: ended.append(scaler.stop()))
    stopping.start()
    until(lambda: scaler.said("stopping: waiting for the running operation"))
    assert scaler.lives
    world.fleet.admin("release", {})
    stopping.join()
    assert ended == [0]

    again = world.scaler()
    world.until_whole(3)
    assert world.fleet.contracts().items() >= before.items()
    assert_untouched(world)
    assert again.stop() == 0


def test_paused_fixed_and_dry(world: World) -> None:
    world.fleet.deploy()
    scaler = world.scaler(scaleUpThreshold=5, scaleDownThreshold=2)
    world.until_whole(1)
    # A reading that asks for more, whatever the router does: nobody works on this queue.
    for kind in ("paused", "dry-run"):
        world.mode(kind)
        until(lambda kind=kind: scaler.status()["mode"] == kind)
        with world.store() as store:
            store.redis.rpush("inference:processing", *map(str, range(50)))
            store.redis.lpush("inference", *["not a job"] * 50)
        seen = len(scaler.said("decision"))
        until(lambda seen=seen: len(scaler.said("decision")) > seen + 3)
        decision = scaler.status()["decision"]
        assert (decision["wanted"] > 1) is (kind == "dry-run") or decision["depth"] == 0
        with world.store() as store:
            store.redis.delete("inference:processing", "inference")
    assert len(world.rentals()) == 1
    assert len(world.updates()) == 1
    world.mode("fixed", 2)
    world.until_whole(2)
    world.mode("auto")
    world.until_whole(1)
    # Beyond the limits a person's number does not go.
    world.mode("fixed", 50)
    world.until_whole(5)
    assert_untouched(world)
    assert scaler.stop() == 0


def _machines(world: World) -> dict[str, int]:
    return {
        rental["label"].rpartition("/")[2]: rental["machine_id"]
        for rental in world.rentals()
        if rental["live"]
    }


def _rent_stray(world: World, slot: str) -> int:
    """A machine as the fleet's own, that no update has rented."""
    with world.fleet.fleet.cloud() as client:
        offer = client.search(Want(gpu="RTX 4090").query())[0]
        label = f"agent-docker/{world.fleet.owner}/gpu/{slot}"
        return client.create(offer.id, Rental(image="other:1", disk=50.0, label=label))


def _lives(world: World, contract: int) -> bool:
    return any(rental["id"] == contract and rental["live"] for rental in world.rentals())
