"""The v1 listing: filters, order, pages and tokens."""

import base64
import binascii
import json
from collections import Counter
from collections.abc import Mapping

from localcloud.vastai.query import Order, compare, matches, ordered, parse_order
from localcloud.vastai.rentals.record import COMPUTED
from localcloud.vastai.wire import ApiError, Json, as_list, as_object

MAX_PAGE = 25
PAGE_WHEN_NOT_POSITIVE = 5


def list_page(rows: list[Json], query: Mapping[str, str]) -> Json:
    """Return one page of instance records as the query parameters ask."""
    filters = as_object(_parameter(query, "select_filters", {}), "select_filters")
    _check_columns(filters, rows)
    order: Order = (*parse_order(_parameter(query, "order_by", None), ()), ("id", False))
    found = ordered([row for row in rows if matches(row, filters)], order)
    rest = _after(found, query.get("after_token"), order)
    size = page_size(query.get("limit"))
    page, more = rest[:size], len(rest) > size
    columns = _parameter(query, "select_cols", None)
    return {
        "success": True,
        "instances_found": len(page),
        "total_instances": len(found),
        "label_counts": dict(Counter(str(row["label"] or "") for row in rows)),
        "instances": [_selected(row, columns) for row in page],
        "next_token": _token(page[-1], order) if more else None,
    }


def page_size(text: str | None) -> int:
    """Return how many rows a page has; Vast.ai's rules for odd limits."""
    try:
        size = MAX_PAGE if text is None else int(text)
    except ValueError:
        raise _bad_request(f"limit must be an integer, got {text!r}") from None
    return PAGE_WHEN_NOT_POSITIVE if size <= 0 else min(size, MAX_PAGE)


def _parameter(query: Mapping[str, str], name: str, default: object) -> object:
    text = query.get(name)
    if not text:
        return default
    try:
        value: object = json.loads(text)
    except ValueError:
        raise _bad_request(f"{name} must be JSON, got {text!r}") from None
    return value


def _check_columns(filters: Json, rows: list[Json]) -> None:
    known = set(rows[0]) if rows else set(filters)
    for column in filters:
        if column in COMPUTED or column not in known:
            raise _bad_request(f"cannot filter by column {column!r}")


def _selected(row: Json, columns: object) -> Json:
    if columns is None:
        return row
    names = [str(name) for name in as_list(columns, "select_cols")]
    return row if "*" in names else {name: row.get(name) for name in names}


def _token(row: Json, order: Order) -> str:
    values = {column: row.get(column) for column, _ in order}
    return base64.b64encode(json.dumps({"values": values}).encode()).decode()


def _after(rows: list[Json], token: str | None, order: Order) -> list[Json]:
    """Return the rows behind the one that a token names."""
    if not token:
        return rows
    try:
        values = json.loads(base64.b64decode(token, validate=True))["values"]
        last = {column: values[column] for column, _ in order}
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise ApiError(400, "invalid_token", f"invalid after_token {token!r}") from None
    return [row for row in rows if compare(row, last, order) > 0]


def _bad_request(msg: str) -> ApiError:
    return ApiError(400, "invalid_request", msg)
