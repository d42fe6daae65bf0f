"""Which slots a fleet has after a crash. Pure.

Three witnesses are heard: the last update's output, the stack's state (with the creates that were
cut off) and the labels of what lives. Nobody of them is believed alone; nothing that lives is
forgotten.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from contracts.labels import slot_name
from contracts.slots import Namer, Slot, SlotSet, reconcile
from operations.intents import Intent
from operations.state import RecordedMachine, StackState
from providers.vastai.models import Instance

# How far beyond the last known number a name of this stack is searched.
_AHEAD = 2_000
_WORKING = frozenset({"running", "loading", "created", None})


@dataclass(frozen=True, kw_only=True)
class RecoveryPlan:
    """`slots` of the next update, machines to `end` before it, and slots it gives up."""

    slots: SlotSet
    end: tuple[Instance, ...] = ()
    victims: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """What recovery found and did; empty lists mean that all was well."""

    slots: tuple[str, ...]
    unlocked: tuple[str, ...] = ()
    adopted: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    ended: tuple[int, ...] = ()
    cleared: tuple[str, ...] = ()


def plan(
    state: StackState,
    live: Mapping[str, Sequence[Instance]],
    intent: Intent | None,
    *,
    minimum: int,
    maximum: int,
    namer: Namer,
    fits: Callable[[Instance], bool] = lambda _: True,
) -> RecoveryPlan:
    """The slots in which everything that lives has its place, `minimum` to `maximum` of them.

    `live` holds the machines by slot. A machine beyond the maximum, beyond the first of its slot
    or in a slot that the cut-off update gave up is ended: by the update if it may delete it, else
    directly. One that the state does not know and that does not fit the settings is no use: the
    next update would replace it. An intent that later updates have overtaken is not heard.
    """
    if intent is not None and (intent.destroy or not intent.stands(state)):
        intent = None
    recorded = {machine.contract for machine in state.machines}
    misfits = [m for ms in live.values() for m in ms if m.id not in recorded and not fits(m)]
    live = {slot: [m for m in ms if m not in misfits] for slot, ms in live.items()}
    live = {slot: machines for slot, machines in live.items() if machines}
    wanted = _wanted(state, live, intent)
    kept = wanted[:maximum]
    # The program refuses while a machine lives that neither the last slots nor the new ones name.
    named = set(state.slots.names) if state.slots else set[str]()
    extra = [(slot, machines) for slot, machines in live.items() if slot not in kept]
    orphans = [m for slot, ms in extra for m in ms if m.id not in recorded or slot not in named]
    doubles = [m for slot in kept for m in _doubles(live.get(slot, ()), recorded)]
    victims = dict.fromkeys(name for name in state.slot_names if name not in kept)
    known = [*kept, *live, *state.slot_names, *(intent.victims if intent else ())]
    slots = _slot_set(kept, known, state, intent, namer)
    return RecoveryPlan(
        slots=reconcile(slots, len(kept), minimum=minimum, maximum=maximum, namer=namer),
        end=tuple(sorted([*misfits, *orphans, *doubles], key=lambda m: m.id)),
        victims=tuple(victims),
    )


def _wanted(
    state: StackState, live: Mapping[str, Sequence[Instance]], intent: Intent | None
) -> list[str]:
    """Slot names, the best founded first: what lives before what is only written down."""
    if intent is not None:
        written: Iterable[str] = intent.slots.names
        given_up = set(intent.victims) - set(intent.slots.names)
    else:
        written = (*(state.slots.names if state.slots else ()), *state.slot_names)
        given_up = set[str]()
    names = dict.fromkeys([*written, *live])
    candidates = [name for name in names if name not in given_up]
    return sorted(candidates, key=lambda name: name not in live)


def _doubles(machines: Sequence[Instance], recorded: set[int]) -> list[Instance]:
    """All but the one that stays: the recorded one, else a working one, else the oldest."""
    ranked = sorted(
        machines, key=lambda m: (m.id not in recorded, m.actual_status not in _WORKING, m.id)
    )
    return ranked[1:]


def _slot_set(
    names: Sequence[str],
    known: Iterable[str],
    state: StackState,
    intent: Intent | None,
    namer: Namer,
) -> SlotSet:
    """The slots of these names; what was asked of a slot before is kept.

    `issued` passes every name that is `known`, so none is given out a second time.
    """
    sources = [intent.slots if intent else None, state.slots]
    asked = {slot.name: slot for source in reversed(sources) if source for slot in source.slots}
    recorded = {machine.slot: machine for machine in state.machines}
    issued = max((source.issued for source in sources if source), default=0)
    numbers = {
        slot_name(number, owner=namer.owner, stack=namer.stack): number
        for number in range(issued + _AHEAD)
    }
    order = {name: position for position, name in enumerate(asked)}
    born = sorted(names, key=lambda n: (order.get(n, len(order)), numbers.get(n, 0)))
    slots = [asked.get(name) or _slot(name, recorded.get(name), numbers, namer) for name in born]
    issued = max([issued, *(numbers.get(name, -1) + 1 for name in known)])
    return SlotSet(slots=tuple(slots), issued=issued)


def _slot(
    name: str, machine: RecordedMachine | None, numbers: Mapping[str, int], namer: Namer
) -> Slot:
    """A slot that no update's slots tell of; a recorded machine is taken for what was wanted."""
    if machine is None:
        return Slot.model_validate({"name": name, "shard": numbers.get(name, 0) % namer.shards})
    # Another provider process or generation would mean another machine, a revision a restart.
    kept = {"generation": machine.generation, "revision": machine.revision}
    return Slot.model_validate({"name": name, "shard": machine.shard, **kept})
