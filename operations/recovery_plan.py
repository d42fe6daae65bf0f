"""Which slots a fleet has after a crash. Pure.

Three witnesses are heard: the last update's output, the stack's state (with the creates that were
cut off) and the labels of what lives. Nobody of them is believed alone; nothing that lives is
forgotten.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from contracts.labels import slot_name
from contracts.slots import Namer, Slot, SlotSet
from operations.intents import Intent
from operations.state import StackState
from providers.vastai.models import Instance

# How far beyond the last known number a name of this stack is searched.
_AHEAD = 2_000
_WORKING = frozenset({"running", "loading", "created", None})
# As in providers.vastai.instance, which services do not import; a test compares them.
DEAD = frozenset({"exited", "offline", "unknown", "outbid"})


@dataclass(frozen=True, kw_only=True)
class RecoveryPlan:
    """`slots` of the next update, machines to `end` before it (orphans), slots that may go."""

    slots: SlotSet
    end: tuple[Instance, ...] = ()
    expendable: tuple[str, ...] = ()


def plan(
    state: StackState,
    live: Mapping[str, Sequence[Instance]],
    intent: Intent | None,
    *,
    maximum: int,
    namer: Namer,
) -> RecoveryPlan:
    """The slots in which everything that lives has its place, at most `maximum` of them.

    `live` holds the machines by slot. A machine beyond the maximum, beyond the first of its slot
    or in a slot that the cut-off update gave up is ended: by the update if the stack records it,
    else directly.
    """
    recorded = {machine.contract for machine in state.machines}
    given_up = set(intent.victims) if intent else set()
    wanted = _wanted(state, live, intent, given_up)
    kept = wanted[:maximum]
    extra = [machines for slot, machines in live.items() if slot not in kept]
    orphans = [m for machines in extra for m in machines if m.id not in recorded]
    doubles = [m for slot in kept for m in _doubles(live.get(slot, ()), recorded)]
    gone = [name for name in state.slot_names if name not in kept]
    dead = [machine.slot for machine in state.machines if machine.status in DEAD]
    return RecoveryPlan(
        slots=_slot_set(kept, state, intent, namer),
        end=tuple(sorted([*orphans, *doubles], key=lambda m: m.id)),
        expendable=tuple(dict.fromkeys([*gone, *dead])),
    )


def _wanted(
    state: StackState,
    live: Mapping[str, Sequence[Instance]],
    intent: Intent | None,
    given_up: set[str],
) -> list[str]:
    """Slot names, the best founded first: what lives before what is only written down."""
    if intent is not None:
        written: Iterable[str] = intent.slots.names
    else:
        written = (*(state.slots.names if state.slots else ()), *state.slot_names)
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
    names: Sequence[str], state: StackState, intent: Intent | None, namer: Namer
) -> SlotSet:
    sources = [intent.slots if intent else None, state.slots]
    known = {slot.name: slot for source in reversed(sources) if source for slot in source.slots}
    shards = {machine.slot: machine.shard for machine in state.machines}
    issued = max((source.issued for source in sources if source), default=0)
    numbers = {
        slot_name(number, owner=namer.owner, stack=namer.stack): number
        for number in range(issued + _AHEAD)
    }
    order = {name: position for position, name in enumerate(known)}
    slots: list[Slot] = []
    for name in sorted(names, key=lambda n: (order.get(n, len(order)), numbers.get(n, 0))):
        slots.append(known.get(name) or _slot(name, shards, numbers, namer))
        issued = max(issued, numbers.get(name, -1) + 1)
    return SlotSet(slots=tuple(slots), issued=issued)


def _slot(name: str, shards: Mapping[str, int], numbers: Mapping[str, int], namer: Namer) -> Slot:
    # A recorded machine keeps its provider process: another one would mean another machine.
    shard = shards.get(name, numbers.get(name, 0) % namer.shards)
    return Slot.model_validate({"name": name, "shard": shard})
