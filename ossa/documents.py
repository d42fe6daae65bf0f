"""From bytes to documents: YAML or JSON, with the line of every value."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from ruamel.yaml import YAML
from ruamel.yaml.error import StreamMark
from ruamel.yaml.events import DocumentEndEvent, DocumentStartEvent, Event

from ossa.nodes import Builder, Mark, Stop
from ossa.report import Finding
from ossa.values import Json, tokens

LARGEST = 2**20
# The parser takes quadratic time for a tag, and whatever begins with `!` may be one.
_LONGEST_TAG = 50_000
_LONGEST_MESSAGE = 200


@dataclass(frozen=True, kw_only=True)
class Document:
    """One document of a file; with problems it was not read, and `value` says nothing."""

    number: int
    value: Json
    mark: Mark
    problems: tuple[Finding, ...] = ()

    def line(self, pointer: str) -> int:
        """The line of what stands at `pointer`, or of the nearest thing around it."""
        mark = self.mark
        for token in tokens(pointer):
            inner = (mark.children or {}).get(token)
            if inner is None:
                break
            mark = inner
        return mark.line


def documents(data: bytes, values: Mapping[str, str] | None = None) -> list[Document]:
    """The documents of a file, at least one; what cannot be read is one that says why.

    `values` fill in templates before a scalar's type is decided, as `envsubst` would, but never
    add structure; without any, templates stay as they are. Empty documents between others are
    left out, yet counted.
    """
    text, problem = _text(data)
    if problem is not None:
        return [_broken(1, problem)]
    found: list[Document] = []
    number = 1
    builder = Builder(values)
    try:
        for event in (events := _events(text)):
            if isinstance(event, DocumentStartEvent):
                value, mark = builder.document(next(events), events)
                if value is not None or builder.problems:
                    problems = tuple(builder.problems)
                    found.append(Document(number=number, value=value, mark=mark, problems=problems))
            elif isinstance(event, DocumentEndEvent):
                number += 1
    except Stop as stop:
        found.append(_broken(number, stop.finding))
    except Exception as error:  # noqa: BLE001 - broken input trips the parser in many ways
        found.append(_broken(number, _syntax(error)))
    return found or [_broken(1, _whole("empty", "the file holds no document"))]


def _events(text: str) -> Iterator[Event]:
    events: Iterator[Event] = YAML(typ="safe", pure=True).parse(text)
    yield from events


def _text(data: bytes) -> tuple[str, Finding | None]:
    if len(data) > LARGEST:
        message = f"the file has {len(data)} bytes; a manifest has at most {LARGEST}"
        return "", _whole("size", message)
    if b"\0" in data:
        return "", _whole("encoding", "the file is binary, not text: it holds a NUL byte")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"the file is not UTF-8 text: byte {error.start + 1} cannot be read"
        return "", _whole("encoding", message)
    if not text.strip():
        return "", _whole("empty", "the file is empty")
    if any(len(word) > _LONGEST_TAG and "!" in word for word in text.split()):
        message = f"a word with `!` in it is longer than {_LONGEST_TAG} characters"
        return "", _whole("size", message)
    return text, None


def _syntax(error: Exception) -> Finding:
    # Either may be missing, whatever the stubs say; a plain exception has neither.
    mark = cast("StreamMark | None", getattr(error, "problem_mark", None))
    problem = cast("str | None", getattr(error, "problem", None)) or str(error).partition("\n")[0]
    message = f"the document is neither YAML nor JSON: {problem[:_LONGEST_MESSAGE]}"
    if mark is None:
        return _whole("syntax", message)
    line = mark.line + 1
    return _whole("syntax", f"{message} (line {line}, column {mark.column + 1})", line=line)


def _whole(keyword: str, message: str, *, line: int = 1) -> Finding:
    return Finding(pointer="", line=line, severity="error", keyword=keyword, message=message)


def _broken(number: int, problem: Finding) -> Document:
    mark = Mark(line=problem.line or 1)
    return Document(number=number, value=None, mark=mark, problems=(problem,))
