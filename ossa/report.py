"""What a check found: one report per document, one finding per error or warning."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ossa.spec import AgentSpec
from ossa.values import tokens

Severity = Literal["error", "warning"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong, or that a person should know, at one place of a document.

    `pointer` is a JSON Pointer (RFC 6901), "" is the whole document; `line` counts from 1.
    """

    pointer: str
    line: int | None
    severity: Severity
    keyword: str
    message: str

    @property
    def dotted(self) -> str:
        """The place as people write it: `spec.tools[0].type`."""
        path = ""
        for token in tokens(self.pointer):
            path += f"[{token}]" if token.isdecimal() and path else f".{token}"
        return path.removeprefix(".") or "(document)"


@dataclass(frozen=True, kw_only=True)
class Report:
    """The verdict on one document; `spec` is there exactly when it can be deployed.

    `document` is its number in `file`, from 1.
    """

    file: str
    document: int
    dialect: str | None
    api_version: str | None
    kind: str | None
    name: str | None
    findings: tuple[Finding, ...]
    spec: AgentSpec | None

    @property
    def deployable(self) -> bool:
        """Whether no error stands in the way of a deployment."""
        return self.spec is not None

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that forbid a deployment."""
        return tuple(found for found in self.findings if found.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that do not."""
        return tuple(found for found in self.findings if found.severity == "warning")

    def as_json(self) -> dict[str, object]:
        """The report without its spec, as `json.dumps` takes it."""
        return {
            "file": self.file,
            "document": self.document,
            "dialect": self.dialect,
            "api_version": self.api_version,
            "kind": self.kind,
            "name": self.name,
            "deployable": self.deployable,
            "findings": [
                {
                    "pointer": found.pointer,
                    "line": found.line,
                    "severity": found.severity,
                    "keyword": found.keyword,
                    "message": found.message,
                }
                for found in self.findings
            ],
        }


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each finding once, by place and then by keyword; `[2]` stands before `[10]`."""
    return tuple(sorted(set(findings), key=_place))


def _place(found: Finding) -> tuple[list[tuple[int, str]], str, str]:
    # A number has fewer digits than a greater one.
    path = [(len(key) if key.isdecimal() else 0, key) for key in tokens(found.pointer)]
    return path, found.keyword, found.message
