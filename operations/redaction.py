"""Text that leaves an operation: bounded, and without the secrets it was given."""

from collections import deque
from collections.abc import Iterable

_LINE = 2_000
_SHORTEST = 6  # A shorter "secret" would blot out ordinary words.


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
