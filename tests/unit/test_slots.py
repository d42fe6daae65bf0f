"""The slot arithmetic: what grows, what shrinks, what is never done."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.errors import SettingsError
from contracts.fleet import FleetSettings
from contracts.labels import Label, live_slots, slot_name
from contracts.slots import FleetUnclear, Namer, Slot, SlotSet, plan, reconcile, require_known

OWNER = "0123456789ab"
NAMER = Namer(owner=OWNER, stack="gpu", shards=3)
counts = st.integers(min_value=0, max_value=40)


@st.composite
def histories(draw: st.DrawFn) -> tuple[SlotSet, list[str]]:
    """A slot set reached by growing and shrinking, with every name that ever lived."""
    current, seen = SlotSet(), []
    for desired in draw(st.lists(counts, max_size=6)):
        victims = draw(st.lists(st.sampled_from(current.names or ("none",)), max_size=4))
        current = reconcile(current, desired, minimum=0, maximum=40, namer=NAMER, victims=victims)
        seen += [name for name in current.names if name not in seen]
    return current, seen


def fleet(**changes: object) -> FleetSettings:
    return FleetSettings.model_validate(
        {"image": "ollama/ollama:0.12.6", "tailnet": "t.ts.net"} | changes
    )


@given(histories(), counts, counts, counts)
def test_the_count_stays_within_the_limits(
    history: tuple[SlotSet, list[str]], desired: int, low: int, high: int
) -> None:
    minimum, maximum = min(low, high), max(low, high)
    after = reconcile(history[0], desired, minimum=minimum, maximum=maximum, namer=NAMER)
    assert len(after.slots) == max(minimum, min(desired, maximum))


@given(histories(), counts)
def test_a_name_is_never_given_out_twice(history: tuple[SlotSet, list[str]], desired: int) -> None:
    current, seen = history
    after = reconcile(current, desired, minimum=0, maximum=40, namer=NAMER)
    fresh = set(after.names) - set(current.names)
    assert not fresh & set(seen)
    assert after.issued >= current.issued


@given(histories(), counts, st.data())
def test_victims_go_first_and_nobody_else_needlessly(
    history: tuple[SlotSet, list[str]], desired: int, data: st.DataObject
) -> None:
    current, _ = history
    victims = data.draw(st.lists(st.sampled_from(current.names or ("none",)), unique=True))
    after = reconcile(current, desired, minimum=0, maximum=40, namer=NAMER, victims=victims)
    gone = [name for name in current.names if name not in after.names]
    assert len(gone) == max(0, len(current.slots) - desired)
    named = [name for name in victims if name in current.names]
    assert set(gone) <= set(named) or set(named) <= set(gone)


@given(histories(), counts, st.data())
def test_the_same_wish_twice_changes_nothing(
    history: tuple[SlotSet, list[str]], desired: int, data: st.DataObject
) -> None:
    current, _ = history
    victims = data.draw(st.lists(st.sampled_from(current.names or ("none",))))
    once = reconcile(current, desired, minimum=1, maximum=30, namer=NAMER, victims=victims)
    again = reconcile(once, desired, minimum=1, maximum=30, namer=NAMER, victims=victims)
    assert again == once


@given(histories(), counts)
def test_survivors_keep_their_slot_untouched(
    history: tuple[SlotSet, list[str]], desired: int
) -> None:
    current, _ = history
    after = reconcile(current, desired, minimum=0, maximum=40, namer=NAMER)
    for slot in after.slots:
        if slot.name in current.names:
            assert slot == current.slot(slot.name)


def test_names_are_distinct_beyond_the_first_round() -> None:
    numbers = [*range(5000), *range(809_900, 810_200), *range(1_619_990, 1_620_010)]
    names = {slot_name(n, owner=OWNER, stack="gpu") for n in numbers}
    assert len(names) == len(numbers)
    assert all(Label.parse(str(Label(owner=OWNER, stack="gpu", slot=n))) for n in names)


def test_a_repeated_update_names_the_same_slots() -> None:
    once = reconcile(SlotSet(), 3, minimum=1, maximum=5, namer=NAMER)
    assert reconcile(SlotSet(), 3, minimum=1, maximum=5, namer=NAMER) == once
    assert {slot.shard for slot in once.slots} == {0, 1, 2}


def test_other_stacks_and_owners_name_other_slots() -> None:
    assert slot_name(0, owner=OWNER, stack="gpu") != slot_name(0, owner=OWNER, stack="gpu2")
    assert slot_name(0, owner=OWNER, stack="gpu") != slot_name(0, owner="b" * 12, stack="gpu")


def test_two_slots_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="must be unique, got 'gpu-aa'"):
        SlotSet(slots=(Slot.model_validate({"name": "gpu-aa"}),) * 2)


def test_an_unknown_slot_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="gpu-zz"):
        SlotSet().slot("gpu-zz")


def test_with_slot_changes_one_slot_only() -> None:
    before = reconcile(SlotSet(), 2, minimum=0, maximum=5, namer=NAMER)
    changed = before.slots[1].model_copy(update={"generation": 1})
    after = before.with_slot(changed)
    assert after.slots == (before.slots[0], changed)
    assert after.issued == before.issued


class TestPlan:
    def test_the_first_update_has_the_minimum(self) -> None:
        assert len(plan(fleet(min=2), last=None, explicit=None, namer=NAMER).slots) == 2

    def test_auto_keeps_the_last_slots(self) -> None:
        last = reconcile(SlotSet(), 4, minimum=1, maximum=5, namer=NAMER)
        assert plan(fleet(), last=last, explicit=None, namer=NAMER) == last

    def test_auto_stays_within_new_limits(self) -> None:
        last = reconcile(SlotSet(), 4, minimum=1, maximum=5, namer=NAMER)
        kept = plan(fleet(max=2), last=last, explicit=None, namer=NAMER)
        assert kept.slots == last.slots[:2]

    def test_a_number_overrides(self) -> None:
        last = reconcile(SlotSet(), 4, minimum=1, maximum=5, namer=NAMER)
        assert len(plan(fleet(desired=2), last=last, explicit=None, namer=NAMER).slots) == 2

    def test_explicit_slots_win(self) -> None:
        last = reconcile(SlotSet(), 4, minimum=1, maximum=5, namer=NAMER)
        asked = SlotSet(slots=last.slots[1:3], issued=last.issued)
        assert plan(fleet(desired=5), last=last, explicit=asked, namer=NAMER) == asked

    def test_explicit_slots_above_max_are_refused(self) -> None:
        asked = reconcile(SlotSet(), 6, minimum=1, maximum=9, namer=NAMER)
        with pytest.raises(SettingsError, match=r"6 slots are asked for, fleet\.max is 5"):
            plan(fleet(), last=None, explicit=asked, namer=NAMER)


class TestKnown:
    def test_a_slot_without_a_machine_is_fine(self) -> None:
        require_known(["gpu-a1"], ["gpu-a1", "gpu-b2"], recover="agent-docker recover gpu")

    def test_a_machine_outside_the_slots_is_refused(self) -> None:
        with pytest.raises(FleetUnclear, match="gpu-c3 lives but is in no slot") as caught:
            require_known(["gpu-c3"], ["gpu-a1"], recover="agent-docker recover gpu")
        assert "agent-docker recover gpu" in str(caught.value)

    def test_two_machines_in_a_slot_are_refused(self) -> None:
        with pytest.raises(FleetUnclear, match="gpu-a1 has 2 machines"):
            require_known(["gpu-a1", "gpu-a1"], ["gpu-a1"], recover="x")


class TestLabels:
    @given(st.text())
    def test_any_text_is_a_label_or_none(self, text: str) -> None:
        label = Label.parse(text)
        assert label is None or str(label) == text

    @pytest.mark.parametrize(
        "text",
        [
            None,
            "",
            "agent-docker/short/gpu/gpu-1",
            "agent-docker/0123456789ab/gpu",
            "other/0123456789ab/gpu/gpu-1",
            "agent-docker/0123456789ab/g u/gpu-1",
            "agent-docker/0123456789ab/gpu/GPU-1",
            "agent-docker/0123456789ab/gpu/gpu-1/x",
        ],
    )
    def test_what_is_not_exactly_ours_is_no_label(self, text: str | None) -> None:
        assert Label.parse(text) is None

    def test_only_this_owner_and_stack_count(self) -> None:
        mine = Label(owner=OWNER, stack="gpu", slot="gpu-a1")
        other_owner = Label(owner="f" * 12, stack="gpu", slot="gpu-a1")
        other_stack = Label(owner=OWNER, stack="gpu2", slot="gpu-a1")
        labels = [str(mine), str(other_owner), str(other_stack), None, "mine", str(mine)]
        assert live_slots(labels, owner=OWNER, stack="gpu") == ["gpu-a1", "gpu-a1"]
