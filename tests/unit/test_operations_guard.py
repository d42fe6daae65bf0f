"""What an update may end, and what it must not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.program import CONTAINER_TYPE, INSTANCE_TYPE
from contracts.slots import Slot, SlotSet
from operations.guard import DEAD, expendable, is_idle, surprises, unguarded
from operations.jobs import ResourceEvent
from operations.state import RecordedMachine, StackState
from providers.vastai import instance

ENDING = ("delete", "replace", "create-replacement", "delete-replaced", "discard")
HARMLESS = ("same", "create", "update", "read", "refresh", "import")
FLEET_TYPE = "agent-docker:gpu:GpuFleet"


def step(op: str, name: str, kind: str = INSTANCE_TYPE) -> ResourceEvent:
    urn = f"urn:pulumi:gpu::agent-docker::{FLEET_TYPE}${kind}::{name}"
    return ResourceEvent(phase="begin", op=op, urn=urn, type=kind)


def machine(slot: str, **fields: object) -> RecordedMachine:
    return RecordedMachine(
        **{"slot": slot, "contract": 1, "shard": 0, "status": "running"} | fields
    )


def slots(*names: str) -> SlotSet:
    return SlotSet(slots=tuple(Slot(name=name) for name in names))


def test_the_dead_are_those_of_the_provider() -> None:
    assert DEAD == instance.DEAD


@pytest.mark.parametrize("op", ENDING)
def test_an_unnamed_machine_that_would_go_is_a_surprise(op: str) -> None:
    found = surprises([step(op, "gpu-a"), step("same", "gpu-b")], ["gpu-b"])
    assert len(found) == 1
    assert found[0].split() == ["delete" if op in {"delete", "discard"} else "replace", "gpu-a"]


@given(st.lists(st.tuples(st.sampled_from(ENDING + HARMLESS), st.sampled_from("abcd"))))
def test_exactly_the_unnamed_endings_are_told_once(steps: list[tuple[str, str]]) -> None:
    found = surprises([step(op, f"gpu-{name}") for op, name in steps], ["gpu-a", "gpu-b"])
    expected = {f"gpu-{name}" for op, name in steps if op in ENDING and name in "cd"}
    assert len(found) == len(expected)
    assert {line.split()[1] for line in found} == expected


def test_anything_else_of_ours_that_would_go_is_a_surprise_even_under_a_slots_name() -> None:
    assert surprises([step("delete", "gpu-a", FLEET_TYPE)], ["gpu-a"]) == ["delete gpu-a"]


def test_what_carries_no_machine_may_change() -> None:
    inner = ("pulumi:providers:pulumi-python", "pulumi:pulumi:StackReference")
    assert surprises([step("delete", "x", kind) for kind in inner], []) == []


def test_what_is_given_up_dead_of_another_generation_or_absent_may_go() -> None:
    state = StackState(
        machines=(
            machine("gpu-up"),
            machine("gpu-given-up"),
            machine("gpu-dead", status="exited"),
            machine("gpu-old", generation=1),
        ),
        pending=("gpu-cut",),
    )
    wanted = SlotSet(
        slots=(
            Slot(name="gpu-up"),
            Slot(name="gpu-dead"),
            Slot(name="gpu-old", generation=2),
            Slot(name="gpu-fresh"),
        )
    )
    assert expendable(state, wanted) == [
        "gpu-given-up",
        "gpu-cut",
        "gpu-dead",
        "gpu-old",
        "gpu-fresh",
    ]


def test_in_a_whole_fleet_nothing_may_go() -> None:
    state = StackState(machines=(machine("gpu-a"), machine("gpu-b", generation=3)))
    wanted = SlotSet(slots=(Slot(name="gpu-b", generation=3), Slot(name="gpu-a")))
    assert expendable(state, wanted) == []


def test_a_provider_that_takes_new_settings_is_no_change() -> None:
    steps = [step("same", "gpu-a"), step("update", "default", "pulumi:providers:pulumi-python")]
    assert is_idle(steps)
    assert not is_idle([*steps, step("update", "gpu-b")])
    assert not is_idle([*steps, step("create", "gpu-b")])


def container(op: str, name: str, type_: str = CONTAINER_TYPE) -> ResourceEvent:
    urn = f"urn:pulumi:nas::agent-docker::agent-docker:nas:NasService${type_}::{name}"
    return ResourceEvent(phase="begin", op=op, urn=urn, type=type_)


@pytest.mark.parametrize("op", ["replace", "create-replacement", "delete-replaced", "delete"])
def test_a_guarded_container_may_not_end(op: str) -> None:
    guarded = {"postgres": "postgres has no backup", "redis": "redis neither"}
    steps = [container(op, "postgres"), container("same", "redis"), container(op, "agent-mesh")]
    assert unguarded(steps, guarded) == ["postgres has no backup"]


@pytest.mark.parametrize("op", ["same", "update", "create", "refresh"])
def test_a_guarded_container_may_change_in_place(op: str) -> None:
    assert unguarded([container(op, "postgres")], {"postgres": "why"}) == []


def test_its_image_may_be_another_one_as_long_as_the_container_stays() -> None:
    image = container("replace", "postgres", "docker:index/remoteImage:RemoteImage")
    assert unguarded([image], {"postgres": "why"}) == []
