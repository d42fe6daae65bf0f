"""The loop and machines that fail, vanish, or are nobody's."""

from collections.abc import Iterator

import pytest

from autoscaler.remembered import Drain
from operations.errors import Refused
from tests.unit.autoscaler_fakes import NAMES, fleet_settings, instance, slot_set
from tests.unit.test_autoscaler_loop import World, make_world


@pytest.fixture
def world() -> Iterator[World]:
    made = make_world()
    yield made
    made.redis.close()


def test_one_that_never_answers_is_put_on_another_machine(world: World) -> None:
    world.tick(2)
    failed = world.contract(NAMES[0])
    world.tick(27)
    assert len(world.fleet.asked) == 1
    world.tick(5)
    slot = world.fleet.asked[1].slots[0]
    assert (slot.name, slot.generation) == (NAMES[0], 1)
    assert slot.exclude_machines == (1000 + failed,)
    assert failed not in world.cloud.machines
    assert world.log.told("replacing")[0]["reason"].startswith("not ready ")
    boot = world.store.boots(1)[0]
    assert (boot["outcome"], boot["contract"]) == ("failed", failed)
    assert boot["seconds"] >= 300
    world.boot()
    world.tick(20)
    assert len(world.fleet.asked) == 2


def test_without_an_offer_it_keeps_its_machine(world: World) -> None:
    world.tick(2)
    world.fleet.offers = False
    world.tick(150)
    assert world.fleet.asked[1].slots[0].generation == 0
    assert world.fleet.rented == 1
    # Not asked at each tick for what cannot be had.
    assert 3 < len(world.fleet.asked) < 9


def test_one_that_fell_silent_is_replaced_and_has_no_work_meanwhile(world: World) -> None:
    world.has(3)
    old = world.endpoint(NAMES[1])
    world.silent = {2}
    world.tick(4)
    assert world.router.told == [("deregister", old)]
    assert world.fleet.asked == []
    world.tick(5)
    assert [slot.generation for slot in world.fleet.asked[0].slots] == [0, 1, 0]
    assert world.log.told("replacing")[0]["reason"].startswith("silent for ")


def test_one_that_answers_again_is_forgiven(world: World) -> None:
    world.has(3)
    for _ in range(5):
        world.silent = {2}
        world.tick(4)
        world.silent = set()
        world.tick()
    assert world.fleet.asked == []
    assert len(world.router.takes) == 3


def test_a_machine_that_is_proved_gone_is_replaced(world: World) -> None:
    world.has(2)
    del world.cloud.machines[2]
    world.tick(3)
    assert [slot.generation for slot in world.fleet.asked[0].slots] == [0, 1]
    assert world.log.told("replacing")[0]["reason"] == "its machine is gone"


def test_a_listing_that_misses_machines_replaces_and_ends_nothing(world: World) -> None:
    world.has(3)
    spent = world.ledgers[-1].total
    world.cloud.hidden = {1, 2}
    world.tick(20)
    world.cloud.hidden = set()
    world.tick()
    assert world.fleet.asked == []
    assert world.fleet.recovered == []
    assert len(world.router.takes) == 3
    assert world.ledgers[-1].total - spent == pytest.approx(3 * 0.36 * 210 / 3600)


def test_so_many_silent_at_once_replace_nothing(world: World) -> None:
    world.has(4)
    world.silent = {1, 2}
    problems = world.tick(30)
    assert problems == {"health": "2 of 4 machines fell silent: is it our network?"}
    assert world.reports.status["halted"] == problems["health"]
    world.depth = 0
    world.tick(30)
    assert world.fleet.asked == []
    assert world.store.remembered().drains == {}
    world.silent = set()
    world.depth = 50
    assert world.tick(2) == {}


def test_machines_that_perhaps_only_we_cannot_hear_keep_their_work(world: World) -> None:
    """We think that it is our network: then the router may hear them well."""
    world.has(4)
    world.silent = {1, 2, 3, 4}
    world.tick(3)
    assert len(world.router.takes) == 4


def test_losing_the_memory_while_no_machine_can_be_heard_replaces_nothing_at_once(
    world: World,
) -> None:
    """A NAS that starts: Redis is empty, and the tailnet is not up yet."""
    world.has(3)
    world.tick(60)
    world.redis.flushall()
    world.start("two")
    world.silent = {1, 2, 3}
    world.tick(5)
    assert world.fleet.asked == []


