"""The loop while account, router, stack or Redis are away: it holds, and forgets nothing."""

from collections.abc import Iterator, Mapping

import pytest

from autoscaler.model import Reading
from contracts.slots import SlotSet
from operations.errors import Failed, StackNotFound
from providers.vastai.errors import Unavailable
from tests.unit.autoscaler_fakes import NAMES, fleet_settings, slot_set
from tests.unit.test_autoscaler_loop import World, make_world


@pytest.fixture
def world() -> Iterator[World]:
    made = make_world()
    yield made
    made.redis.close()


# What cannot be read.


def test_an_account_that_does_not_answer_holds_everything(world: World) -> None:
    world.has(2)
    world.depth = 500
    world.cloud.failure = Unavailable("Vast.ai answered 503")
    assert world.tick(20) == {"cloud": "Vast.ai answered 503"}
    assert world.fleet.asked == []
    assert world.router.told == []
    world.cloud.failure = None
    assert world.tick(2) == {}
    assert len(world.slots) == 5


def test_a_look_that_outlasts_the_lease_tells_nobody_anything(world: World) -> None:
    """By then another one leads, and what it remembers must not be overwritten."""
    world.has(2)
    world.router.rows.clear()
    before = world.store.remembered()

    def slow(urls: Mapping[str, str]) -> Mapping[str, bool]:
        world.time.pass_(120)
        return World.probe(world, urls)

    world.autoscaler.eyes.probe = slow
    world.depth = 500
    world.tick(2)
    assert world.router.rows == {}
    assert world.fleet.asked == []
    assert world.store.remembered() == before


def test_without_its_router_a_drain_takes_the_whole_deadline(world: World) -> None:
    world.has(2)
    world.depth = 0
    world.router.serve(world.endpoint(NAMES[0]), 1)
    world.router.serve(world.endpoint(NAMES[1]), 1)
    world.tick()
    assert len(world.router.takes) == 1
    world.router.down = True
    problems = world.tick(11)
    assert list(problems) == ["router"]
    assert world.fleet.asked == []
    world.tick(2)
    assert len(world.fleet.asked) == 1


def test_what_was_chosen_while_the_router_was_away_is_taken_out_before_it_is_given_up(
    world: World,
) -> None:
    """It may get work between the reading of the list and the deregistration."""
    world.has(2)
    world.redis.flushall()
    world.start("two")
    world.router.down = True
    world.depth = 0
    world.tick()
    assert len(world.store.remembered().drains) == 1
    world.router.down = False
    world.tick()
    assert len(world.router.takes) == 1
    assert world.fleet.asked == []
    world.tick()
    assert len(world.fleet.asked) == 1


def test_a_fleet_without_a_router_gives_up_at_once(world: World) -> None:
    world.fleet.settings = fleet_settings(router=None)
    world.fleet.update(slot_set(2))
    world.boot()
    world.depth = 0
    assert world.tick(3) == {}
    assert len(world.slots) == 1
    assert world.router.told == []


def test_a_router_that_lost_its_memory_is_told_again(world: World) -> None:
    world.has(2)
    world.router.rows.clear()
    world.tick()
    assert world.router.takes == {world.endpoint(slot) for slot in NAMES[:2]}


def test_what_the_router_refuses_is_a_problem_and_tried_again(world: World) -> None:
    world.has(2)
    world.router.rows.clear()
    world.router.refuses = {world.endpoint(NAMES[0])}
    assert list(world.tick(3)) == ["router"]
    assert world.router.takes == {world.endpoint(NAMES[1])}
    world.router.refuses = set()
    assert world.tick() == {}
    assert len(world.router.takes) == 2


def test_a_budget_that_is_reached_drains_to_the_minimum_and_says_so() -> None:
    poor = make_world(dailyBudget=0.01)
    poor.has(3)
    poor.depth = 500
    problems = poor.tick(60)
    assert list(problems) == ["budget"]
    assert problems["budget"].endswith("of $0.01")
    assert len(poor.slots) == 1
    assert poor.router.told[0][0] == "deregister"
    poor.redis.close()


def test_a_ledger_that_is_lost_lets_nothing_grow() -> None:
    poor = make_world(dailyBudget=100)
    # A third slot was given up some time.
    poor.fleet.update(SlotSet(slots=slot_set(2).slots, issued=3))
    poor.boot()
    poor.depth = 500
    assert poor.tick(4) == {"budget": "what was spent today is not known"}
    assert poor.fleet.asked == []
    poor.redis.close()


def test_a_lease_that_cannot_be_asked_for_is_a_problem(world: World) -> None:
    world.renews = False
    world.autoscaler.lease_trouble = lambda: "Redis does not answer (ConnectionError)"
    assert world.tick() == {"redis": "Redis does not answer (ConnectionError)"}


def test_a_stack_that_was_never_read_is_waited_for(world: World) -> None:
    world.fleet.unreadable = StackNotFound("the backend has no such stack")
    assert world.tick(10) == {"stack": "the backend has no such stack"}
    assert world.fleet.reads < 5
    world.fleet.unreadable = None
    world.tick(30)
    assert world.slots == NAMES[:1]


def test_a_stack_that_cannot_be_read_again_is_not_acted_on(world: World) -> None:
    world.has(2)
    world.router.rows.clear()
    world.fleet.unreadable = Failed("the backend is away")
    world.autoscaler.eyes.stale = True
    world.depth = 500
    problems = world.tick(40)
    assert problems == {"stack": "the backend is away"}
    assert world.fleet.asked == []
    # What was known of it still serves.
    assert len(world.router.takes) == 2


# Redis.


def test_without_redis_nothing_is_done_and_nothing_forgotten(world: World) -> None:
    world.has(2)
    world.depth = 500
    world.server.connected = False
    world.renews = False
    assert world.tick() == {"redis": "Redis does not answer (ConnectionError)"}
    world.tick(30)
    assert world.fleet.asked == []
    assert not world.leadership.held
    assert world.reports.status["leader"] is False
    world.server.connected = world.renews = True
    world.redis.flushall()
    world.tick(2)
    assert len(world.slots) == 5
    assert len(world.router.takes) == 2


def test_a_redis_that_goes_in_the_middle_of_a_tick_is_named(world: World) -> None:
    world.has(1)

    def gone() -> Reading:
        world.server.connected = False
        return Reading(depth=500, at=world.time.wall)

    world.read = gone  # type: ignore[method-assign]
    world.time.pass_(10)
    world.leadership.campaign()
    world.time.pass_(10)
    assert world.autoscaler.tick().as_dict() == {"redis": "Redis does not answer (ConnectionError)"}
    assert world.fleet.asked == []


def test_a_lease_that_ends_in_the_middle_of_a_look_is_not_acted_under(world: World) -> None:
    world.has(1)
    world.fleet.whole = False
    world.autoscaler.eyes.stale = True
    probe = world.autoscaler.eyes.probe
    world.leadership.campaign()

    def slow(urls: dict[str, str]) -> dict[str, bool]:
        world.time.pass_(60)
        return dict(probe(urls))

    world.autoscaler.eyes.probe = slow  # type: ignore[assignment]
    world.autoscaler.tick()
    assert world.fleet.recovered == []
