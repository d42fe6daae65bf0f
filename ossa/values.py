"""Values as JSON knows them, JSON Pointers, and how messages show either."""

import json
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

LONGEST = 80


def shown(value: object) -> str:
    """`value` for a message: as JSON, cut to about 80 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def kind_of(value: object) -> str:
    """What `value` is, in words."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "a mapping"


def is_number(value: object) -> bool:
    """Whether `value` is a number; `true` is none, though Python says so."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def child(pointer: str, key: str | int) -> str:
    """The JSON Pointer of `key` below `pointer`."""
    return f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"


def tokens(pointer: str) -> list[str]:
    """The keys of a JSON Pointer, unescaped."""
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
