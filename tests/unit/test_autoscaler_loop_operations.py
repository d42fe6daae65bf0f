"""The loop and its operations: how each may end, and what goes on while one runs."""

from collections.abc import Iterator

import pytest
from redis.exceptions import ConnectionError  # noqa: A004 - as Redis calls it

from autoscaler.store import Store
from contracts.errors import AgentDockerError
from operations.errors import Busy, Conflict, CutOff, Failed, LeaseLost, Unclear
from operations.leadership import Leadership
from tests.unit.autoscaler_fakes import NAMES, slot_set
from tests.unit.test_autoscaler_loop import PREFIX, World, make_world


@pytest.fixture
def world() -> Iterator[World]:
    made = make_world()
    yield made
    made.redis.close()


@pytest.mark.parametrize("error", [Conflict("read it again"), LeaseLost("taken over")])
def test_what_was_read_too_early_is_read_again_and_done_at_once(
    world: World, error: AgentDockerError
) -> None:
    world.has(1)
    world.depth = 500
    world.fleet.fails = [error]
    world.until_asked()
    reads = world.fleet.reads
    world.tick(1, seconds=0.1)
    assert world.fleet.reads == reads + 1
    assert len(world.slots) == 5


def test_somebody_elses_update_is_seen_and_not_undone(world: World) -> None:
    world.has(1)
    world.depth = 500
    world.pool.holding = True
    world.tick(2)
    world.fleet.update(slot_set(4))
    world.pool.holding = False
    world.pool.finish()
    world.tick(2)
    assert world.slots == NAMES[:5]
    assert world.fleet.rented == 5


@pytest.mark.parametrize("error", [CutOff("cut off"), Unclear("they disagree")])
def test_what_was_cut_off_is_recovered_before_anything_else(
    world: World, error: AgentDockerError
) -> None:
    world.has(1)
    world.depth = 500
    world.fleet.fails = [error]
    world.until_asked()
    world.tick()
    assert world.fleet.recovered == [3]
    assert len(world.fleet.asked) == 1
    assert world.fleet.fences[-1] == world.leadership.fence
    world.tick()
    assert len(world.slots) == 5
    assert world.tick() == {}


def test_creates_cut_off_half_way_are_recovered(world: World) -> None:
    world.has(2)
    world.fleet.whole = False
    world.tick(40)
    assert world.fleet.recovered == [3]
    assert world.fleet.asked == []


def test_a_recovery_that_fails_is_tried_again_later(world: World) -> None:
    world.has(1)
    world.fleet.whole = False
    world.fleet.fails = [Failed("no offer"), Failed("no offer"), Failed("no offer")]
    problems = world.tick(40)
    assert problems == {"operation": "recover: no offer"}
    world.tick(60)
    assert len(world.fleet.recovered) == 4
    assert world.tick() == {}


def test_a_busy_stack_is_tried_again_soon_but_not_at_once(world: World) -> None:
    world.has(1)
    world.depth = 500
    world.fleet.fails = [Busy("somebody updates")] * 4
    world.until_asked()
    assert world.tick(1, seconds=1) == {}
    assert len(world.fleet.asked) == 1
    world.tick(10)
    assert len(world.slots) == 5


def test_a_bug_in_an_operation_surfaces(world: World) -> None:
    world.has(1)
    world.depth = 500
    world.fleet.fails = [KeyError("a bug")]
    with pytest.raises(KeyError, match="a bug"):
        world.tick(3)
    assert world.autoscaler.hands.busy is None


def test_a_bug_in_an_operation_is_not_repeated_at_each_tick(world: World) -> None:
    world.has(1)
    world.depth = 500
    world.fleet.fails = [KeyError("a bug") for _ in range(9)]
    for _ in range(9):
        try:
            world.tick()
        except KeyError:
            continue
    assert len(world.fleet.asked) < 5


def test_trouble_is_over_once_nothing_is_to_be_done(world: World) -> None:
    """Else /healthz says 503 until the next update, which may be tomorrow."""
    world.has(1)
    world.depth = 500
    world.fleet.fails = [Failed("no offer")]
    world.tick(2)
    world.depth = 50
    assert world.tick(100) == {}


def test_what_a_failed_update_rented_is_seen_while_the_next_waits(world: World) -> None:
    world.has(1)
    world.depth = 500
    world.fleet.fails = [Failed("no offer for the third")] * 9
    world.tick(40)
    world.fleet.update(slot_set(2))
    world.boot()
    world.tick(4)
    assert world.endpoint(NAMES[1]) in world.router.takes


# While an update runs.


def test_looking_goes_on_while_an_update_runs_and_nothing_else_begins(world: World) -> None:
    world.has(1)
    world.depth = 500
    world.pool.holding = True
    world.tick(2)
    assert world.reports.status["operation"] == "update"
    world.router.rows.clear()
    reads = world.fleet.reads
    world.tick(50)
    assert len(world.router.takes) == 1
    assert world.fleet.reads == reads
    world.pool.finish()
    world.tick()
    assert world.reports.status["operation"] is None
    assert len(world.fleet.asked) == 1


def test_what_is_decided_while_an_update_runs_is_done_after_it(world: World) -> None:
    world.has(1)
    world.depth = 250
    world.pool.holding = True
    world.tick(2)
    assert world.autoscaler.hands.busy
    world.depth = 500
    world.tick(4)
    world.pool.holding = False
    world.pool.finish()
    world.tick()
    assert [len(slots.slots) for slots in world.fleet.asked] == [3, 5]
    assert world.fleet.rented == 5


