"""Property values as the engine sends them: structs with unknowns and secrets in disguise."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from google.protobuf import struct_pb2  # type: ignore[import-untyped]

# sdk/go/common/resource/plugin/rpc.go and sdk/go/common/resource/sig.go
_UNKNOWN_STRING = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_UNKNOWNS = frozenset(
    {
        _UNKNOWN_STRING,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)
SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a type's mark
# What hides a secret in a text; shorter ones would tear ordinary words apart.
HIDDEN = "[secret]"
_SHORTEST_HIDDEN = 4


class Unknown:
    """A value that exists only after something else was created."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()
Value: TypeAlias = "str | int | float | bool | Unknown | list[Value] | dict[str, Value] | None"
Values: TypeAlias = dict[str, Value]


class Properties(Values):
    """Plain values by name, and what of them is secret; equal to a dict of the same values."""

    def __init__(
        self,
        values: Mapping[str, Value] = {},
        *,
        secret: Iterable[str] = (),
        words: Iterable[str] = (),
    ) -> None:
        super().__init__(values)
        self.secret = frozenset(secret)
        """The top-level names that hold a secret anywhere."""
        self.words = frozenset(words)
        """The secret texts themselves, to keep them out of messages."""


def decode(struct: struct_pb2.Struct) -> Properties:
    """Read a message; null and absent are the same, whole numbers come as int."""
    words: set[str] = set()
    secret: set[str] = set()
    values: Values = {}
    for name, field in struct.fields.items():
        found: set[str] = set()
        value = _decoded(field, found, hidden=False)
        if value is not None:
            values[name] = value
        if found:
            secret.add(name)
            words |= found
    return Properties(values, secret=secret, words=words)


def _decoded(field: struct_pb2.Value, words: set[str], *, hidden: bool) -> Value:
    kind = field.WhichOneof("kind")
    if kind == "struct_value":
        return _decoded_struct(field.struct_value, words, hidden=hidden)
    if kind == "list_value":
        return [_decoded(item, words, hidden=hidden) for item in field.list_value.values]
    value = _scalar(field)
    if hidden:
        # An empty mark still says that the property holds a secret.
        words.add(value if isinstance(value, str) else "")
    return value


def _decoded_struct(struct: struct_pb2.Struct, words: set[str], *, hidden: bool) -> Value:
    fields = struct.fields
    if SIGNATURE in fields and fields[SIGNATURE].string_value == _SECRET:
        words.add("")
        return _decoded(fields["value"], words, hidden=True)
    return {name: _decoded(item, words, hidden=hidden) for name, item in fields.items()}


def _scalar(field: struct_pb2.Value) -> Value:
    kind = field.WhichOneof("kind")
    if kind == "string_value":
        text: str = field.string_value
        return UNKNOWN if text in _UNKNOWNS else text
    if kind == "number_value":
        number: float = field.number_value
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return bool(field.bool_value)
    return None


def encode(values: Mapping[str, Value], secret: Iterable[str] = ()) -> struct_pb2.Struct:
    """Write a message; the top-level names in `secret` go out as secrets. None is left out."""
    hidden = frozenset(secret)
    struct = struct_pb2.Struct()
    for name, value in values.items():
        if value is None:
            continue
        field = _encoded(value)
        if name in hidden:
            mark = {SIGNATURE: struct_pb2.Value(string_value=_SECRET), "value": field}
            field = struct_pb2.Value(struct_value=struct_pb2.Struct(fields=mark))
        struct.fields[name].CopyFrom(field)
    return struct


def _encoded(value: Value) -> struct_pb2.Value:
    if isinstance(value, list):
        items = struct_pb2.ListValue(values=[_encoded(item) for item in value])
        return struct_pb2.Value(list_value=items)
    if isinstance(value, dict):
        fields = {name: _encoded(item) for name, item in value.items() if item is not None}
        return struct_pb2.Value(struct_value=struct_pb2.Struct(fields=fields))
    return _encoded_scalar(value)


def _encoded_scalar(value: str | float | Unknown | None) -> struct_pb2.Value:
    if isinstance(value, Unknown):
        return struct_pb2.Value(string_value=_UNKNOWN_STRING)
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value)
    if value is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    return struct_pb2.Value(number_value=value)


def has_unknown(value: Value) -> bool:
    """Whether `value` is or holds one that is not known yet."""
    return any(isinstance(leaf, Unknown) for leaf in leaves(value))


def leaves(value: Value) -> Iterator[Value]:
    """Yield everything in `value` that is neither a list nor a map."""
    if isinstance(value, list):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    else:
        yield value


def hide(text: str, words: Iterable[str]) -> str:
    """Return `text` without the secret `words`, the longest first."""
    parts = {part for word in words for part in _parts(word) if len(part) >= _SHORTEST_HIDDEN}
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, HIDDEN)
    return text


def _parts(word: str) -> Iterator[str]:
    """A secret, its lines, and what an environment's NAME=value keeps behind the name."""
    yield word
    for line in word.split("\n"):
        yield line.strip()
        name, _, value = line.partition("=")
        if name.isidentifier():
            yield value.strip()


def text_of(values: Mapping[str, Value], name: str, default: str = "") -> str:
    """The text under `name`; `default` when absent or not known."""
    value = values.get(name)
    return value if isinstance(value, str) else default


def whole_of(values: Mapping[str, Value], name: str, default: int = 0) -> int:
    """The whole number under `name`."""
    value = values.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def flag_of(values: Mapping[str, Value], name: str, *, default: bool = False) -> bool:
    """The boolean under `name`."""
    value = values.get(name)
    return value if isinstance(value, bool) else default


def texts_of(values: Mapping[str, Value], name: str) -> list[str]:
    """The list of texts under `name`; empty when absent."""
    value = values.get(name)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def maps_of(values: Mapping[str, Value], name: str) -> list[Values]:
    """The list of objects under `name`; empty when absent."""
    value = values.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def map_of(values: Mapping[str, Value], name: str) -> Values:
    """The object under `name`; empty when absent."""
    value = values.get(name)
    return value if isinstance(value, dict) else {}


def string_map_of(values: Mapping[str, Value], name: str) -> dict[str, str]:
    """The map of texts under `name`; empty when absent."""
    return {key: item for key, item in map_of(values, name).items() if isinstance(item, str)}
