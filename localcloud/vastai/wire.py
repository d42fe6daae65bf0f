"""JSON as it travels: type names, answers, and reading a field of a request body."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeGuard

Json = dict[str, object]


@dataclass(frozen=True)
class Reply:
    """An answer: a JSON value, or plain text when `body` is a string."""

    body: object
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


SUCCESS: Json = {"success": True}


class ApiError(Exception):
    """A refusal with the status and the body that Vast.ai sends for it."""

    def __init__(self, status: int, code: str, msg: str, **extra: object) -> None:
        super().__init__(f"{status} {code}: {msg}")
        self.status = status
        self.code = code
        self.body: Json = {"success": False, "error": code, "msg": msg, **extra}


def invalid(msg: str) -> ApiError:
    """Return the 400 for a field with a bad value."""
    return ApiError(400, "invalid_args", msg)


def is_object(value: object) -> TypeGuard[Json]:
    """Return whether a JSON value is an object; its keys are strings then."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[object]]:
    """Return whether a JSON value is an array."""
    return isinstance(value, list)


def as_object(value: object, name: str) -> Json:
    """Return `value` if it is a JSON object."""
    if not is_object(value):
        raise invalid(f"{name} must be an object, got {value!r}")
    return value


def as_list(value: object, name: str) -> list[object]:
    """Return `value` if it is a JSON array."""
    if not is_list(value):
        raise invalid(f"{name} must be an array, got {value!r}")
    return value


def as_number(value: object, name: str) -> float:
    """Return `value` if it is a JSON number; a boolean is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(f"{name} must be a number, got {value!r}")
    return float(value)


def as_id(value: object, name: str) -> int:
    """Return `value` as an id; the clients send some of them as strings."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isdigit():
        return int(value)
    raise invalid(f"{name} must be an integer, got {value!r}")


def optional_text(body: Json, name: str, limit: int | None = None) -> str | None:
    """Return a string field, None when absent or null."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise invalid(f"{name} must be a string, got {value!r}")
    if limit is not None and len(value) > limit:
        raise invalid(f"{name} must have at most {limit} characters, got {len(value)}")
    return value


def flag(body: Json, name: str, *, default: bool) -> bool:
    """Return a boolean field, `default` when absent or null."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise invalid(f"{name} must be true or false, got {value!r}")
    return value
