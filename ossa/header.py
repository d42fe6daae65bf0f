"""What a document says it is: its dialect, its version and its kind."""

import re
from dataclasses import dataclass
from typing import Literal

from ossa.reader import Found, Reader
from ossa.spec import Sourced
from ossa.values import Json, kind_of, shown

Dialect = Literal["ossa", "bluefly", "legacy"]

BLUEFLY = "@bluefly/ossa/v0.1.9"
_VERSION = re.compile(
    r"ossa/v(?:1|0\.2\.[2-9](?:-[0-9A-Za-z.-]+)?"
    r"|0\.[345](?:\.(?:0|[1-9][0-9]*)(?:-[0-9A-Za-z.-]+)?)?)"
)
_SUPPORTED = (
    "ossa/v1, ossa/v0.2.2 to ossa/v0.2.9, ossa/v0.3, ossa/v0.4 and ossa/v0.5 "
    f"with any patch and prerelease, {BLUEFLY}"
)
_LEGACY = ("0.1.9", "1.0")

AGENT = "Agent"
# What OSSA documents may also be; none of them is a program that keeps running.
_NOT_DEPLOYABLE = frozenset(
    {
        "AgentMesh",
        "AgentRegistry",
        "ComplianceConfiguration",
        "ExtensionSchema",
        "Flow",
        "MessageRouting",
        "SecurityPolicy",
        "Skill",
        "Task",
        "TaxonomySpec",
        "ToolPolicy",
        "Validator",
        "Workflow",
    }
)


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a document is; None for what it does not say, or says wrongly.

    `known_kind` is whether the rest may be judged: without the kind nothing has a meaning.
    """

    dialect: Dialect | None
    api_version: Sourced[str] | None
    kind: str | None
    known_kind: bool


def header(reader: Reader) -> Header:
    """Reads the root keys; a wrong kind is the only finding, for all else would follow from it."""
    root = reader.document.value
    if not isinstance(root, dict):
        reader.error("", "type", f"{shown(root)} is {kind_of(root)}; a manifest is a mapping")
        return Header(dialect=None, api_version=None, kind=None, known_kind=False)
    version = reader.find("apiVersion")
    if version is None and ("ossaVersion" in root or "agent" in root):
        return _legacy(reader, root.get("agent"))
    kind = reader.find("kind")
    name = kind.value if kind is not None and isinstance(kind.value, str) else None
    if version is None and kind is None:
        message = "is missing, and so is ossaVersion: this is no OSSA manifest"
        reader.error("/apiVersion", "required", f"apiVersion {message}; allowed: {_SUPPORTED}")
        return Header(dialect=None, api_version=None, kind=None, known_kind=False)
    known = _kind(reader, kind)
    found = _api_version(reader, version) if known else None
    bluefly = version is not None and version.value == BLUEFLY
    return Header(
        dialect="bluefly" if bluefly else "ossa",
        api_version=found,
        kind=name,
        known_kind=known,
    )


def version_text(reader: Reader) -> str | None:
    """The apiVersion as the document has it, right or wrong."""
    found = reader.find("apiVersion")
    return found.value if found is not None and isinstance(found.value, str) else None


def _legacy(reader: Reader, agent: Json) -> Header:
    found = reader.find("ossaVersion")
    version = None
    if found is None:
        allowed = "1.0, 0.1.9"
        reader.error("/ossaVersion", "required", f"ossaVersion is missing; allowed: {allowed}")
    elif (text := reader.text(found)) is not None:
        version = _legacy_version(reader, found, text)
    if agent is None:
        reader.error("/agent", "required", "agent is missing: ossaVersion describes an agent")
    return Header(dialect="legacy", api_version=version, kind=None, known_kind=agent is not None)


def _legacy_version(reader: Reader, found: Found, text: str) -> Sourced[str] | None:
    if text in _LEGACY:
        return Sourced(f"ossa/v{text}", found.at)
    allowed = ", ".join(reversed(_LEGACY))
    reader.error(
        found.at, "apiVersion", f"unsupported ossaVersion {shown(text)}; allowed: {allowed}"
    )
    return None


def _kind(reader: Reader, kind: Found | None) -> bool:
    if kind is None:
        reader.error("/kind", "required", f"kind is missing; allowed: {AGENT}")
        return False
    text = reader.text(kind)
    if text in _NOT_DEPLOYABLE:
        message = f"kind {text} is not deployable as a Deployment; allowed: {AGENT}"
        reader.error("/kind", "kind", message)
    elif text is not None and text != AGENT:
        message = f"kind {shown(text)} is not a kind of OSSA; allowed: {AGENT}"
        reader.error("/kind", "kind", message)
    return text == AGENT


def _api_version(reader: Reader, version: Found | None) -> Sourced[str] | None:
    if version is None:
        message = f"apiVersion is missing; allowed: {_SUPPORTED}"
        reader.error("/apiVersion", "required", message)
        return None
    text = reader.text(version)
    if text is None:
        return None
    if text == BLUEFLY or _VERSION.fullmatch(text):
        return Sourced(text, version.at)
    message = f"unsupported apiVersion {shown(text)}; allowed: {_SUPPORTED}"
    reader.error(version.at, "apiVersion", message)
    return None
