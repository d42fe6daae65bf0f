"""A call as the resources see it: path parameters, query, body; and what it returns."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.narrowing import is_list, is_object
from localcloud.cloudflare.errors import ApiError, bad_request
from localcloud.cloudflare.source import Source
from localcloud.cloudflare.state import Json, State

INVALID = 1003
MOST_PER_PAGE = 1000


@dataclass(frozen=True)
class Call:
    """One authenticated call."""

    state: State
    source: Source
    path: Mapping[str, str] = field(default_factory=dict[str, str])
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Json = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Page:
    """A part of a list, with where it lies."""

    rows: list[Json]
    number: int
    size: int
    total: int

    @property
    def info(self) -> Json:
        """Return `result_info`."""
        return {
            "page": self.number,
            "per_page": self.size,
            "count": len(self.rows),
            "total_count": self.total,
            "total_pages": -(-self.total // self.size),
        }


Handler = Callable[[Call], object]
"""Does one call and returns its result: what goes into the envelope, or a page."""


def decoded(raw: bytes) -> Json:
    """Return a body that must be a JSON object; one that is missing is empty."""
    try:
        values: object = json.loads(raw or b"{}")
    except ValueError:
        values = None
    if not is_object(values):
        raise bad_request(6007, "Malformed JSON in request body: an object is expected")
    return values


def text(body: Json, name: str, code: int = INVALID) -> str:
    """Return a string that must be there and not be empty."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise bad_request(code, f"{name} must be a non-empty string, got {value!r}")
    return value


def objects(body: Json, name: str, code: int = INVALID) -> list[Json]:
    """Return a list of objects; one that is missing is empty."""
    value = body.get(name)
    if value is None:
        return []
    if not is_list(value) or not all(is_object(item) for item in value):
        raise bad_request(code, f"{name} must be a list of objects, got {value!r}")
    return value


def choice(body: Json, name: str, allowed: Iterable[str], code: int = INVALID) -> str:
    """Return a string that must be one of the allowed ones."""
    value = text(body, name, code)
    if value not in (known := sorted(allowed)):
        raise bad_request(code, f"{name} must be one of {', '.join(known)}, got {value!r}")
    return value


def found(rows: Mapping[str, Json], key: str, missing: ApiError) -> Json:
    """Return the row with an id, or raise that it is missing."""
    row = rows.get(key)
    if row is None:
        raise missing
    return row


def page(call: Call, rows: list[Json], size: int = 20) -> Page:
    """Return the page that the query asks for; `size` if it names none."""
    number = _whole(call, "page", 1, 10**6)
    size = _whole(call, "per_page", size, MOST_PER_PAGE)
    start = (number - 1) * size
    return Page(rows[start : start + size], number, size, len(rows))


def _whole(call: Call, name: str, usual: int, most: int) -> int:
    raw = call.query.get(name, str(usual))
    # Cloudflare's own client takes floats here and sends them as such.
    whole = raw.removesuffix(".0")
    if not whole.isascii() or not whole.isdigit() or not 1 <= int(whole) <= most:
        raise bad_request(INVALID, f"{name} must be a number from 1 to {most}, got {raw!r}")
    return int(whole)
