"""When a property of the state and its input say the same."""

import json
from collections.abc import Mapping

from localcloud.plugins.values import Value, Values

# Sets in the official schema: their order says nothing.
_SETS = frozenset(
    {
        "dns",
        "dnsOpts",
        "dnsSearches",
        "envs",
        "groupAdds",
        "hosts",
        "ipamConfigs",
        "labels",
        "mounts",
        "networksAdvanced",
        "pullTriggers",
        "securityOpts",
        "ulimits",
        "uploads",
        "volumes",
    }
)
# The official schema's defaults within objects; null, empty and 0 count as left out anyway.
_DEFAULTS: Mapping[str, Values] = {
    "healthcheck": dict.fromkeys(("interval", "timeout", "startPeriod", "startInterval"), "0s"),
    "ports": {"ip": "0.0.0.0", "protocol": "tcp"},  # noqa: S104 - a value, no bind
    "uploads": {"permissions": ""},
}


def same(name: str, old: Value, new: Value) -> bool:
    """Compare as the official plugin does: literally, but for sets and left-out defaults."""
    if name == "ports":
        old = _chosen_by_daemon(old, new)
    return _canonical(name, old) == _canonical(name, new)


def _chosen_by_daemon(old: Value, new: Value) -> Value:
    """Forget the external ports that the program left to the daemon."""
    if not isinstance(old, list) or not isinstance(new, list) or len(old) != len(new):
        return old
    return [
        {key: item for key, item in before.items() if key != "external" or "external" in after}
        if isinstance(before, dict) and isinstance(after, dict)
        else before
        for before, after in zip(old, new, strict=True)
    ]


def _canonical(name: str, value: Value) -> Value:
    defaults = _DEFAULTS.get(name, {})
    if isinstance(value, dict):
        return _without(value, defaults)
    if isinstance(value, list):
        items = [_without(item, defaults) if isinstance(item, dict) else item for item in value]
        return sorted(items, key=_order) if name in _SETS else items
    return value


def _without(value: Values, defaults: Mapping[str, Value]) -> Values:
    """Drop what is as if left out. Lists within objects (aliases, capabilities) are sets too."""
    plain: Values = {}
    for key, item in value.items():
        inner = _inner(key, item)
        if inner not in (None, "", 0, False, [], {}, defaults.get(key)):
            plain[key] = inner
    return plain


def _inner(key: str, item: Value) -> Value:
    if isinstance(item, dict):
        return _without(item, {})
    if isinstance(item, list) and key != "tests":
        return sorted(item, key=_order)
    return item


def _order(item: Value) -> str:
    return json.dumps(item, sort_keys=True, default=repr)
