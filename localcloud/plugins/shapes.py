"""What a resource type takes: names and kinds, and the refusal of everything else."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from localcloud.plugins.values import SIGNATURE, Unknown, Value, Values

Kind = Literal["any", "boolean", "integer", "number", "string"]
# A list `[shape]` takes many, a map `{"*": shape}` any names, `{"name!": shape}` requires one.
Shape: TypeAlias = "Kind | list[Shape] | Mapping[str, Shape]"
Fields: TypeAlias = Mapping[str, Shape]

_SCALARS: dict[Kind, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
}

_ARTICLES: dict[Kind, str] = {
    "boolean": "a boolean",
    "integer": "a whole number",
    "number": "a number",
    "string": "a string",
}


@dataclass(frozen=True)
class Refusal:
    """One input that cannot be taken, and why."""

    path: str
    reason: str


def names(fields: Fields) -> frozenset[str]:
    """The names that `fields` allows."""
    return frozenset(name.removesuffix("!") for name in fields)


def written(state: Mapping[str, Value], fields: Fields) -> Values:
    """The part of a state that a program would write to get it: inputs that say something."""
    taken = names(fields)
    return {name: value for name, value in state.items() if name in taken and value}


def refusals(values: Mapping[str, Value], fields: Fields, owner: str) -> list[Refusal]:
    """Everything in `values` that `fields` does not allow; `owner` names the type in the text."""
    return list(_of_map(values, fields, owner, ""))


def _of_map(
    values: Mapping[str, Value], fields: Fields, owner: str, prefix: str
) -> Iterator[Refusal]:
    shapes: dict[str, Shape] = {name.removesuffix("!"): shape for name, shape in fields.items()}
    for name in fields:
        plain = name.removesuffix("!")
        if name != plain and values.get(plain) is None:
            yield Refusal(prefix + plain, f"{owner} requires {prefix}{plain}: set it")
    for name, value in values.items():
        shape = shapes[name] if name in shapes else shapes.get("*")
        if shape is None:
            yield Refusal(prefix + name, _no_input(prefix, name, owner, list(shapes)))
        elif value is not None:
            yield from _of_value(value, shape, owner, prefix + name)


def _of_value(value: Value, shape: Shape, owner: str, path: str) -> Iterator[Refusal]:
    if isinstance(value, Unknown) or shape == "any":
        return
    if isinstance(shape, str):
        kinds = _SCALARS[shape]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            yield Refusal(path, f"{owner}: {path} is a {_kind(value)}, expected {_ARTICLES[shape]}")
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield Refusal(path, f"{owner}: {path} is a {_kind(value)}, expected a list")
            return
        for index, item in enumerate(value):
            yield from _of_value(item, shape[0], owner, f"{path}[{index}]")
    elif not isinstance(value, dict):
        yield Refusal(path, f"{owner}: {path} is a {_kind(value)}, expected an object")
    elif SIGNATURE not in value:  # an asset or an archive is taken as it is
        yield from _of_map(value, shape, owner, f"{path}.")


def _kind(value: Value) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "list" if isinstance(value, list) else "object"


def _no_input(prefix: str, name: str, owner: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    fix = f"did you mean {prefix}{close[0]}?" if close else f"it takes {', '.join(sorted(known))}"
    return f"{owner} has no input {prefix}{name}; {fix}"
