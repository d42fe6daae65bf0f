"""Recovery for any mixture of what is recorded, what lives and what was asked for."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.labels import slot_name
from contracts.slots import Namer, Slot, SlotSet, reconcile
from operations.guard import expendable
from operations.intents import Intent
from operations.recovery_plan import RecoveryPlan, plan
from operations.state import RecordedMachine, StackState
from providers.vastai.models import Instance

OWNER = "0123456789ab"
NAMER = Namer(owner=OWNER, stack="gpu", shards=3)
NUMBERS = 8
NAMES = tuple(slot_name(n, owner=OWNER, stack="gpu") for n in range(NUMBERS))
Live = Mapping[str, Sequence[Instance]]


@dataclass(frozen=True)
class Crash:
    """What is found after a crash, and the limits of the settings."""

    state: StackState
    live: Live
    intent: Intent | None
    minimum: int
    maximum: int

    def plan(self, spare: Collection[str] = ()) -> RecoveryPlan:
        limits = {"minimum": self.minimum, "maximum": self.maximum}
        intent = self.intent and self.intent.sparing(spare, self.state)
        return plan(self.state, self.live, intent, namer=NAMER, **limits)

    @property
    def recorded(self) -> dict[str, int]:
        return {machine.slot: machine.contract for machine in self.state.machines}


def slot_sets() -> st.SearchStrategy[SlotSet]:
    numbers = st.lists(st.integers(0, NUMBERS - 1), unique=True, max_size=5)
    return numbers.map(
        lambda chosen: SlotSet(
            slots=tuple(NAMER.slot(n).model_copy(update={"generation": n % 2}) for n in chosen),
            issued=max(chosen, default=-1) + 1,
        )
    )


@st.composite
def crashes(draw: st.DrawFn) -> Crash:
    last = draw(st.none() | slot_sets())
    names = st.lists(st.sampled_from(NAMES), unique=True, max_size=5)
    live: dict[str, list[Instance]] = {}
    contract = 100
    for name in draw(names):
        for _ in range(draw(st.integers(1, 3))):
            status = draw(st.sampled_from(["running", "loading", "exited", None]))
            live.setdefault(name, []).append(Instance(id=contract, actual_status=status))
            contract += 1
    machines = []
    # Refreshed before the plan is made: whatever is recorded lives.
    for name in draw(names):
        if name in live:
            known = draw(st.sampled_from(live[name]))
            machines.append(
                RecordedMachine(
                    slot=name,
                    contract=known.id,
                    shard=draw(st.integers(0, 4)),
                    status=known.actual_status or "loading",
                    generation=draw(st.integers(0, 1)),
                )
            )
    updates = draw(st.integers(0, 2))
    outputs: dict[str, object] = {"updates": updates}
    if last is not None:
        outputs["slots"] = last.model_dump(mode="json")
    pending = tuple(draw(names))
    state = StackState(outputs=outputs, machines=tuple(machines), pending=pending)
    intent = None
    if draw(st.booleans()):
        asked = draw(slot_sets())
        victims = tuple(n for n in state.slot_names if n not in asked.names)
        base = draw(st.sampled_from([last, asked, SlotSet(slots=(Slot(name="gpu-else"),))]))
        then = draw(st.integers(max(0, updates - 1), updates))
        intent = Intent(slots=asked, victims=victims, base=base, updates=then)
    maximum = draw(st.integers(1, 6))
    minimum = draw(st.integers(0, maximum))
    return Crash(state=state, live=live, intent=intent, minimum=minimum, maximum=maximum)


@given(crashes())
def test_the_count_stays_within_the_limits(crash: Crash) -> None:
    assert crash.minimum <= len(crash.plan().slots.slots) <= crash.maximum


@given(crashes())
def test_every_machine_that_lives_is_kept_once_or_ended(crash: Crash) -> None:
    found = crash.plan()
    ended = {machine.id for machine in found.end}
    for slot, machines in crash.live.items():
        left = [m.id for m in machines if m.id not in ended]
        if slot in found.slots.names:
            assert len(left) == 1
        else:
            # The update deletes it, as far as the program lets it.
            assert left == [m for m in [crash.recorded.get(slot)] if m in left]
            named = crash.state.slots.names if crash.state.slots else ()
            assert not left or slot in named


@given(crashes())
def test_nothing_alive_goes_while_there_is_room(crash: Crash) -> None:
    found = crash.plan()
    given_up = {
        name
        for name in (crash.intent.victims if crash.intent else ())
        if crash.intent and crash.intent.stands(crash.state)
    }
    if len(found.slots.slots) < crash.maximum:
        assert set(crash.live) - set(found.slots.names) <= given_up


@given(crashes())
def test_an_empty_slot_never_displaces_one_that_lives(crash: Crash) -> None:
    found = crash.plan()
    intent = crash.intent if crash.intent and crash.intent.stands(crash.state) else None
    for name in set(crash.live) - set(found.slots.names) - set(intent.victims if intent else ()):
        assert all(kept in crash.live for kept in found.slots.names), name


@given(crashes())
def test_a_recorded_machine_wins_over_its_double(crash: Crash) -> None:
    found = crash.plan()
    ended = {machine.id for machine in found.end}
    for slot in found.slots.names:
        if slot in crash.recorded:
            assert crash.recorded[slot] not in ended


@given(crashes())
def test_an_intent_that_stands_is_finished(crash: Crash) -> None:
    intent = crash.intent
    if intent is None or not intent.stands(crash.state):
        return
    found = crash.plan()
    assert not set(intent.victims) & set(found.slots.names)
    room = crash.maximum - len(set(crash.live) | set(intent.slots.names))
    if room >= 0:
        assert set(intent.slots.names) <= set(found.slots.names)
    for name in set(intent.slots.names) & set(found.slots.names):
        assert found.slots.slot(name) == intent.slots.slot(name)


@given(crashes())
def test_what_is_spared_keeps_its_machine_while_there_is_room(crash: Crash) -> None:
    known = crash.state.slots or SlotSet()
    recorded = {machine.slot: machine for machine in crash.state.machines}
    intent = crash.intent if crash.intent and crash.intent.stands(crash.state) else None
    asked = [s for s in (known, intent.slots if intent else None) if s]
    # Those whose machine is what was asked of it, before that update or by it.
    spare = [
        name
        for name in known.names
        if name in crash.live
        and name in recorded
        and any(
            name in slots.names
            and (slots.slot(name).generation, slots.slot(name).revision)
            == (recorded[name].generation, recorded[name].revision)
            for slots in asked
        )
    ]
    found = crash.plan(spare)
    if len(set(crash.live) | set(spare)) > crash.maximum:
        return
    ended = {machine.id for machine in found.end}
    for name in spare:
        assert found.slots.slot(name).generation == recorded[name].generation
        assert found.slots.slot(name).revision == recorded[name].revision
        assert name not in found.victims
        assert recorded[name].contract not in ended


def test_what_was_replaced_already_is_spared_as_it_is_now() -> None:
    """Its new machine serves, though the outputs of that update were never recorded."""
    before = reconcile(SlotSet(), 1, minimum=0, maximum=9, namer=NAMER)
    after = before.with_slot(before.slots[0].elsewhere([7]))
    machine = RecordedMachine(slot=NAMES[0], contract=1, shard=0, status="x", generation=1)
    outputs = {"slots": before.model_dump(mode="json")}
    state = StackState(outputs=outputs, machines=(machine,))
    crash = Crash(state, {NAMES[0]: [Instance(id=1)]}, Intent(slots=after, base=before), 1, 5)
    found = crash.plan([NAMES[0]])
    assert found.slots.slots == after.slots
    assert expendable(state, found.slots) == []
    # And as it was while its old machine does.
    old = replace(state, machines=(replace(machine, generation=0),))
    found = replace(crash, state=old).plan([NAMES[0]])
    assert found.slots.slots == before.slots
    assert expendable(old, found.slots) == []


@given(crashes())
def test_an_intent_that_was_overtaken_changes_nothing(crash: Crash) -> None:
    if crash.intent is None or crash.intent.stands(crash.state):
        return
    without = Crash(crash.state, crash.live, None, crash.minimum, crash.maximum)
    assert crash.plan() == without.plan()


@given(crashes())
def test_a_recorded_machine_keeps_provider_process_and_generation(crash: Crash) -> None:
    found = crash.plan()
    sources = [crash.state.slots, crash.intent.slots if crash.intent else None]
    told = {name for source in sources if source for name in source.names}
    for machine in crash.state.machines:
        if machine.slot in found.slots.names and machine.slot not in told:
            kept = found.slots.slot(machine.slot)
            assert (kept.shard, kept.generation) == (machine.shard, machine.generation)


@given(crashes(), st.integers(0, 6))
def test_no_name_ever_seen_is_given_out_again(crash: Crash, growth: int) -> None:
    found = crash.plan()
    grown = reconcile(
        found.slots, len(found.slots.slots) + growth, minimum=0, maximum=20, namer=NAMER
    )
    fresh = set(grown.names) - set(found.slots.names)
    assert not fresh & {*crash.live, *crash.state.slot_names}


@settings(max_examples=200)
@given(crashes())
def test_recovering_twice_ends_nothing_more(crash: Crash) -> None:
    found = crash.plan()
    after = _recovered(crash, found)
    again = after.plan()
    assert again.end == ()
    assert again.victims == ()
    assert again.slots.slots == found.slots.slots
    assert expendable(after.state, again.slots) == []


def _recovered(crash: Crash, found: RecoveryPlan) -> Crash:
    """The world after the plan's update has ended well."""
    ended = {machine.id for machine in found.end}
    live: dict[str, list[Instance]] = {}
    for number, slot in enumerate(found.slots.slots):
        left = [m for m in crash.live.get(slot.name, ()) if m.id not in ended]
        recorded = {m.slot: m.generation for m in crash.state.machines}
        same = recorded.get(slot.name, slot.generation) == slot.generation
        kept = left if same and left and left[0].actual_status != "exited" else []
        live[slot.name] = kept or [Instance(id=500 + number, actual_status="running")]
    machines = tuple(
        RecordedMachine(
            slot=slot.name,
            contract=live[slot.name][0].id,
            shard=slot.shard,
            status="running",
            generation=slot.generation,
        )
        for slot in found.slots.slots
    )
    outputs = {"slots": found.slots.model_dump(mode="json")}
    state = StackState(outputs=outputs, machines=machines)
    return Crash(state, live, None, crash.minimum, crash.maximum)


