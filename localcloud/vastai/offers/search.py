"""Offer search: scope controls, filters, order and limit."""

from collections.abc import Iterable

from localcloud.vastai.offers.market import Machine, Market
from localcloud.vastai.offers.record import driver_number, offer_record
from localcloud.vastai.query import conditions, holds, matches, ordered, parse_order
from localcloud.vastai.wire import Json, as_number, invalid, is_list

DEFAULT_LIMIT = 64
DEFAULT_STORAGE_GB = 8.0
CONTROLS = {
    "type",
    "order",
    "limit",
    "allocated_storage",
    "extra_ids",
    "template_id",
    "disable_bundling",
}
SCOPES = {"datacenter", "verified", "geolocation"}
TYPES = {
    "on-demand": False,
    "ondemand": False,
    "reserved": False,
    "bid": True,
    "interruptible": True,
}


def search(market: Market, query: Json, now: float) -> list[Json]:
    """Return the records of the offers that a flat query asks for."""
    is_bid = _is_bid(query)
    storage = query.get("allocated_storage")
    gigabytes = DEFAULT_STORAGE_GB if storage is None else as_number(storage, "allocated_storage")
    filters = {name: value for name, value in query.items() if name not in CONTROLS | SCOPES}
    _driver_as_number(filters)
    scopes = {name: value for name, value in query.items() if name in SCOPES}
    rows = (
        offer_record(offer, gigabytes=gigabytes, is_bid=is_bid, now=now)
        for offer in market.offers.values()
        if in_scope(offer.machine, scopes)
    )
    order = parse_order(query.get("order"), (("score", True),))
    return ordered(_fits(rows, filters, gigabytes), order)[: _limit(query)]


def _fits(rows: Iterable[Json], filters: Json, gigabytes: float) -> Iterable[Json]:
    """Keep what matches and has the disk that is priced in."""
    return (
        row
        for row in rows
        if matches(row, filters) and holds("gte", row["disk_space"], gigabytes, "disk_space")
    )


def in_scope(machine: Machine, scopes: Json) -> bool:
    """Return whether a machine is within scope controls, which are no fields of a row."""
    have = {
        "datacenter": machine.hosting_type >= 1,
        "verified": machine.verification == "verified",
    }
    if not matches({**have}, {name: scopes[name] for name in have if name in scopes}):
        return False
    place = conditions(scopes.get("geolocation", {}))
    return all(_placed(machine.geolocation, operator, value) for operator, value in place.items())


def _placed(geolocation: str, operator: str, value: object) -> bool:
    """Compare a place by its country code, or whole when the filter names it whole."""
    country = geolocation.rsplit(", ", 1)[-1]
    results = [holds(operator, name, value, "geolocation") for name in (country, geolocation)]
    return all(results) if operator in {"neq", "notin"} else any(results)


def _is_bid(query: Json) -> bool:
    kind = query.get("type") or "on-demand"
    if not isinstance(kind, str) or kind not in TYPES:
        raise invalid(f"type must be one of {sorted(TYPES)}, got {kind!r}")
    return TYPES[kind]


def _limit(query: Json) -> int:
    limit = query.get("limit")
    if limit is None:
        return DEFAULT_LIMIT
    if isinstance(limit, str) and limit.isdigit():
        limit = int(limit)
    return max(0, int(as_number(limit, "limit")))


def _driver_as_number(filters: Json) -> None:
    """Point numeric comparisons of `driver_version` at the numeric column."""
    wanted = filters.pop("driver_version", None)
    if wanted is None:
        return
    operators = conditions(wanted)
    filters["driver_vers"] = {
        operator: [_driver(one) for one in value] if is_list(value) else _driver(value)
        for operator, value in operators.items()
    }


def _driver(value: object) -> object:
    if isinstance(value, str) and value.count(".") == 2:  # noqa: PLR2004 - major.minor.patch
        return driver_number(value)
    return value
