"""DNS records."""

import json

from localcloud.plugins.cloudflare import shapes
from localcloud.plugins.cloudflare.api import Api
from localcloud.plugins.cloudflare.rest import Rest, refuse_unsupported, token_of
from localcloud.plugins.cloudflare.wire import Names
from localcloud.plugins.model import Call, Old, ResourceType
from localcloud.plugins.shapes import Refusal
from localcloud.plugins.values import Properties, Value, Values

# A PUT replaces the whole record: what it does not name would fall back as well, but unsaid.
_WHOLE: Values = {
    "tags": [],
    "settings": {"flattenCname": False, "ipv4Only": False, "ipv6Only": False},
}


def _with_text(values: Values) -> Values:
    """The SDK has free-form JSON as a text."""
    return {**values, "meta": json.dumps(values.get("meta", {}))}


_RECORDS = Rest(
    collection="dns_records",
    inputs=shapes.RECORD,
    computed=shapes.RECORD_OUTPUTS,
    names=Names(special={"ipv4Only": "ipv4_only", "ipv6Only": "ipv6_only"}),
    scopes=("zoneId",),
    sent={"proxied": False},
    tidy=_with_text,
)


def _update(call: Call[Api], old: Old, inputs: Properties) -> Values:
    whole = Properties({**_WHOLE, **inputs}, secret=inputs.secret, words=inputs.words)
    return _RECORDS.update(call, old, whole)


def _check(inputs: Properties) -> list[Refusal]:
    found = refuse_unsupported(inputs, shapes.RECORD_UNSUPPORTED)
    ttl = inputs.get("ttl")
    if inputs.get("proxied") is True and isinstance(ttl, int | float) and ttl != 1:
        found.append(Refusal("ttl", f"ttl is {ttl}, expected 1: the record is proxied"))
    return found


def _same(name: str, old: Value, new: Value) -> bool:
    """Names are alike in any case; an unset setting is one that is off."""
    if name == "name" and isinstance(old, str) and isinstance(new, str):
        return old.lower() == new.rstrip(".").lower()
    if name == "settings" and isinstance(old, dict) and isinstance(new, dict):
        return _on(old) == _on(new)
    return old == new


def _on(settings: Values) -> Values:
    return {name: value for name, value in settings.items() if value is not False}


RECORD: ResourceType[Api] = ResourceType(
    token=token_of("DnsRecord"),
    inputs=shapes.RECORD,
    create=_RECORDS.create,
    read=_RECORDS.read,
    update=_update,
    delete=_RECORDS.delete,
    replaces=frozenset({"zoneId"}),
    computed=frozenset({*shapes.RECORD_OUTPUTS, "settings", "tags", "proxied"}),
    check=_check,
    same=_same,
)
