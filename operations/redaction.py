"""Text that leaves an operation: bounded, and without the secrets it was given."""

import re
from collections import deque
from collections.abc import Iterable
from urllib.parse import quote, unquote

_LINE = 2_000
_SHORTEST = 6  # A shorter "secret" would blot out ordinary words.
_USER = r"^[A-Za-z][A-Za-z0-9+.-]*://[^:/?#@]*:"
_PASSWORDS = (
    re.compile(_USER + "(.+?)@"),
    # One that nobody has encoded may hold an @ itself.
    re.compile(_USER + "(.+)@"),
    re.compile("[?&]password=([^&#]+)"),
)
# What net/url does not encode in a password.
_AS_IS_IN_GO = "$&+,;=~-_."


class Redactor:
    """Blots out `secrets` wherever they occur."""

    def __init__(self, secrets: Iterable[str]) -> None:
        kept = {secret.strip() for secret in secrets}
        # Longest first: one secret may be part of another.
        self._secrets = sorted((s for s in kept if len(s) >= _SHORTEST), key=len, reverse=True)

    def clean(self, text: str) -> str:
        """`text` without secrets, cut to a bounded length."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text if len(text) <= _LINE else text[:_LINE] + " …"


def passwords(url: str) -> tuple[str, ...]:
    """The password in `url`, if any: as it stands there, decoded, and as Go writes it."""
    raw = [found for pattern in _PASSWORDS for found in pattern.findall(url)]
    clear = [unquote(found) for found in raw]
    written = [quote(found, safe=_AS_IS_IN_GO) for found in clear]
    return tuple(dict.fromkeys((*raw, *clear, *written)))


class Tail:
    """The last lines of an output, however long it was."""

    def __init__(self, redactor: Redactor, lines: int = 200) -> None:
        self._redactor = redactor
        self._lines: deque[str] = deque(maxlen=lines)

    def add(self, line: str) -> None:
        """Keep `line`, redacted."""
        self._lines.append(self._redactor.clean(line.rstrip()))

    @property
    def text(self) -> str:
        """What is kept."""
        return "\n".join(self._lines)
