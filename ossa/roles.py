"""The role and the access tier of an agent."""

from collections.abc import Mapping

from ossa import sources
from ossa.labels import is_value
from ossa.reader import Found, Reader
from ossa.spec import Sourced
from ossa.values import shown

DEFAULT_ROLE = "agent"
# Least privilege.
DEFAULT_TIER = "tier_1_read"
_TIERS = (DEFAULT_TIER, "tier_2_write_limited", "tier_3_write_elevated", "tier_4_policy")
_SHORT: Mapping[str, str] = dict(
    zip(("read", "limited", "elevated", "policy"), _TIERS, strict=True)
)
# From 0.4.6 on `security.tier` has another fourth tier, and only it.
_ADMIN = "tier_4_system_admin"
_SECURITY = "/security/tier"


def role(reader: Reader) -> Sourced[str]:
    """The exact role: a short one where the document has any, else the prompt itself."""
    found = reader.find(sources.PROMPT)
    if found is None or (isinstance(found.value, str) and not is_value(found.value)):
        found = reader.first(sources.ROLE) or found
    text = reader.text(found) if found is not None else None
    return Sourced(DEFAULT_ROLE) if found is None or text is None else Sourced(text, found.at)


def prompt(reader: Reader) -> Sourced[str | None]:
    """What `spec.role` says, word for word: a template in it is part of a prompt."""
    found = reader.find(sources.PROMPT)
    if found is None or not isinstance(found.value, str):
        return Sourced(None)
    return Sourced(found.value, found.at)


def tier(reader: Reader) -> Sourced[str]:
    """The access tier by its full name; the least one where none is named."""
    found = reader.first(sources.TIER)
    if found is not None and isinstance(found.value, dict):
        found = reader.inner(found, "tier") or found
    text = reader.text(found) if found is not None else None
    if found is None or text is None:
        return Sourced(DEFAULT_TIER)
    return Sourced(_normal(reader, found, text), found.at)


def _normal(reader: Reader, found: Found, text: str) -> str:
    tier = _SHORT.get(text, text)
    allowed = (*_TIERS, _ADMIN) if found.at == _SECURITY else _TIERS
    if tier in allowed:
        return tier
    names = ", ".join(allowed)
    message = f"{shown(text)} is not an access tier; allowed: {names}"
    reader.error(found.at, "enum", message)
    return DEFAULT_TIER
