"""The fleet over a stack that only remembers what it was asked for."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from contracts.errors import AgentDockerError, SettingsError
from contracts.slots import Namer, SlotSet, reconcile
from operations import engines, intents
from operations.errors import Busy, CutOff, Failed, Interrupted, Refused, StackNotFound
from operations.fleet import Fleet, NoSuchSlot
from operations.intents import Intent
from operations.known import NewerProgram
from operations.stack import Applied, Snapshot
from operations.state import RecordedMachine, StackState
from providers.vastai.errors import NoSuchOffer, NotFound
from providers.vastai.models import Instance, Offer

OWNER = "0123456789ab"
NAMER = Namer(owner=OWNER, stack="gpu")
SETTINGS = {
    "agent-docker:owner": OWNER,
    "agent-docker:fleet": {"image": "ollama/ollama:0.12.6", "min": 1, "max": 4, "tailnet": "t.net"},
}


def slots(count: int) -> SlotSet:
    return reconcile(SlotSet(), count, minimum=0, maximum=9, namer=NAMER)


NAMES = slots(4).names


class FakeCloud:
    """An account: the machines in it, and what was ended."""

    def __init__(self) -> None:
        self.machines: list[Instance] = []
        self.ended: list[int] = []
        self.offers = [
            Offer.model_validate(
                {
                    "id": 1,
                    "machine_id": 500,
                    "host_id": 1,
                    "gpu_name": "RTX 4090",
                    "num_gpus": 1,
                    "dph_total": 0.3,
                    "verification": "verified",
                    "reliability2": 0.99,
                    "cpu_ram": 64_000,
                    "cpu_cores": 8,
                    "cpu_cores_effective": 8,
                    "disk_space": 500,
                    "inet_down": 900,
                    "inet_up": 900,
                    "cuda_max_good": 12.8,
                    "duration": 1e7,
                }
            )
        ]

    def search(self, query: dict[str, Any]) -> list[Offer]:
        assert query["gpu_name"] == {"eq": "RTX 4090"}
        return self.offers

    def __call__(self) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def add(self, contract: int, slot: str, owner: str = OWNER, stack: str = "gpu") -> None:
        label = f"agent-docker/{owner}/{stack}/{slot}"
        self.machines.append(Instance(id=contract, label=label, actual_status="running"))

    def instances(self) -> list[Instance]:
        return self.machines

    def instance(self, contract: int) -> Instance:
        raise NotFound(f"{contract} is gone")

    def destroy(self, contract: int) -> None:
        self.ended.append(contract)
        self.machines = [m for m in self.machines if m.id != contract]


@dataclass
class FakeStack:
    """Does what it is asked for, in its own record; `fails` makes the next update fail."""

    target: Any
    state: StackState = field(default_factory=StackState)
    settings: dict[str, Any] = field(default_factory=lambda: dict(SETTINGS))
    asked: list[tuple[str, Any]] = field(default_factory=list)
    fails: BaseException | None = None
    during: Callable[[], None] = lambda: None

    def snapshot(self) -> Snapshot:
        return Snapshot(state=self.state, settings=self.settings)

    def apply(
        self, changes: dict[str, Any], *, expendable: Iterable[str], **how: object
    ) -> Applied:
        self.asked.append(("apply", {**changes, **how, "expendable": sorted(expendable)}))
        self.during()
        self._fail()
        wanted = SlotSet.model_validate(changes["slots"])
        self.state = recorded(wanted)
        return Applied(changed=True, state=self.state)

    def refresh(self, *, clear_pending: bool = False) -> StackState:
        self.asked.append(("refresh", clear_pending))
        self._fail()
        return self.state

    def destroy(self) -> StackState:
        self.asked.append(("destroy", None))
        self._fail()
        self.state = StackState()
        return self.state

    def remove(self) -> None:
        self.asked.append(("remove", None))

    def unlock(self) -> None:
        self.asked.append(("unlock", None))

    def _fail(self) -> None:
        failure, self.fails = self.fails, None
        if failure is not None:
            raise failure


def recorded(wanted: SlotSet, *, pending: tuple[str, ...] = ()) -> StackState:
    machines = tuple(
        RecordedMachine(
            slot=slot.name,
            contract=number,
            shard=slot.shard,
            status="running",
            generation=slot.generation,
        )
        for number, slot in enumerate(wanted.slots, 1)
    )
    instances = [
        {
            "slot": machine.slot,
            "contract": machine.contract,
            "machine": 100 + machine.contract,
            "gpu": "RTX 4090",
            "gpuCount": 1,
            "costPerHour": 0.3,
            "endpoint": "http://x",
            "status": "running",
            "image": "i:1",
        }
        for machine in machines
    ]
    outputs = {"slots": wanted.model_dump(mode="json"), "instances": instances}
    return StackState(outputs=outputs, machines=machines, pending=pending)


@dataclass
class World:
    fleet: Fleet
    stack: FakeStack
    cloud: FakeCloud
    folder: Path

    def intent(self) -> Intent | None:
        return intents.read(self.folder, "gpu")

    def applied(self) -> dict[str, Any]:
        return [asked for kind, asked in self.stack.asked if kind == "apply"][-1]


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "run").mkdir(mode=0o700)
    target = SimpleNamespace(stack="gpu", state=tmp_path, run_dir=tmp_path / "run")
    stack, cloud = FakeStack(target, state=recorded(slots(2))), FakeCloud()
    for number, name in enumerate(NAMES[:2], 1):
        cloud.add(number, name)
    fleet = Fleet(stack=stack, cloud=cloud, sleep=lambda _: None, host="here")  # type: ignore[arg-type]
    return World(fleet, stack, cloud, tmp_path)


def names(document: dict[str, Any]) -> tuple[str, ...]:
    return SlotSet.model_validate(document["slots"]).names


# Changing.


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


# Recovery.


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
