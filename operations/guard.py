"""Whether a planned update touches only what its caller named. Pure."""

from collections.abc import Iterable

from contracts.program import INSTANCE_TYPE
from operations.jobs import ResourceEvent

_ENDING = frozenset({"delete", "replace", "create-replacement", "delete-replaced", "discard"})


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
