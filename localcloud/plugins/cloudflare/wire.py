"""Property names: camelCase with plurals in the SDK, snake_case or otherwise in the API."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from localcloud.plugins.shapes import Shape
from localcloud.plugins.values import Value, Values

_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def snake(name: str) -> str:
    """Return `sessionDuration` as `session_duration`."""
    return _CAPITAL.sub("_", name).lower()


def same_name(name: str) -> str:
    """Return the name as it is."""
    return name


@dataclass(frozen=True)
class Names:
    """How the API spells the SDK's names: a rule, and what departs from it."""

    rule: Callable[[str], str] = snake
    special: Mapping[str, str] = field(default_factory=dict[str, str])

    def __call__(self, name: str) -> str:
        """Return how the API spells a name."""
        return self.special.get(name) or self.rule(name)


def to_api(value: Value, names: Names) -> Value:
    """Return a value as the API takes it; what is not set stays out."""
    if isinstance(value, list):
        return [to_api(item, names) for item in value]
    if isinstance(value, dict):
        return {
            names(name): to_api(item, names) for name, item in value.items() if item is not None
        }
    return value


def from_api(value: Value, shape: Shape, names: Names) -> Value:
    """Return of the API's value what the shape has; null and absent are the same."""
    if isinstance(shape, list) and isinstance(value, list):
        return [from_api(item, shape[0], names) for item in value]
    if isinstance(shape, Mapping) and isinstance(value, dict):
        return _object(value, shape, names)
    return value


def _object(value: Values, shape: Mapping[str, Shape], names: Names) -> Values:
    if "*" in shape:
        return {name: from_api(item, shape["*"], names) for name, item in value.items()}
    found: Values = {}
    for marked, inner in shape.items():
        name = marked.removesuffix("!")
        item = value.get(names(name))
        if item is not None:
            found[name] = from_api(item, inner, names)
    return found
