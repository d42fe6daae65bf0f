"""Recovering and destroying a fleet: in which order, and what is never forgotten."""

from dataclasses import replace
from pathlib import Path

import pytest

from contracts.errors import AgentDockerError
from contracts.slots import SlotSet
from operations import engines, intents
from operations.errors import Busy, CutOff, Failed, LeaseLost, Refused, StackNotFound
from operations.intents import Intent
from operations.state import RecordedMachine, StackState
from tests.unit.operations_fakes import NAMES, World, make_world, names, recorded, slots


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


def test_recovering_a_whole_fleet_changes_nothing(world: World) -> None:
    found = world.fleet.recover()
    assert found.slots == NAMES[:2]
    assert (found.unlocked, found.adopted, found.lost, found.ended) == ((), (), (), ())
    assert world.applied()["expendable"] == []
    assert world.applied()["skip_idle"]
    assert world.intent() is None


def test_orphans_are_adopted_doubles_ended_and_creates_cleared(world: World) -> None:
    world.stack.state = recorded(slots(2), pending=(NAMES[2],))
    world.cloud.add(7, NAMES[2])
    world.cloud.add(8, NAMES[0])
    world.cloud.add(9, NAMES[0], owner="ffffffffffff")
    world.cloud.add(10, NAMES[0], stack="other")
    found = world.fleet.recover()
    assert (world.cloud.ended, found.ended) == ([8], (8,))
    assert found.adopted == found.cleared == (NAMES[2],)
    assert names(world.applied()) == NAMES[:3]
    assert world.stack.asked[-1] == ("refresh", True)


def test_a_service_whose_lease_was_taken_over_ends_nothing(world: World) -> None:
    state = recorded(slots(2))
    world.stack.state = replace(state, outputs={**state.outputs, "fence": 8})
    world.cloud.add(8, NAMES[0])
    with pytest.raises(LeaseLost):
        world.fleet.under(7).recover()
    assert world.cloud.ended == []
    assert world.fleet.under(8).recover().ended == (8,)


def test_more_surplus_than_may_be_ended_unseen_is_left_for_a_person(world: World) -> None:
    for contract in (8, 9):
        world.cloud.add(contract, NAMES[0])
    with pytest.raises(Refused, match="2 machines are in no slot, more than the 1"):
        world.fleet.recover(end_at_most=1)
    assert world.cloud.ended == []
    assert world.fleet.recover(end_at_most=2).ended == (8, 9)


def test_what_was_asked_for_is_finished(world: World) -> None:
    world.stack.fails = CutOff("killed")
    with pytest.raises(CutOff):
        world.fleet.resize(1, victims=[NAMES[0]])
    found = world.fleet.recover()
    assert found.slots == (NAMES[1],)
    assert world.applied()["expendable"] == [NAMES[0]]
    assert world.intent() is None


def test_a_recovery_that_fails_can_be_repeated(world: World) -> None:
    world.stack.state = recorded(slots(1))
    world.stack.during = lambda: (_ for _ in ()).throw(CutOff("killed"))
    with pytest.raises(CutOff):
        world.fleet.recover()
    world.stack.during = lambda: None
    assert world.fleet.recover().slots == NAMES[:2]


@pytest.mark.parametrize(("failure", "cleared"), [(Failed("no offer"), True), (CutOff("x"), False)])
def test_creates_that_were_cut_are_cleared_though_an_empty_slot_stays_empty(
    world: World, failure: Failed, *, cleared: bool
) -> None:
    world.stack.state = recorded(slots(2), pending=(NAMES[2],))

    def fail() -> None:
        raise failure

    world.stack.during = fail
    with pytest.raises(type(failure)):
        world.fleet.recover()
    assert (world.stack.asked[-1] == ("refresh", True)) is cleared


def test_dead_machines_that_are_replaced_are_no_victims_of_a_cut_recovery(world: World) -> None:
    dead = world.stack.state.machines[0]
    dead = RecordedMachine(slot=dead.slot, contract=1, shard=0, status="exited")
    outputs = world.stack.state.outputs
    world.stack.state = StackState(
        outputs=outputs, machines=(dead, *world.stack.state.machines[1:])
    )
    world.stack.fails = None
    world.stack.during = lambda: (_ for _ in ()).throw(CutOff("killed"))
    with pytest.raises(CutOff):
        world.fleet.recover()
    intent = world.intent()
    assert intent is not None
    assert intent.victims == ()
    assert world.applied()["expendable"] == [NAMES[0]]


# Locks.


def lock(pid: int, host: str = "here") -> Busy:
    return Busy(f"the stack is locked: created by me@{host} (pid {pid}) at 2026-01-02T03:04:05Z")


DEAD_PID = 2**22 - 3  # Beyond the ids in use.


def test_a_dead_engines_lock_is_removed_and_its_record_with_it(world: World) -> None:
    engines.record_file(world.folder, "gpu", "operation-x").write_text(f"{DEAD_PID}\n")
    world.stack.fails = lock(DEAD_PID)
    found = world.fleet.recover()
    assert len(found.unlocked) == 1
    assert [kind for kind, _ in world.stack.asked][:3] == ["refresh", "unlock", "refresh"]
    assert engines.recorded(world.folder, "gpu") == frozenset()


@pytest.mark.parametrize("failure", [lock(DEAD_PID), lock(DEAD_PID, "there"), Busy("locked")])
def test_any_other_lock_is_left(world: World, failure: Busy) -> None:
    world.stack.fails = failure
    with pytest.raises(Busy) as caught:
        world.fleet.recover()
    assert "pulumi cancel" in str(caught.value.hint)
    assert [kind for kind, _ in world.stack.asked] == ["refresh"]


# Destroying.


def test_a_destroy_ends_what_only_its_label_tells_of(world: World) -> None:
    world.cloud.add(9, NAMES[3])
    world.cloud.add(10, NAMES[3], owner="ffffffffffff")
    world.stack.during = lambda: None
    found = world.fleet.destroy(remove=True)
    assert set(found.ended) == {1, 2, 9}
    assert [m.id for m in world.cloud.machines] == [10]
    assert [kind for kind, _ in world.stack.asked] == ["destroy", "remove"]
    assert world.intent() is None


def test_a_destroy_that_was_cut_is_finished_by_recovery(world: World) -> None:
    world.stack.fails = CutOff("killed")
    with pytest.raises(CutOff):
        world.fleet.destroy(remove=True)
    with pytest.raises(CutOff):
        world.fleet.resize(4)
    found = world.fleet.recover()
    assert found.slots == ()
    assert world.cloud.machines == []
    assert [kind for kind, _ in world.stack.asked] == ["destroy", "refresh", "destroy", "remove"]
    assert world.intent() is None


def test_a_removal_that_was_cut_after_its_end_is_over(world: World) -> None:
    whole = Intent(slots=SlotSet(), base=slots(2), destroy=True, remove=True)
    intents.write(world.folder, "gpu", whole)
    world.stack.fails = StackNotFound("gone")
    assert world.fleet.recover().slots == ()
    assert world.intent() is None
    world.stack.fails = StackNotFound("gone")
    with pytest.raises(AgentDockerError, match="gone"):
        world.fleet.recover()
