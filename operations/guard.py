"""Whether a planned update touches only what its caller named. Pure."""

from collections.abc import Iterable, Mapping

from contracts.program import CONTAINER_TYPE, INSTANCE_TYPE
from contracts.slots import SlotSet
from operations.jobs import ResourceEvent
from operations.state import StackState

# As in providers.vastai.instance, which services do not import; a test compares them.
DEAD = frozenset({"exited", "offline", "unknown", "outbid"})
_IDLE = frozenset({"same", "read", "refresh"})
_ENDING = frozenset({"delete", "replace", "create-replacement", "delete-replaced", "discard"})


def expendable(state: StackState, wanted: SlotSet) -> list[str]:
    """The slots whose machine an update to `wanted` may end.

    They are given up, or their machine is dead, or of another generation than is wanted, or not
    there at all, as in the middle of a replacement.
    """
    given_up = [name for name in state.slot_names if name not in wanted.names]
    dead = {machine.slot for machine in state.machines if machine.status in DEAD}
    right = {(machine.slot, machine.generation) for machine in state.machines}
    wrong = [slot.name for slot in wanted.slots if (slot.name, slot.generation) not in right]
    return list(dict.fromkeys([*given_up, *sorted(dead), *wrong]))


def is_idle(steps: Iterable[ResourceEvent]) -> bool:
    """Whether the planned steps leave every resource as it is.

    A dynamic provider has the stack's whole configuration as its inputs, so it changes with each
    setting; that alone changes no machine.
    """
    return all(step.op in _IDLE or step.type.startswith("pulumi:providers:") for step in steps)


def unguarded(steps: Iterable[ResourceEvent], guarded: Mapping[str, str]) -> list[str]:
    """Why not, for each planned end of a container that is `guarded` by name."""
    ending = {step.name for step in steps if step.type == CONTAINER_TYPE and step.op in _ENDING}
    return [why for name, why in guarded.items() if name in ending]


def surprises(steps: Iterable[ResourceEvent], expendable: Iterable[str]) -> list[str]:
    """The planned deletions and replacements that nobody named, one line each.

    `expendable` names the slots whose machine may go. Anything else that would go, a machine or
    not, is a surprise; providers and the stack itself carry no machine and may change.
    """
    allowed = set(expendable)
    found: dict[str, str] = {}
    for step in steps:
        harmless = step.type.startswith("pulumi:")
        named = step.type == INSTANCE_TYPE and step.name in allowed
        if step.op in _ENDING and not harmless and not named:
            verb = "delete" if step.op in {"delete", "discard"} else "replace"
            found.setdefault(step.urn, f"{verb} {step.name}")
    return list(found.values())
