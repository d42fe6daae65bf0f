"""Builds JSON values and their lines from YAML events, within limits that stop bombs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from ruamel.yaml.events import (
    AliasEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from ossa.report import Finding
from ossa.scalars import filled, plain
from ossa.values import Json, child, shown

DEEPEST = 100
# Nodes and hundreds of characters of one file, aliases counted as what they stand for.
HEAVIEST = 20_000
_CHARACTERS = 100
_MERGE = "<<"
_TEXT_TAGS = ("!", "tag:yaml.org,2002:str")
_CORE_TAGS = tuple(
    f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "int", "float", "bool", "null")
)


@dataclass(slots=True)
class Mark:
    """Where a value stands; `weight` and `height` are those of the whole value."""

    line: int
    weight: int = 1
    height: int = 0
    children: "dict[str, Mark] | None" = None

    def add(self, key: str, inner: "Mark", *, line: int) -> None:
        """Take `inner` as the value at `key`, which stands on `line`."""
        children = {} if self.children is None else self.children
        children[key] = Mark(line, inner.weight, inner.height, inner.children)
        self.children = children
        self.weight += inner.weight
        self.height = max(self.height, inner.height + 1)


class Stop(Exception):
    """Nothing more can be read from this file, for the reason in `finding`."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


@dataclass
class Builder:
    """Reads the events of one file; `problems` are those of the document read last."""

    values: Mapping[str, str] | None
    problems: list[Finding] = field(default_factory=list[Finding])
    _anchors: dict[str, tuple[Json, Mark]] = field(default_factory=dict[str, tuple[Json, Mark]])
    _weight: int = 0

    def document(self, first: Event, events: Iterator[Event]) -> tuple[Json, Mark]:
        """The value that begins with `first`, and its lines."""
        self.problems, self._anchors = [], {}
        return self._value(first, events, "", 0)

    def _value(
        self, event: Event, events: Iterator[Event], at: str, depth: int
    ) -> tuple[Json, Mark]:
        line = _line(event)
        if isinstance(event, AliasEvent):
            return self._alias(event, at, depth)
        self._count(1, line)
        if depth > DEEPEST:
            raise Stop(_problem("", line, "depth", f"nested deeper than {DEEPEST} levels"))
        built: tuple[Json, Mark]
        if isinstance(event, MappingStartEvent):
            built = self._mapping(events, Mark(line), at, depth)
        elif isinstance(event, SequenceStartEvent):
            built = self._sequence(events, Mark(line), at, depth)
        else:
            assert isinstance(event, ScalarEvent)  # noqa: S101 - the grammar knows no other
            built = self._scalar(event, at)
        tag = cast("object", event.tag)
        if tag not in (None, *_TEXT_TAGS, *_CORE_TAGS):
            message = f"the tag {shown(str(tag))} is not known; write the value without it"
            self._note(at, line, "tag", message)
        if event.anchor is not None:
            self._anchors[event.anchor] = built
        return built

    def _alias(self, event: AliasEvent, at: str, depth: int) -> tuple[Json, Mark]:
        line = _line(event)
        name = cast("str", event.anchor)
        if name not in self._anchors:
            message = f"the alias {shown(name)} refers to no value above it"
            self._note(at, line, "alias", message)
            return None, Mark(line)
        value, mark = self._anchors[name]
        self._count(mark.weight, line)
        if depth + mark.height > DEEPEST:
            raise Stop(_problem("", line, "depth", f"nested deeper than {DEEPEST} levels"))
        return value, mark

    def _scalar(self, event: ScalarEvent, at: str) -> tuple[Json, Mark]:
        text = cast("str", event.value)
        line = _line(event)
        if self.values:
            text = filled(text, self.values)
        extra = len(text) // _CHARACTERS
        self._count(extra, line)
        quoted = event.style is not None or event.tag in _TEXT_TAGS
        return self._paired(text, at, line) if quoted else plain(text), Mark(line, 1 + extra)

    def _paired(self, text: str, at: str, line: int) -> str:
        """`text` with JSON's pairs of surrogate escapes joined; no half and no NUL passes."""
        try:
            whole = text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            whole = "\0"
        if "\0" in whole:
            self._note(at, line, "encoding", "the text escapes a NUL or half a character")
        return whole

    def _sequence(
        self, events: Iterator[Event], mark: Mark, at: str, depth: int
    ) -> tuple[Json, Mark]:
        items: list[Json] = []
        while not isinstance(event := next(events), SequenceEndEvent):
            index = len(items)
            value, inner = self._value(event, events, child(at, index), depth + 1)
            mark.add(str(index), inner, line=_line(event))
            items.append(value)
        return items, mark

    def _mapping(
        self, events: Iterator[Event], mark: Mark, at: str, depth: int
    ) -> tuple[Json, Mark]:
        found: dict[str, Json] = {}
        merges: list[tuple[Json, Mark]] = []
        while not isinstance(event := next(events), MappingEndEvent):
            line = _line(event)
            key = self._key(event, events, at, depth)
            here = at if key is None else child(at, key)
            value, inner = self._value(next(events), events, here, depth + 1)
            if key is None:
                continue
            if key == _MERGE and isinstance(event, ScalarEvent) and event.style is None:
                merges += self._merged(value, inner, here, line)
            elif key in found:
                self._note(here, line, "duplicate", f"the key {shown(key)} stands here twice")
            else:
                found[key] = value
                mark.add(key, inner, line=line)
        for value, inner in merges:
            _merge(found, mark, value, inner)
        return found, mark

    def _key(self, event: Event, events: Iterator[Event], at: str, depth: int) -> str | None:
        if isinstance(event, ScalarEvent):
            return self._paired(cast("str", event.value), at, _line(event))
        self._value(event, events, at, depth + 1)
        message = "a key must be a text; a template such as {{NAME}} must stand in quotes"
        self._note(at, _line(event), "syntax", message)
        return None

    def _merged(self, value: Json, mark: Mark, at: str, line: int) -> list[tuple[Json, Mark]]:
        if isinstance(value, dict):
            return [(value, mark)]
        inner = mark.children or {}
        if isinstance(value, list) and all(isinstance(one, dict) for one in value):
            return [(one, inner[str(index)]) for index, one in enumerate(value)]
        message = f"`<<` takes a mapping or a list of mappings, got {shown(value)}"
        self._note(at, line, "type", message)
        return []

    def _count(self, weight: int, line: int) -> None:
        self._weight += weight
        if self._weight > HEAVIEST:
            message = "the file holds more than a manifest may, aliases counted as what they repeat"
            raise Stop(_problem("", line, "size", message))

    def _note(self, at: str, line: int, keyword: str, message: str) -> None:
        self.problems.append(_problem(at, line, keyword, message))


def _merge(found: dict[str, Json], mark: Mark, value: Json, inner: Mark) -> None:
    """Add what `value` has and the mapping has not: a mapping's own keys win."""
    assert isinstance(value, dict)  # noqa: S101 - `_merged` saw to it
    for key, one in value.items():
        if key not in found:
            found[key] = one
            below = (inner.children or {})[key]
            mark.add(key, below, line=below.line)


def _line(event: Event) -> int:
    return cast("int", event.start_mark.line) + 1


def _problem(at: str, line: int, keyword: str, message: str) -> Finding:
    return Finding(pointer=at, line=line, severity="error", keyword=keyword, message=message)