def test_a_machine_that_is_just_being_given_up_gets_no_work(world: World) -> None:
    world.has(2)
    world.depth = 0
    world.pool.holding = True
    world.tick(2)
    assert world.autoscaler.hands.busy == "update"
    world.depth = 100
    world.tick(4)
    assert len(world.router.takes) == 1
    world.pool.finish()


@pytest.mark.parametrize("successor", [False, True])
def test_what_a_cut_off_update_was_to_end_gets_no_work_before_that_is_finished(
    world: World,
    successor: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Though it is wanted again by now: the recovery ends it, and whoever it serves then."""
    world.has(2)
    world.depth = 0
    world.pool.holding = True
    world.tick(2)
    (leaving,) = world.store.remembered().leaving
    going = world.endpoint(leaving)
    world.fleet.fails = [CutOff("killed")]
    world.pool.finish()
    if successor:
        world.redis.delete(f"{PREFIX}:lease")
        world.start("two")
    world.depth = 500
    # As while an engine that lives still works on it.
    world.fleet.fails = [Busy("somebody's engine")] * 2
    world.pool.holding = False
    for _ in range(2):
        world.tick()
        assert going not in world.router.takes
        assert world.fleet.spared <= {NAMES[0], NAMES[1]} - {leaving}
    assert world.fleet.recovered
    world.tick(6)
    assert world.store.remembered().leaving == frozenset()
    # It was not ended after all: it serves again.
    assert going in world.router.takes


def test_what_another_leader_was_to_end_is_not_forgotten_for_an_update_of_before(
    world: World,
) -> None:
    world.has(2)
    world.depth = 0
    world.pool.holding = True
    world.tick(2)
    # Another one takes over, and is cut off in the midst of an update of its own.
    world.redis.delete(f"{PREFIX}:lease")
    other = Leadership(world.redis, PREFIX, holder="two", clock=world.time.clock.mono)
    other.campaign()
    world.fleet.fails = [LeaseLost("taken over")]
    world.pool.finish()
    world.pool.holding = False
    world.tick()
    assert not world.leadership.held
    left = world.store.remembered().model_copy(update={"leaving": frozenset(NAMES[:2])})
    world.store.remember(left)
    world.redis.delete(f"{PREFIX}:lease")
    world.depth = 100
    world.fleet.fails = [Busy("its engine")] * 9
    world.tick(2)
    assert world.leadership.held
    assert world.router.takes == set()
    assert world.fleet.recovered


def test_what_serves_is_spared_by_a_recovery_though_the_memory_is_lost(world: World) -> None:
    world.has(2)
    world.fleet.whole = False
    world.redis.flushall()
    world.start("two")
    world.tick(2)
    assert world.fleet.recovered
    assert world.fleet.spared == set(NAMES[:2])


def test_a_recovery_that_fails_gives_back_what_nobody_ends_any_more(world: World) -> None:
    """The engine ended by itself, so nothing is half done; and the market may be dry for hours."""
    world.has(2)
    world.depth = 0
    world.pool.holding = True
    world.tick(2)
    world.fleet.fails = [CutOff("killed"), *[Failed("no offer for an empty slot")] * 9]
    world.pool.finish()
    world.pool.holding = False
    world.depth = 100
    world.tick(6)
    assert world.fleet.recovered
    assert world.store.remembered().leaving == frozenset()
    assert len(world.router.takes) == 2


def test_an_update_that_ends_well_at_the_very_end_is_not_recovered_from(world: World) -> None:
    world.has(2)
    world.depth = 0
    world.pool.holding = True
    world.tick(2)
    assert world.store.remembered().leaving
    world.pool.finish()
    world.autoscaler.ended()
    assert world.store.remembered().leaving == frozenset()
    world.start("two")
    world.redis.delete(f"{PREFIX}:lease")
    world.tick(4)
    assert world.fleet.recovered == []


def test_what_cannot_be_remembered_is_not_begun(world: World) -> None:
    world.has(2)
    world.depth = 0
    world.tick()

    def away(_store: Store, _remembered: object) -> None:
        raise ConnectionError("Redis is away")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "remember", away)
        world.tick()
    assert world.fleet.asked == []
    assert world.autoscaler.hands.must_recover is False
    world.tick(2)
    assert len(world.fleet.asked) == 1
    assert world.fleet.recovered == []


def test_an_update_that_failed_gives_its_victims_their_work_back(world: World) -> None:
    world.has(2)
    world.depth = 0
    world.pool.holding = True
    world.tick(2)
    world.fleet.fails = [Busy("somebody updates")]
    world.pool.finish()
    world.depth = 100
    world.tick(3)
    assert len(world.router.takes) == 2
    assert world.fleet.recovered == []


def test_a_machine_that_is_just_being_replaced_gets_no_work(world: World) -> None:
    world.has(3)
    world.silent = {1}
    world.pool.holding = True
    world.tick(8)
    assert world.autoscaler.hands.busy == "update"
    world.silent = set()
    world.tick(4)
    assert world.endpoint(NAMES[0]) not in world.router.takes
    world.pool.finish()


def test_a_slot_whose_replacement_failed_is_not_given_up_instead(world: World) -> None:
    """A decision falls into the running update; then it turns out that nothing was done."""
    world.has(3)
    del world.cloud.machines[1]
    world.pool.holding = True
    world.tick(8)
    assert world.autoscaler.hands.busy == "update"
    world.fleet.fails = [Busy("somebody updates")]
    world.pool.finish()
    world.pool.holding = False
    world.tick(4)
    assert [slots.names for slots in world.fleet.asked] == [NAMES[:3]] * 2
    assert world.fleet.asked[-1].slots[0].generation == 1
