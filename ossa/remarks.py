"""Breaches of OSSA's own rules that stop no deployment, as real manifests commit them."""

import re
from collections.abc import Iterator

from ossa import sources
from ossa.reader import Reader
from ossa.values import Json, child, kind_of, shown

_SEMVER = re.compile(
    r"(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)"
    r"(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
# The versions that give the words below their types; later ones leave `spec` open again.
_TYPED = re.compile(r"ossa/v(?:1|0\.3(?:\..*)?|0\.4(?:\.[0-5](?:-.*)?)?)")
_DOMAINS = (
    "agents",
    "backend",
    "content",
    "data",
    "development",
    "documentation",
    "frontend",
    "infrastructure",
    "security",
)
_AUTONOMY = ("supervised", "assisted", "semi_autonomous", "autonomous", "fully_autonomous")


def remarks(reader: Reader, api_version: str) -> None:
    """Notes every such breach; what is wrong on a path that the mapping reads is not told here."""
    spec = _inner(reader.document.value, "spec")
    _semver(reader)
    _tools(reader, _inner(spec, "tools"))
    _policies(reader, _inner(spec, "safety", "guardrails", "policies"))
    _phases(reader, _inner(spec, "lifecycle", "phases"))
    _separation(reader, _inner(spec, "separation"))
    if _TYPED.fullmatch(api_version):
        _word(reader, spec, ("taxonomy", "domain"), _DOMAINS)
        _word(reader, spec, ("autonomy", "level"), _AUTONOMY)


def _semver(reader: Reader) -> None:
    found = reader.first(sources.VERSION)
    if found is not None and isinstance(found.value, str) and not _SEMVER.fullmatch(found.value):
        message = f"{shown(found.value)} is not a semantic version; allowed: such as 1.2.3, no v"
        reader.remark(found.at, "pattern", message)


def _tools(reader: Reader, tools: Json) -> None:
    if tools is not None and not isinstance(tools, list):
        reader.remark("/spec/tools", "type", f"tools is {kind_of(tools)}; allowed: a list")
    for at, tool in _items("/spec/tools", tools):
        if not isinstance(tool, dict):
            message = f"a tool is a mapping with a type, got {shown(tool)}"
            reader.remark(at, "type", message)
        elif tool.get("type") is None:
            reader.remark(child(at, "type"), "required", "the tool has no type, such as mcp or api")


def _policies(reader: Reader, policies: Json) -> None:
    for at, policy in _items("/spec/safety/guardrails/policies", policies):
        if not isinstance(policy, dict):
            reader.remark(at, "type", f"a guardrail policy is a mapping, got {shown(policy)}")


def _phases(reader: Reader, phases: Json) -> None:
    for at, phase in _items("/spec/lifecycle/phases", phases):
        if not isinstance(phase, str):
            reader.remark(at, "type", f"a phase is a text, got {shown(phase)}")


def _separation(reader: Reader, separation: Json) -> None:
    role, conflicts = _inner(separation, "role"), _inner(separation, "conflicts_with")
    if role is not None and isinstance(conflicts, list) and role in conflicts:
        message = f"the role {shown(role)} conflicts with itself: conflicts_with names it"
        reader.remark("/spec/separation/role", "conflict", message)


def _word(reader: Reader, spec: Json, path: tuple[str, str], allowed: tuple[str, ...]) -> None:
    block, name = path
    at = f"/spec/{block}/{name}"
    if not isinstance(_inner(spec, block), dict):
        return
    value = _inner(spec, *path)
    if value is None:
        reader.remark(at, "required", f"{name} is missing; allowed: {', '.join(allowed)}")
    elif value not in allowed:
        message = f"{shown(value)} is not a known {name}; allowed: {', '.join(allowed)}"
        reader.remark(at, "enum", message)


def _items(at: str, value: Json) -> Iterator[tuple[str, Json]]:
    if isinstance(value, list):
        yield from ((child(at, index), item) for index, item in enumerate(value))


def _inner(value: Json, *keys: str) -> Json:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value
