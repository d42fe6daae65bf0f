"""Reads values out of a document by path, and notes what is wrong with them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ossa.documents import Document
from ossa.report import Finding, Severity
from ossa.scalars import template_in
from ossa.values import Json, child, kind_of, shown, tokens

INT32 = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Found:
    """A value that a document has, and where."""

    at: str
    value: Json


@dataclass
class Reader:
    """Looks paths up in one document; `read` are the pointers that were looked at.

    A path is dotted as in `ossa.sources`, and `ext` stands for the extensions wherever they
    are. A key without a value is absent. Each reading method answers None after it noted an
    error, so that the caller goes on with a default and finds the other errors too.
    `strict` makes errors of the remarks, not of the warnings.
    """

    document: Document
    strict: bool = False
    findings: list[Finding] = field(default_factory=list[Finding])
    read: set[str] = field(default_factory=set[str])

    def find(self, path: str) -> Found | None:
        """What stands at `path`; something other than a mapping on the way is an error."""
        keys = self._keys(path)
        self.read.add("".join(f"/{key}" for key in keys))
        value, at = self.document.value, ""
        for key in keys:
            if not isinstance(value, dict):
                if value is not None:
                    self.wrong_type(Found(at=at, value=value), "a mapping")
                return None
            at = child(at, key)
            value = value.get(key)
        return None if value is None else Found(at=at, value=value)

    def first(self, paths: Iterable[str]) -> Found | None:
        """What stands at the first of `paths` that is present."""
        return next((found for path in paths if (found := self.find(path)) is not None), None)

    def inner(self, found: Found, *names: str) -> Found | None:
        """What the mapping `found` has at the first of `names` that is present."""
        mapping = found.value if isinstance(found.value, dict) else {}
        for name in names:
            if (value := mapping.get(name)) is not None:
                return Found(at=child(found.at, name), value=value)
        return None

    def string(self, found: Found) -> str | None:
        """A text with no template left; it may be blank."""
        if isinstance(found.value, str):
            return found.value if self.resolved(found) else None
        hint = "" if isinstance(found.value, dict | list) else "; write it in quotes"
        self.wrong_type(found, "a text", hint)
        return None

    def text(self, found: Found) -> str | None:
        """A text that is not blank and has no template left."""
        text = self.string(found)
        if text is None or text.strip():
            return text
        self.error(found.at, "required", "is blank; name a value, or remove the key")
        return None

    def matching(
        self, found: Found, pattern: re.Pattern[str], allowed: str, *, longest: int = 63
    ) -> str | None:
        """A text that `pattern` matches as a whole; `allowed` says what that takes."""
        text = self.text(found)
        if text is None or (len(text) <= longest and pattern.fullmatch(text)):
            return text
        self.error(found.at, "pattern", f"{shown(text)} is not allowed; allowed: {allowed}")
        return None

    def resolved(self, found: Found) -> bool:
        """Whether no template is left in a text; one is an error."""
        template = template_in(found.value) if isinstance(found.value, str) else None
        if template is not None:
            message = f"unresolved template {shown(template)}; supply its value, or write it out"
            self.error(found.at, "template", message)
        return template is None

    def integer(self, found: Found, *, least: int, most: int = INT32) -> int | None:
        """A whole number from `least` to `most`; neither `true` nor `"2"` is one."""
        value = found.value
        if not isinstance(value, int) or isinstance(value, bool):
            self.wrong_type(found, "a whole number")
            return None
        if not least <= value <= most:
            allowed = f"a whole number from {least} to {most}"
            self.error(found.at, "range", f"{shown(value)} is out of range; allowed: {allowed}")
            return None
        return value

    def flag(self, found: Found | None, *, default: bool) -> bool:
        """True or false; `default` where there is nothing."""
        if found is None:
            return default
        if isinstance(found.value, bool):
            return found.value
        self.wrong_type(found, "true or false")
        return default

    def mapping(self, found: Found | None) -> dict[str, Json]:
        """A mapping; an empty one where there is nothing."""
        if found is None:
            return {}
        if isinstance(found.value, dict):
            return found.value
        self.wrong_type(found, "a mapping")
        return {}

    def wrong_type(self, found: Found, wanted: str, hint: str = "") -> None:
        """Note that the value is none of what is wanted; a template is told as such."""
        if self.resolved(found):
            got = f"{shown(found.value)} is {kind_of(found.value)}"
            self.error(found.at, "type", f"{got}; allowed: {wanted}{hint}")

    def remark(self, at: str, keyword: str, message: str) -> None:
        """Note what breaks OSSA's rules but no deployment: an error only in strict mode."""
        self._note(at, keyword, message, "error" if self.strict else "warning")

    def error(self, at: str, keyword: str, message: str) -> None:
        """Note what forbids a deployment."""
        self._note(at, keyword, message, "error")

    def warning(self, at: str, keyword: str, message: str) -> None:
        """Note what a person should know."""
        self._note(at, keyword, message, "warning")

    @property
    def legacy(self) -> bool:
        """Whether this is a manifest from before there was an apiVersion."""
        root = self.document.value
        return isinstance(root, dict) and root.get("apiVersion") is None

    @property
    def failed(self) -> bool:
        """Whether an error was noted."""
        return any(found.severity == "error" for found in self.findings)

    def used(self, at: str) -> bool:
        """Whether `at` was looked at, is part of such a value, or holds one that is there."""
        if any(at == one or at.startswith(f"{one}/") for one in self.read):
            return True
        return any(one.startswith(f"{at}/") for one in self.read if self._has(one))

    def _has(self, pointer: str) -> bool:
        value = self.document.value
        for key in tokens(pointer):
            value = value.get(key) if isinstance(value, dict) else None
        return value is not None

    def _keys(self, path: str) -> list[str]:
        keys = path.split(".")
        if keys[0] != "ext":
            return keys
        value = self.document.value
        above = isinstance(value, dict) and value.get("extensions") is not None
        return ["extensions", *keys[1:]] if above else ["spec", "extensions", *keys[1:]]

    def _note(self, at: str, keyword: str, message: str, severity: Severity) -> None:
        line = self.document.line(at)
        self.findings.append(
            Finding(pointer=at, line=line, severity=severity, keyword=keyword, message=message)
        )
