"""The slots of the next update: exactly what is due, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.plan import Change, wanted
from contracts.slots import SlotSet
from tests.unit.autoscaler_fakes import NAMER, NAMES, slot_set

THREE = slot_set(3)


def after(change: Change, current: SlotSet = THREE, maximum: int = 5, **how: object) -> SlotSet:
    return wanted(current, change, namer=NAMER, maximum=maximum, **how)  # type: ignore[arg-type]


def test_growing_takes_new_names_that_avoid_what_failed() -> None:
    grown = after(Change(count=5), machines={7, 9}, hosts={2})
    assert grown.names == NAMES[:5]
    assert grown.slots[:3] == THREE.slots
    for slot in grown.slots[3:]:
        assert (slot.exclude_machines, slot.exclude_hosts) == ((7, 9), (2,))
        assert slot.generation == 0
    assert grown.issued == 5


def test_giving_up_takes_exactly_those_named() -> None:
    shrunk = after(Change(count=0, give_up=(NAMES[1], "gpu-none")))
    assert shrunk.slots == (THREE.slots[0], THREE.slots[2])
    assert shrunk.issued == 3
    assert after(Change(count=0, give_up=NAMES[:3])).slots == ()


def test_a_name_is_never_given_out_again() -> None:
    moved = after(Change(count=3, give_up=(NAMES[2],)))
    assert moved.names == (*NAMES[:2], NAMES[3])
    assert moved.issued == 4


def test_a_replaced_slot_avoids_the_machine_that_it_is_on() -> None:
    change = Change(count=0, replace=(NAMES[0], NAMES[1], "gpu-none"))
    moved = after(change, machines={7}, hosts={2}, now_on={NAMES[0]: 5, NAMES[2]: 6})
    first, second, third = moved.slots
    assert (first.generation, first.exclude_machines, first.exclude_hosts) == (1, (5, 7), (2,))
    assert (second.generation, second.exclude_machines) == (1, (7,))
    assert third == THREE.slots[2]
    assert after(change).slots[0].exclude_machines == ()


def test_the_maximum_bounds_growth_and_gives_nobody_up() -> None:
    assert len(after(Change(count=9), maximum=4).slots) == 4
    assert after(Change(count=9), maximum=2) == THREE
    assert after(Change(count=9, give_up=(NAMES[0],)), maximum=2).names == NAMES[1:3]


@pytest.mark.parametrize(
    ("change", "needed"),
    [
        (Change(count=0), False),
        (Change(count=3), False),
        (Change(count=4), True),
        (Change(count=3, give_up=("gpu-none",)), False),
        (Change(count=3, give_up=(NAMES[0],)), True),
        (Change(count=3, replace=("gpu-none",)), False),
        (Change(count=3, replace=(NAMES[0],)), True),
        (Change(count=3, leftovers=("gpu-left",)), True),
    ],
)
def test_whether_anything_is_due(change: Change, needed: bool) -> None:  # noqa: FBT001
    assert change.needed(THREE) is needed


def test_leftovers_are_ended_by_an_update_of_the_same_slots() -> None:
    assert after(Change(count=0, leftovers=("gpu-left",))) == THREE


def test_what_a_slot_had_to_avoid_long_ago_is_forgiven_when_it_moves() -> None:
    """Else the slot that lives longest ends where no offer is left for it."""
    first = THREE.slots[0].avoiding([1, 2], [3])
    found = after(Change(count=3, replace=(first.name,)), THREE.with_slot(first), machines={7})
    assert found.slot(first.name).exclude_machines == (7,)
    assert found.slot(first.name).exclude_hosts == ()
    # It stays as it is while it works.
    assert after(Change(count=4), THREE.with_slot(first)).slot(first.name) == first


names = st.lists(st.sampled_from(NAMES[:6]), unique=True).map(tuple)
numbers = st.frozensets(st.integers(1, 5))


@given(st.integers(0, 6), st.integers(0, 9), st.integers(1, 6), names, names, numbers, numbers)
def test_whatever_is_due(
    size: int,
    count: int,
    maximum: int,
    give_up: tuple[str, ...],
    replace: tuple[str, ...],
    machines: frozenset[int],
    hosts: frozenset[int],
) -> None:
    current = slot_set(size)
    change = Change(count=count, give_up=give_up, replace=replace)
    on = {name: 10 + number for number, name in enumerate(current.names)}
    found = after(change, current, maximum, machines=machines, hosts=hosts, now_on=on)
    stay = [name for name in current.names if name not in give_up]
    assert len(found.slots) == max(len(stay), min(count, maximum))
    assert list(found.names[: len(stay)]) == stay
    assert found.issued >= current.issued
    for slot in found.slots:
        if slot.name not in current.names:
            assert slot.name not in NAMES[:size]
            assert (set(slot.exclude_machines), set(slot.exclude_hosts)) == (machines, hosts)
        elif slot.name in replace:
            assert slot.generation == 1
            assert set(slot.exclude_machines) == machines | {on[slot.name]}
        else:
            assert slot == current.slot(slot.name)
    if not change.needed(current):
        assert found == current
