"""What the engine keeps of a resource: outputs laid over inputs."""

from collections.abc import Mapping
from typing import TypeVar

from localcloud.plugins.model import FAILED, Found, Old, ResourceType
from localcloud.plugins.values import UNKNOWN, Properties, Value, Values, has_unknown

T = TypeVar("T")


def made_state(news: Properties, outputs: Mapping[str, Value]) -> Values:
    """The state after a create or an update."""
    return {**news, **outputs}


def failed_state(news: Properties, outputs: Mapping[str, Value]) -> Values:
    """The state of what exists but failed."""
    return {**made_state(news, outputs), FAILED: True}


def preview_state(kind: ResourceType[T], news: Properties, old: Old | None = None) -> Values:
    """The state as far as it is known before the work: an update keeps what is no input."""
    unknown: Values = dict.fromkeys(kind.computed, UNKNOWN)
    if old is None:
        known: Values = {**unknown, **news}
    else:
        kept = {name: value for name, value in old.outputs.items() if name not in old.inputs}
        known = {**unknown, **kept, **news}
    return known if kind.preview is None else kind.preview(known, old)


def refreshed(kind: ResourceType[T], old: Old, found: Found) -> tuple[Values, Values]:
    """Outputs and inputs after a read; a mere other spelling of a value is no news."""
    outputs = {**old.outputs, **_news(kind, old.outputs, found.outputs), FAILED: None}
    if not old.inputs and not old.outputs:
        return outputs, dict(found.inputs)
    written = {name: value for name, value in found.inputs.items() if name in old.inputs}
    return outputs, {**old.inputs, **_news(kind, old.inputs, written)}


def _news(kind: ResourceType[T], old: Mapping[str, Value], new: Mapping[str, Value]) -> Values:
    return {
        name: value for name, value in new.items() if not _same(kind, name, old.get(name), value)
    }


def _same(kind: ResourceType[T], name: str, old: Value, new: Value) -> bool:
    if old is None or new is None or has_unknown(old):
        return False
    return kind.same(name, old, new)
