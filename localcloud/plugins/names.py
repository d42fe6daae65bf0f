"""What a resource's URN says of it, and the names that nobody chose."""

import hashlib
import secrets
from typing import TypeVar

from localcloud.plugins.model import ResourceType
from localcloud.plugins.values import Properties

T = TypeVar("T")

_RANDOM_DIGITS = 7


def type_of(urn: str) -> str:
    """The type token of a URN (urn:pulumi:stack::project::parent$type::name)."""
    return urn.split("::", 3)[2].rsplit("$", 1)[-1]


def name_of(urn: str) -> str:
    """The resource's name in the program; empty without a URN."""
    return urn.split("::", 3)[3] if urn else ""


def filled(
    kind: ResourceType[T], news: Properties, olds: Properties, urn: str, seed: bytes
) -> Properties:
    """Return the inputs with the type's defaults and, if it has one, its automatic name."""
    values = {**kind.defaults, **news}
    if kind.autoname is not None and values.get(kind.autoname) is None:
        before = olds.get(kind.autoname)
        values[kind.autoname] = before if before is not None else _automatic(urn, seed)
    return Properties(values, secret=news.secret, words=news.words)


def _automatic(urn: str, seed: bytes) -> str:
    # The engine's seed repeats, so that a preview and its update choose the same.
    digits = hashlib.sha256(seed).hexdigest() if seed else secrets.token_hex(_RANDOM_DIGITS)
    return f"{name_of(urn)}-{digits[:_RANDOM_DIGITS]}"
