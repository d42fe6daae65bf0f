"""What of an object a program would change: its inputs against the object as the server has it.

Only what the program writes counts, as server-side apply changes nothing else: the server's
defaults and other managers' fields are no difference.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from localcloud.plugins.kubernetes.quantities import amount
from localcloud.plugins.model import Change
from localcloud.plugins.values import Unknown, Value, Values, has_unknown

Difference = tuple[str, Change]

# Objects that apply sets as a whole: nothing else may be in them.
_WHOLE = frozenset(
    {"labelSelector", "namespaceSelector", "nodeSelector", "podSelector", "selector"}
)
# But for what the server fills in there: absent is as if it were written.
_DEFAULTED = frozenset({"policyTypes", "protocol"})
_AMOUNTS = frozenset({"averageValue", "divisor", "sizeLimit"})
_AMOUNTS_BY_NAME = frozenset({"limits", "requests"})


@dataclass(frozen=True)
class Rules:
    """How the fields of one kind merge, as far as its lists and maps need it."""

    lists: Mapping[str, tuple[str, ...]]
    """Lists by the name of their field whose items are told apart by these keys."""
    whole: frozenset[str] = frozenset()
    """More objects that are set as a whole."""


@dataclass(frozen=True)
class _Place:
    """Where the comparison is: a property path, the two last names, and whether all must match."""

    path: str = ""
    field: str = ""
    parent: str = ""
    whole: bool = False

    def within(self, name: str, rules: Rules) -> "_Place":
        whole = self.whole or is_whole(rules, name)
        return _Place(_joined(self.path, name), name, self.field, whole)

    def item(self, index: int) -> "_Place":
        return _Place(f"{self.path}[{index}]", self.field, self.parent, self.whole)


def differences(
    rules: Rules, live: Mapping[str, Value], new: Mapping[str, Value], old: Mapping[str, Value]
) -> dict[str, Change]:
    """By property path: what of `new` is not live, and what only the `old` inputs had."""
    return dict(_of_maps(rules, _Place(), live, new, old))


def agree(rules: Rules, name: str, one: Value, other: Value) -> bool:
    """Whether two values of the property `name` say the same, whichever is the server's."""
    return not any(
        differences(rules, {name: before}, {name: after}, {})
        for before, after in ((one, other), (other, one))
    )


def is_whole(rules: Rules, name: str) -> bool:
    """Whether the object called `name` is set as a whole."""
    return name in _WHOLE or name in rules.whole


def _of(rules: Rules, at: _Place, live: Value, new: Value, old: Value) -> Iterator[Difference]:
    if isinstance(new, dict) and isinstance(live, dict):
        yield from _of_maps(rules, at, live, new, old if isinstance(old, dict) else {})
    elif isinstance(new, list) and isinstance(live, list):
        yield from _of_lists(rules, at, live, new, old if isinstance(old, list) else [])
    elif not _same(at, live, new):
        yield at.path, "update"


def _of_maps(
    rules: Rules,
    at: _Place,
    live: Mapping[str, Value],
    new: Mapping[str, Value],
    old: Mapping[str, Value],
) -> Iterator[Difference]:
    for name, value in new.items():
        inner = at.within(name, rules)
        if live.get(name) is not None:
            if value is not None:
                yield from _of(rules, inner, live[name], value, old.get(name))
        elif not _nothing(value) and not (at.whole and name in _DEFAULTED):
            yield inner.path, "add"
    for name, value in live.items():
        dropped = not _nothing(old.get(name)) or (at.whole and name not in _DEFAULTED)
        if new.get(name) is None and dropped and not _nothing(value):
            yield at.within(name, rules).path, "delete"


def _of_lists(
    rules: Rules, at: _Place, live: list[Value], new: list[Value], old: list[Value]
) -> Iterator[Difference]:
    keys = rules.lists.get(at.field)
    there, wanted = by_key(keys, live), by_key(keys, new)
    if there is None or wanted is None:
        if len(live) != len(new):
            yield at.path, "update"
            return
        for index, (before, after) in enumerate(zip(live, new, strict=True)):
            was = old[index] if index < len(old) else None
            yield from _of(rules, at.item(index), before, after, was)
        return
    before_by_key = by_key(keys, old) or {}
    for index, (key, after) in enumerate(wanted.items()):
        if key not in there:
            yield at.item(index).path, "add"
        else:
            yield from _of(rules, at.item(index), there[key], after, before_by_key.get(key))
    for index, key in enumerate(there):
        if key not in wanted and key in before_by_key:
            yield at.item(index).path, "delete"
    common = [key for key in there if key in wanted]
    if common != [key for key in wanted if key in there]:
        # The order of containers and of environment variables means something.
        yield at.path, "update"


def by_key(keys: tuple[str, ...] | None, items: list[Value]) -> dict[tuple[str, ...], Value] | None:
    """The items of a keyed list by their keys; None when they are not told apart by these."""
    if keys is None or not all(isinstance(item, dict) for item in items):
        return None
    found: dict[tuple[str, ...], Value] = {
        _key(keys, item): item for item in items if isinstance(item, dict)
    }
    return found if len(found) == len(items) else None


def _key(keys: tuple[str, ...], item: Values) -> tuple[str, ...]:
    defaults = {"protocol": "TCP"}
    return tuple(str(item.get(key) or defaults.get(key)) for key in keys)


def _same(at: _Place, live: Value, new: Value) -> bool:
    if isinstance(new, Unknown) or has_unknown(new):
        return False
    if live == new and isinstance(live, bool) == isinstance(new, bool):
        return True
    if isinstance(live, (dict, list)) or isinstance(new, (dict, list)):
        return False
    if isinstance(live, bool) or isinstance(new, bool):
        return False
    return str(live) == str(new) or (_is_amount(at) and _same_amount(str(live), str(new)))


def _is_amount(at: _Place) -> bool:
    if at.field in _AMOUNTS or at.parent in _AMOUNTS_BY_NAME:
        return True
    return at.field == "value" and at.parent == "target"


def _same_amount(live: str, new: str) -> bool:
    return (found := amount(live)) is not None and found == amount(new)


def _nothing(value: Value) -> bool:
    """What the server leaves out of an object when it is set to it."""
    return value is None or value in ("", 0, False, [], {})


def _joined(path: str, name: str) -> str:
    if not name.replace("_", "").isalnum():
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'{path}["{quoted}"]'
    return f"{path}.{name}" if path else name
