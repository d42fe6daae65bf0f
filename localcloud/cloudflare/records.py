"""DNS records of the zone."""

import ipaddress
import math
import re
from collections.abc import Mapping

from localcloud.cloudflare.calls import Call, Handler, Page, choice, found, page, text
from localcloud.cloudflare.errors import ApiError, bad_request
from localcloud.cloudflare.source import Source, stamp
from localcloud.cloudflare.state import Json, State

TYPES = frozenset({"A", "AAAA", "CAA", "CNAME", "HTTPS", "MX", "NS", "PTR", "SRV", "TXT"})
PROXIABLE = frozenset({"A", "AAAA", "CNAME"})
STRUCTURED = frozenset({"CAA", "HTTPS", "SRV"})
TTLS = (60, 86400)
ID = re.compile(r"[0-9a-f]{32}")
_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)
_MATCHES = {
    "": str.__eq__,
    ".exact": str.__eq__,
    ".contains": str.__contains__,
    ".startswith": str.startswith,
    ".endswith": str.endswith,
}


def create(call: Call) -> Json:
    """Add a record."""
    return _added(call.state, call.source, call.body)


def _added(state: State, source: Source, body: Json) -> Json:
    sent = _checked(state, body)
    _refuse_conflict(state, sent, None)
    now = stamp(source.now())
    record = {**_defaults(sent), **sent, "id": source.hexadecimal(32), "created_on": now}
    record["modified_on"] = now
    state.records[record["id"]] = record
    return record


def listed(call: Call) -> Page:
    """Return the records that match all filters: `type`, `proxied`, `name` and `content`."""
    rows = [row for row in call.state.records.values() if _matches(row, call.query)]
    return page(call, rows, 100)


def get(call: Call) -> Json:
    """Return a record."""
    return _record(call)


def replace(call: Call) -> Json:
    """Put a whole record in the place of the old one."""
    return _rewritten(call, _record(call), call.body)


def edit(call: Call) -> Json:
    """Change the fields that the body names."""
    record = _record(call)
    kept = {name: value for name, value in record.items() if name not in _computed(record)}
    return _rewritten(call, record, {**kept, **call.body})


def delete(call: Call) -> Json:
    """Remove a record."""
    record = _record(call)
    del call.state.records[record["id"]]
    return {"id": record["id"]}


def seed(state: State, source: Source, wanted: Json) -> Json:
    """Put in a record that somebody else made."""
    return _added(state, source, wanted)


def _rewritten(call: Call, record: Json, body: Json) -> Json:
    sent = _checked(call.state, body)
    _refuse_conflict(call.state, sent, record["id"])
    kept = {name: record[name] for name in ("id", "created_on")}
    new = {**_defaults(sent), **sent, **kept, "modified_on": stamp(call.source.now())}
    call.state.records[record["id"]] = new
    return new


def _record(call: Call) -> Json:
    return found(call.state.records, call.path["id"], ApiError(404, 81044, "Record does not exist"))


def _defaults(sent: Json) -> Json:
    return {
        "proxied": False,
        "proxiable": sent["type"] in PROXIABLE,
        "meta": {},
        "tags": [],
        "comment": None,
        "settings": {},
        "ttl": 1,
    }


def _computed(record: Json) -> set[str]:
    return {"id", "created_on", "modified_on", "proxiable", "meta"} & record.keys()


def _checked(state: State, body: Json) -> Json:
    """Return a sent record in its final form; a `null` counts as not sent."""
    sent = {name: value for name, value in body.items() if value is not None}
    kind = choice(sent, "type", TYPES, 9002)
    sent["name"] = full_name(text(sent, "name", 9000), state.zone["name"])
    if kind not in STRUCTURED or "data" not in sent:
        _check_content(kind, text(sent, "content", 9007))
    _check_ttl(sent)
    if sent.get("proxied") and kind not in PROXIABLE:
        raise bad_request(9004, f"A record of type {kind} cannot be proxied")
    if kind == "CNAME":
        sent["content"] = sent["content"].rstrip(".").lower()
        if sent["content"] == sent["name"]:
            raise bad_request(9039, "A CNAME record cannot point at itself")
    return sent


def full_name(name: str, zone: str) -> str:
    """Return a name in the zone; as at Cloudflare, one from elsewhere ends up below the zone."""
    low = name.rstrip(".").lower()
    if low in {"@", zone}:
        return zone
    if not _NAME.fullmatch(low):
        raise bad_request(9000, f"DNS name is invalid: {name!r}")
    return low if low.endswith(f".{zone}") else f"{low}.{zone}"


def _check_content(kind: str, content: str) -> None:
    if kind == "A" and not _is_address(content, 4):
        raise bad_request(9005, f"Content for A record must be an IPv4 address, got {content!r}")
    if kind == "AAAA" and not _is_address(content, 6):
        raise bad_request(9006, f"Content for AAAA record must be an IPv6 address, got {content!r}")
    if kind == "CNAME" and not _NAME.fullmatch(content.rstrip(".")):
        raise bad_request(9007, f"Content for CNAME record is invalid: {content!r}")


def _is_address(content: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(content).version == version
    except ValueError:
        return False


def _check_ttl(sent: Json) -> None:
    ttl = sent.get("ttl", 1)
    least, most = TTLS
    whole = not isinstance(ttl, bool) and isinstance(ttl, int | float) and math.floor(ttl) == ttl
    if not whole or not (ttl == 1 or least <= ttl <= most):
        raise bad_request(
            9021, f"ttl must be between {least} and {most} seconds, or 1 for automatic, got {ttl!r}"
        )
    if sent.get("proxied") and ttl != 1:
        raise bad_request(9041, f"ttl must be 1 when proxied is true, got {ttl!r}")
    sent["ttl"] = int(ttl)


def _refuse_conflict(state: State, sent: Json, own: str | None) -> None:
    same = [row for row in state.records.values() if row["name"] == sent["name"]]
    others = [row for row in same if row["id"] != own and row["type"] in PROXIABLE]
    if sent["type"] == "CNAME" and others:
        raise bad_request(81053, "An A, AAAA, or CNAME record with that host already exists.")
    if sent["type"] in PROXIABLE and any(row["type"] == "CNAME" for row in others):
        raise bad_request(81054, "A CNAME record with that host already exists.")
    for row in same:
        if row["id"] != own and all(
            row.get(key) == sent.get(key) for key in ("type", "content", "data")
        ):
            raise bad_request(81058, "An identical record already exists.")


def _matches(row: Json, query: Mapping[str, str]) -> bool:
    if query.get("type", row["type"]) != row["type"]:
        return False
    if query.get("proxied", str(row["proxied"]).lower()) != str(row["proxied"]).lower():
        return False
    return all(
        match(str(row.get(key) or "").lower(), query[key + suffix].lower())
        for key in ("name", "content", "comment")
        for suffix, match in _MATCHES.items()
        if key + suffix in query
    )


_RECORD = "/zones/{zone}/dns_records/{id}"
ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("POST", "/zones/{zone}/dns_records", create),
    ("GET", "/zones/{zone}/dns_records", listed),
    ("GET", _RECORD, get),
    ("PUT", _RECORD, replace),
    ("PATCH", _RECORD, edit),
    ("DELETE", _RECORD, delete),
)
