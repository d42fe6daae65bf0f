"""What the state keeps of an object, and what a program would have to write to get it."""

import base64
import binascii
from collections.abc import Mapping
from itertools import zip_longest

from localcloud.plugins.kubernetes.kinds import Kind
from localcloud.plugins.kubernetes.sameness import Rules, agree, by_key, is_whole
from localcloud.plugins.kubernetes.shapes import METADATA_WRITTEN
from localcloud.plugins.model import Old
from localcloud.plugins.shapes import names
from localcloud.plugins.values import UNKNOWN, Unknown, Value, Values, map_of

# Whose object it is: a create whose answer was lost is told by it from anybody else's.
URN = "agent-docker/urn"
_TOLD = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
# They change with every status, and with whatever other managers do.
_VOLATILE = frozenset({"generation", "resourceVersion"})
_NOT_WRITTEN = frozenset(
    {URN, "deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration"}
)


def state(kind: Kind, live: Values, inputs: Mapping[str, Value]) -> Values:
    """The outputs: live values of what the program wrote, and what identifies the object.

    Server defaults, status and other managers' fields stay out: the engine writes the whole state
    after every step, and what comes and goes by itself is no change that a refresh should show.
    """
    # Of an object that is imported, everything.
    wanted = written(inputs) or found_inputs(kind, live, {})
    kept = {
        name: _projected(kind.rules, name, live[name], wanted.get(name))
        for name in names(kind.fields)
        if name in live and (name in wanted or not isinstance(live[name], (dict, list)))
    }
    if kind.keeps_spec:
        kept["spec"] = live["spec"]
    return {**kept, "metadata": _metadata(kind, live, wanted), **_status(live)}


def found_inputs(kind: Kind, live: Values, inputs: Mapping[str, Value]) -> Values:
    """What a program would write; as far as it did, unless the object is imported."""
    if not inputs:
        found = {name: value for name, value in live.items() if name in names(kind.fields)}
        return {**found, "metadata": _written_metadata(live)}
    values: Values = {"data": {}, **live, "stringData": _texts(live, inputs)}
    return {
        name: _projected(kind.rules, name, values[name], value)
        for name, value in inputs.items()
        if name in values
    }


def same(kind: Kind, name: str, one: Value, other: Value) -> bool:
    """Whether a refresh finds nothing new in this property."""
    if name == "metadata":
        one, other = _steady(one), _steady(other)
    return agree(kind.rules, name, one, other)


def written(inputs: Mapping[str, Value]) -> Values:
    """The inputs as the object has them: the texts of `stringData` are in `data`.

    Applied as `stringData` they would never go away again: the server forgets whose they are.
    """
    plain = {name: value for name, value in inputs.items() if name != "stringData"}
    if "stringData" not in inputs:
        return plain
    texts = inputs["stringData"]
    if isinstance(texts, Unknown) or isinstance(inputs.get("data"), Unknown):
        return {**plain, "data": UNKNOWN}
    encoded = {key: _encoded(text) for key, text in map_of(inputs, "stringData").items()}
    return {**plain, "data": {**map_of(inputs, "data"), **encoded}}


def preview(kind: Kind, known: Values, old: Old | None) -> Values:
    """The state before the work: what only the server knows is unknown.

    A Secret's and a ConfigMap's version changes with every change of it, and programs roll pods
    by it. Marking it for other kinds would make every reader of their metadata unknown.
    """
    told: Values = dict.fromkeys(("uid", "resourceVersion", "creationTimestamp"), UNKNOWN)
    if old is not None:
        before = map_of(old.outputs, "metadata")
        told = {name: before[name] for name in _TOLD if name in before}
        if kind.immutable:
            told["resourceVersion"] = UNKNOWN
    return {**known, "metadata": {**told, **map_of(known, "metadata")}}


def _projected(rules: Rules, name: str, live: Value, wanted: Value) -> Value:
    if is_whole(rules, name):
        return live
    if isinstance(live, dict) and isinstance(wanted, dict):
        return {
            key: _projected(rules, key, live[key], value)
            for key, value in wanted.items()
            if key in live
        }
    if isinstance(live, list) and isinstance(wanted, list):
        return _projected_list(rules, name, live, wanted)
    return live


def _projected_list(rules: Rules, name: str, live: list[Value], wanted: list[Value]) -> list[Value]:
    keys = rules.lists.get(name)
    there, ours = by_key(keys, live), by_key(keys, wanted)
    if there is None or ours is None:
        # What is beyond the program's own stays whole.
        pairs = zip_longest(live, wanted[: len(live)])
        return [_projected(rules, "", item, ours) for item, ours in pairs]
    return [_projected(rules, "", item, ours[key]) for key, item in there.items() if key in ours]


def _metadata(kind: Kind, live: Values, inputs: Values) -> Values:
    metadata = map_of(live, "metadata")
    told: Values = {name: metadata[name] for name in _TOLD if name in metadata}
    ours = _projected(kind.rules, "metadata", metadata, map_of(inputs, "metadata"))
    return {**(ours if isinstance(ours, dict) else {}), **told}


def _written_metadata(live: Values) -> Values:
    metadata = map_of(live, "metadata")
    found = {name: value for name, value in metadata.items() if name in METADATA_WRITTEN}
    annotations = map_of(metadata, "annotations")
    told = {name: text for name, text in annotations.items() if name not in _NOT_WRITTEN}
    return {**found, "annotations": told} if told else _without(found, "annotations")


def _without(values: Values, name: str) -> Values:
    return {key: value for key, value in values.items() if key != name}


def _status(live: Values) -> Values:
    """Only what does not change by itself: a load balancer's address."""
    address = map_of(map_of(live, "status"), "loadBalancer")
    return {"status": {"loadBalancer": address}} if address else {}


def _texts(live: Values, inputs: Mapping[str, Value]) -> Values:
    data = map_of(live, "data")
    asked = map_of(inputs, "stringData")
    return {key: _decoded(data[key]) for key in asked if key in data}


def _encoded(text: Value) -> Value:
    return base64.b64encode(text.encode()).decode() if isinstance(text, str) else text


def _decoded(text: Value) -> str:
    try:
        return base64.b64decode(str(text), validate=True).decode(errors="replace")
    except binascii.Error:
        return str(text)


def _steady(value: Value) -> Value:
    if not isinstance(value, dict):
        return value
    return {name: item for name, item in value.items() if name not in _VOLATILE}
