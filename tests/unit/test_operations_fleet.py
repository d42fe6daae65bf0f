"""Changing a fleet: what the stack is asked for, and what is written down before."""

from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.errors import SettingsError
from contracts.slots import SlotSet
from operations import intents
from operations.errors import Busy, CutOff, Failed, Interrupted, Refused
from operations.fleet import Fleet, NoSuchSlot
from operations.intents import Intent
from operations.known import NewerProgram
from operations.stack import Applied
from operations.state import StackState
from providers.vastai.errors import NoSuchOffer
from tests.unit.operations_fakes import NAMES, World, make_world, names, recorded, slots


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


def test_growing_asks_for_the_old_slots_and_fresh_ones(world: World) -> None:
    world.fleet.resize(3)
    assert names(world.applied()) == NAMES[:3]
    assert world.applied()["expendable"] == [NAMES[2]]  # It has no machine to lose.
    assert not world.applied()["skip_idle"]


def test_shrinking_may_end_the_victim_only(world: World) -> None:
    world.fleet.resize(1, victims=[NAMES[0]])
    assert names(world.applied()) == (NAMES[1],)
    assert world.applied()["expendable"] == [NAMES[0]]


def test_the_settings_limits_hold(world: World) -> None:
    world.fleet.resize(99)
    assert len(names(world.applied())) == 4
    world.fleet.resize(0)
    assert len(names(world.applied())) == 1


def test_only_an_update_to_what_is_recorded_may_be_skipped(world: World) -> None:
    world.fleet.resize(2)
    assert world.applied()["skip_idle"]
    world.fleet.apply(slots(2).model_copy(update={"issued": 9}))
    assert not world.applied()["skip_idle"]


def test_a_replacement_excludes_the_machine_it_leaves(world: World) -> None:
    for times in (1, 2):
        world.fleet.replace(NAMES[1])
        slot = SlotSet.model_validate(world.applied()["slots"]).slot(NAMES[1])
        assert (slot.generation, slot.exclude_machines) == (times, (102,))
        assert world.applied()["expendable"] == [NAMES[1]]


@pytest.mark.parametrize("machine", [500, 102])
def test_without_an_offer_in_its_place_nothing_ends(world: World, machine: int) -> None:
    """No offer at all, or only the machine that is to be left."""
    alone = [offer.model_copy(update={"machine_id": machine}) for offer in world.cloud.offers]
    world.cloud.offers = alone if machine == 102 else []
    with pytest.raises(NoSuchOffer, match=f"{NAMES[1]} keeps its machine"):
        world.fleet.replace(NAMES[1])
    assert world.stack.asked == []


def test_a_roll_ends_no_machine(world: World) -> None:
    world.fleet.roll(NAMES[0])
    slot = SlotSet.model_validate(world.applied()["slots"]).slot(NAMES[0])
    assert slot.revision == 1
    assert world.applied()["expendable"] == []


@pytest.mark.parametrize("change", [Fleet.replace, Fleet.roll])
def test_a_slot_that_is_not_there_is_told(world: World, change: Callable[..., Applied]) -> None:
    with pytest.raises(NoSuchSlot, match="gpu-none") as caught:
        change(world.fleet, "gpu-none")
    assert NAMES[0] in str(caught.value.hint)
    assert world.stack.asked == []


def test_a_newer_programs_stack_and_one_without_owner_are_left_alone(world: World) -> None:
    world.stack.state = StackState(outputs={"program": "99.0.0"})
    with pytest.raises(NewerProgram, match=r"99\.0\.0"):
        world.fleet.resize(3)
    world.stack.state = StackState()
    del world.stack.settings["agent-docker:owner"]
    with pytest.raises(SettingsError, match="owner"):
        world.fleet.resize(3)
    assert world.stack.asked == []


# Intents and the lease.


def test_the_intent_is_written_before_and_gone_after(world: World) -> None:
    seen: list[Intent | None] = []
    world.stack.during = lambda: seen.append(world.intent())
    world.fleet.resize(1)
    assert seen == [Intent(slots=seen[0].slots, victims=(NAMES[1],), base=slots(2))]  # type: ignore[union-attr]
    assert world.intent() is None


@pytest.mark.parametrize(
    ("failure", "kept"),
    [
        (Failed("why"), False),
        (Refused("why"), False),
        (Busy("why"), False),
        (CutOff("why"), True),
        (Interrupted("why"), True),
        (KeyboardInterrupt(), True),
    ],
)
def test_an_intent_outlives_an_update_that_was_cut(
    world: World, failure: BaseException, *, kept: bool
) -> None:
    world.stack.fails = failure
    with pytest.raises(type(failure)):
        world.fleet.resize(3)
    assert (world.intent() is not None) is kept
    if kept:
        with pytest.raises(CutOff, match="cut off") as refused:
            world.fleet.resize(1)
        assert "recover" in str(refused.value.hint)
    else:
        world.fleet.resize(1)


def test_what_was_stopped_before_it_began_leaves_nothing_to_recover(world: World) -> None:
    world.fleet.stop()
    with pytest.raises(Interrupted, match="stopped before it began"):
        world.fleet.resize(3)
    assert world.intent() is None
    assert world.stack.asked == []


def test_an_intent_that_was_overtaken_refuses_nothing(world: World) -> None:
    stale = Intent(slots=slots(4), base=slots(3))
    intents.write(world.folder, "gpu", stale)
    world.fleet.resize(3)
    assert names(world.applied()) == NAMES[:3]


def test_creates_that_were_cut_off_refuse_a_change(world: World) -> None:
    world.stack.state = recorded(slots(2), pending=(NAMES[2],))
    with pytest.raises(CutOff):
        world.fleet.resize(1)


def test_one_operation_at_a_time(world: World) -> None:
    refused: list[str] = []

    def meanwhile() -> None:
        for attempt in (lambda: world.fleet.resize(4), world.fleet.recover, world.fleet.destroy):
            with pytest.raises(Busy) as caught:
                attempt()
            refused.append(caught.value.message)

    world.stack.during = meanwhile
    world.fleet.resize(3)
    world.stack.during = lambda: None
    assert len(refused) == 3
    # Neither did they touch its intent, nor is the lease held on.
    assert world.intent() is None
    world.fleet.resize(4)
