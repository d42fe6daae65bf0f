"""The environment of an agent's container, which holds no secrets."""

import re

from ossa import sources
from ossa.reader import Found, Reader
from ossa.spec import Sourced
from ossa.values import child, shown

_NAME = re.compile(r"[-._A-Za-z][-._A-Za-z0-9]*")
_WORDS = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")
_SECRETS = (
    "APIKEY",
    "CREDENTIAL",
    "CREDENTIALS",
    "PASSPHRASE",
    "PASSWD",
    "PASSWORD",
    "PRIVATEKEY",
    "SECRET",
    "SECRETS",
    "TOKEN",
)
_WHOLE = ("KEY", "KEYS")
# What such a name ends with when it tells about a secret instead of holding one.
_ABOUT = ("DIR", "FILE", "HEADER", "ID", "LIMIT", "NAME", "PATH", "PREFIX", "TTL", "TYPE", "URL")


def looks_secret(name: str) -> bool:
    """Whether a variable of that name holds a secret: `API_KEY` and `dbPassword` do."""
    words = [word.rstrip("0123456789").upper() for word in _WORDS.split(name)]
    named = any(word.endswith(_SECRETS) or word in _WHOLE for word in words)
    return named and words[-1] not in _ABOUT


def environment(reader: Reader) -> dict[str, Sourced[str]]:
    """The variables of the first runtime that has any; plain numbers become text."""
    paths = [f"{runtime}.{name}" for runtime in sources.RUNTIMES for name in sources.ENVIRONMENT]
    found = reader.first(paths)
    variables: dict[str, Sourced[str]] = {}
    for name, value in reader.mapping(found).items():
        at = child(found.at if found is not None else "", name)
        text = _value(reader, name, Found(at=at, value=value))
        if text is not None:
            variables[name] = Sourced(text, at)
    return variables


def _value(reader: Reader, name: str, found: Found) -> str | None:
    if not _NAME.fullmatch(name):
        allowed = "letters, digits, - _ and . with no digit first"
        reader.error(found.at, "pattern", f"{shown(name)} names no variable; allowed: {allowed}")
        return None
    if isinstance(found.value, dict | list) or found.value is None:
        # The value is not shown: whoever nests one may hide a secret in it.
        reader.error(found.at, "type", f"{name} is not a plain value; allowed: a text or a number")
        return None
    if looks_secret(name) and found.value != "":
        message = (
            f"{name} looks like a secret, and a manifest is no place for one; remove it here and "
            "take it from a secret of the Pulumi config or from an existing Kubernetes Secret"
        )
        reader.error(found.at, "secret", message)
        return None
    if not reader.resolved(found):
        return None
    if isinstance(found.value, str):
        return found.value
    return str(found.value).lower()