def test_a_first_update_that_was_cut_before_anything_gets_the_fewest_slots() -> None:
    found = Crash(StackState(), {}, None, 2, 5).plan()
    assert found.slots.names == NAMES[:2]
    assert found.slots.issued == 2


def test_a_machine_that_the_last_update_left_out_is_ended_directly() -> None:
    # A shrink failed: its slots are recorded, the victim still lives and fleet.max has no room.
    state = StackState(
        outputs={"slots": SlotSet(slots=(Slot(name=NAMES[0]),), issued=2).model_dump(mode="json")},
        machines=tuple(
            RecordedMachine(slot=name, contract=n, shard=0, status="running")
            for n, name in enumerate(NAMES[:2], 1)
        ),
    )
    live = {NAMES[0]: [Instance(id=1)], NAMES[1]: [Instance(id=2)]}
    found = Crash(state, live, None, 1, 1).plan()
    assert [machine.id for machine in found.end] == [2]
    assert found.victims == (NAMES[1],)


def test_a_name_far_beyond_what_was_given_out_is_still_adopted() -> None:
    strange = slot_name(5_000, owner=OWNER, stack="gpu")
    found = Crash(StackState(), {strange: [Instance(id=1)]}, None, 0, 5).plan()
    assert found.slots.names == (strange,)
    assert found.end == ()


def test_a_stray_that_does_not_fit_is_ended_and_one_that_does_is_adopted() -> None:
    last = reconcile(SlotSet(), 1, minimum=0, maximum=9, namer=NAMER)
    recorded = RecordedMachine(slot=NAMES[0], contract=1, shard=0, status="running")
    state = StackState(outputs={"slots": last.model_dump(mode="json")}, machines=(recorded,))
    live = {
        NAMES[0]: [Instance(id=1, gpu_name="old")],
        NAMES[1]: [Instance(id=2, gpu_name="new")],
        NAMES[2]: [Instance(id=3, gpu_name="old")],
    }
    found = plan(
        state,
        live,
        None,
        minimum=1,
        maximum=5,
        namer=NAMER,
        fits=lambda machine: machine.gpu_name == "new",
    )
    # What the state knows stays, whatever it is: only a person replaces that.
    assert found.slots.names == (NAMES[0], NAMES[1])
    assert [machine.id for machine in found.end] == [3]