def test_a_clock_that_is_set_replaces_nothing_that_boots(world: World) -> None:
    world.has(1)
    world.depth = 500
    world.tick(3)
    world.time.wall += 3600
    assert world.tick(1)["clock"] == "the clock was set by +3600 s: waits start anew"
    world.tick(5)
    assert len(world.fleet.asked) == 1


def test_a_clock_that_is_set_while_another_one_leads_is_only_told(world: World) -> None:
    world.renews = False
    assert world.tick() == {}
    world.time.wall -= 60
    assert world.tick() == {"clock": "the clock was set by -60 s: waits start anew"}
    assert world.tick() == {}


def test_a_clock_that_is_set_ends_no_drain_early(world: World) -> None:
    world.has(2)
    world.router.serve(world.endpoint(NAMES[0]), 1)
    world.router.serve(world.endpoint(NAMES[1]), 1)
    world.depth = 0
    world.tick()
    world.time.wall += 3600
    world.tick(2)
    assert world.fleet.asked == []
    assert world.decide() == {}


def test_a_drain_from_the_future_ends_all_the_same(world: World) -> None:
    """The clock was set back while nobody looked."""
    world.has(2)
    victim = world.endpoint(NAMES[0])
    world.router.serve(victim, 1)
    world.depth = 0
    world.router.serve(world.endpoint(NAMES[1]), 1)
    world.tick()
    drained = Drain(contract=1, since=world.time.wall + 86_400)
    late = world.store.remembered().model_copy(update={"drains": {NAMES[0]: drained}})
    world.store.remember(late)
    world.start("two")
    world.redis.delete("agent-docker:test:gpu:lease")
    world.tick(20)
    assert world.slots == (NAMES[1],)


# Machines in no slot.


def test_an_orphan_is_ended_after_its_grace_and_within_the_budget(world: World) -> None:
    world.has(1)
    world.cloud.machines[77] = instance(77, NAMES[5])
    reads = world.fleet.reads
    world.tick(3)
    assert world.fleet.reads == reads + 1
    assert world.fleet.recovered == []
    assert world.reports.status["strays"] == [77]
    world.tick(4)
    assert world.fleet.recovered == [3]
    assert list(world.cloud.machines) == [1]
    assert world.tick(20) == {}
    assert world.fleet.recovered == [3]


def test_one_that_is_adopted_in_time_is_no_orphan(world: World) -> None:
    world.has(1)
    world.fleet.update(slot_set(2))
    world.tick(10)
    assert world.fleet.recovered == []
    assert world.fleet.asked == []


def test_more_orphans_than_may_be_ended_unseen_are_a_problem(world: World) -> None:
    world.has(1)
    world.cloud.machines[77] = instance(77, NAMES[5])
    world.fleet.fails = [Refused("4 machines are in no slot, more than the 3 that may be")] * 99
    world.tick(40)
    assert world.tick()["operation"].startswith("recover: 4 machines are in no slot")
    assert len(world.fleet.recovered) < 5
    assert 77 in world.cloud.machines


@pytest.mark.parametrize("label", [None, "mine", "agent-docker/ffffffffffff/gpu/gpu-abcd"])
def test_a_foreign_machine_is_nobodys_business(world: World, label: str | None) -> None:
    world.has(1)
    world.cloud.machines[77] = instance(77, label=label)
    assert world.tick(20) == {}
    assert world.fleet.recovered == []
    assert world.reports.status["strays"] == []
    assert world.reports.status["costPerHour"] == 0.36


# What a person does meanwhile.


def test_a_person_who_gives_slots_up_is_not_undone_before_the_next_decision(world: World) -> None:
    world.has(3)
    world.tick()
    world.fleet.update(slot_set(2))
    world.tick(1, seconds=1)
    world.tick(20, seconds=0.5)
    assert world.fleet.asked == []


def test_a_count_that_a_person_has_set_is_theirs(world: World) -> None:
    """Of `fleet.desired`: a number means manual."""
    world.has(2)
    world.fleet.settings = fleet_settings(desired=2)
    world.autoscaler.eyes.stale = True
    world.depth = 500
    world.tick(10)
    assert world.slots == NAMES[:2]
