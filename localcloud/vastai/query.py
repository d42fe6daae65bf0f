"""The filter language of searches and listings: operators, coercion, order."""

from collections.abc import Callable, Iterable, Mapping
from functools import cmp_to_key
from operator import eq, ge, gt, le, lt, ne

from localcloud.vastai.wire import Json, as_list, invalid, is_list, is_object

Comparison = Callable[[object, object], bool]
Order = tuple[tuple[str, bool], ...]
"""Columns and whether each is descending."""

# The operands are of one type after `coerced`, which the type checker cannot know.
_COMPARE: Mapping[str, Callable[..., bool]] = {
    "eq": eq,
    "neq": ne,
    "gt": gt,
    "gte": ge,
    "lt": lt,
    "lte": le,
}
_OF_NULL = {"eq", "neq", "in", "notin"}
OPERATORS = {*_COMPARE, "in", "notin"}


def coerced(wanted: object, sample: object, field: str) -> object:
    """Return a filter's value in the type of the row's: the clients send numbers as strings."""
    if wanted is None or sample is None:
        return wanted
    if isinstance(sample, bool):
        return _boolean(wanted, field)
    if isinstance(sample, int | float):
        return _number(wanted, field)
    return str(wanted)


def _boolean(wanted: object, field: str) -> bool:
    known = {"true": True, "false": False, "1": True, "0": False}
    text = str(wanted).lower()
    if text not in known:
        raise invalid(f"{field} must be compared with true or false, got {wanted!r}")
    return known[text]


def _number(wanted: object, field: str) -> float:
    if not isinstance(wanted, int | float | str):
        raise invalid(f"{field} must be compared with a number, got {wanted!r}")
    try:
        return float(wanted)
    except ValueError:
        raise invalid(f"{field} must be compared with a number, got {wanted!r}") from None


def holds(operator: str, have: object, wanted: object, field: str) -> bool:
    """Return whether `have operator wanted`; null equals only null and is never in an order."""
    if operator not in OPERATORS:
        raise invalid(f"{field}: unknown operator {operator!r}, expected {sorted(OPERATORS)}")
    if have is None and operator not in _OF_NULL:
        return False
    if operator in {"in", "notin"}:
        values = [coerced(one, have, field) for one in as_list(wanted, f"{field}.{operator}")]
        return (have in values) == (operator == "in")
    value = coerced(wanted, have, field)
    if value is None and operator not in _OF_NULL:
        raise invalid(f"{field}: {operator} needs a value, got null")
    return _COMPARE[operator](have, value)


def conditions(wanted: object) -> Json:
    """Return a filter's operators; a bare value means `eq`."""
    return wanted if is_object(wanted) else {"eq": wanted}


def matches(row: Json, filters: Mapping[str, object]) -> bool:
    """Return whether a row satisfies all filters on fields that it has."""
    return all(
        holds(operator, row[field], value, field)
        for field, wanted in filters.items()
        if field in row
        for operator, value in conditions(wanted).items()
    )


def ordered(rows: Iterable[Json], order: Order) -> list[Json]:
    """Return rows sorted by several columns; null comes last in either direction."""

    def by_order(one: Json, other: Json) -> int:
        return compare(one, other, order)

    return sorted(rows, key=cmp_to_key(by_order))


def compare(one: Mapping[str, object], other: Mapping[str, object], order: Order) -> int:
    """Return below 0, 0 or above 0 as `one` comes before, with or after `other`."""
    for column, descending in order:
        have, against = one.get(column), other.get(column)
        if have == against:
            continue
        if have is None or against is None:
            return 1 if have is None else -1
        before = _COMPARE["lt"](_sortable(have), _sortable(against))
        return -1 if before != descending else 1
    return 0


def _sortable(value: object) -> object:
    """Return numbers as they are and anything else as text."""
    return value if isinstance(value, int | float) else str(value)


def parse_order(value: object, default: Order) -> Order:
    """Read `[["dph_total","asc"]]` as well as `[{"col":"id","dir":"asc"}]`."""
    if not value:
        return default
    order: list[tuple[str, bool]] = []
    for item in as_list(value, "order"):
        column, direction = _order_item(item)
        if direction not in {"asc", "desc"}:
            raise invalid(f"order direction must be asc or desc, got {direction!r}")
        order.append((column, direction == "desc"))
    return tuple(order)


def _order_item(item: object) -> tuple[str, str]:
    if isinstance(item, str):
        return item, "asc"
    column, direction = None, "asc"
    if is_list(item) and item:
        column, direction = item[0], str(item[1]) if len(item) > 1 else "asc"
    elif is_object(item):
        column, direction = item.get("col"), str(item.get("dir", "asc"))
    if not isinstance(column, str):
        raise invalid(f"order must be a list of [column, direction], got {item!r}")
    return column, direction
