"""The comparison of a resource's state with its new inputs."""

from collections.abc import Mapping
from typing import TypeVar

from pulumi.runtime.proto import provider_pb2 as proto

from localcloud.plugins.model import FAILED, Change, Old, ResourceType
from localcloud.plugins.values import Properties, Value, has_unknown

T = TypeVar("T")

_KINDS: dict[Change, tuple["proto.PropertyDiff.Kind.ValueType", ...]] = {
    "add": (proto.PropertyDiff.ADD, proto.PropertyDiff.ADD_REPLACE),
    "delete": (proto.PropertyDiff.DELETE, proto.PropertyDiff.DELETE_REPLACE),
    "replace": (proto.PropertyDiff.UPDATE_REPLACE, proto.PropertyDiff.UPDATE_REPLACE),
    "update": (proto.PropertyDiff.UPDATE, proto.PropertyDiff.UPDATE_REPLACE),
}


def changes(kind: ResourceType[T], old: Old, new: Properties) -> dict[str, Change]:
    """What differs between the state and the new inputs, by property.

    An input that is set is compared with the state, which a refresh may have changed. One that is
    not set is a change only if it was: what the back end filled in by itself is none.
    """
    if kind.diff is not None:
        return dict(kind.diff(old, new))
    found: dict[str, Change] = {}
    for name, value in new.items():
        before = old.outputs.get(name)
        if before is None:
            if not _nothing(value):
                found[name] = "add"
        elif has_unknown(value) or not kind.same(name, before, value):
            found[name] = "update"
    if kind.taints and FAILED in old.outputs:
        found[FAILED] = "delete"
    for name, value in old.inputs.items():
        if name not in new and not _nothing(value):
            found[name] = "delete"
    return found


def _nothing(value: Value) -> bool:
    return value is None or value in ([], {})


def response(kind: ResourceType[T], found: Mapping[str, Change]) -> proto.DiffResponse:
    """The engine's form of it; names that the type replaces on come marked."""
    every = kind.update is None
    replaces = sorted(
        name
        for name, change in found.items()
        if every or change == "replace" or name in {*kind.replaces, FAILED}
    )
    return proto.DiffResponse(
        changes=proto.DiffResponse.DIFF_SOME if found else proto.DiffResponse.DIFF_NONE,
        replaces=replaces,
        diffs=sorted(found),
        detailedDiff={
            name: proto.PropertyDiff(kind=_KINDS[change][name in replaces])
            for name, change in found.items()
        },
        hasDetailedDiff=True,
        # Whatever replaces: the engine replaces on `replace_on_changes` too.
        deleteBeforeReplace=kind.delete_before_replace,
    )
