"""Output of log requests and commands, fetched later from an unauthenticated URL."""

import secrets

from localcloud.vastai.wire import ApiError, Reply


class Results:
    """Texts by token. The first fetch finds nothing, as on the real service."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._asked: set[str] = set()

    def add(self, text: str) -> str:
        """Store a text and return its token."""
        token = secrets.token_hex(16)
        self._texts[token] = text
        return token

    def fetch(self, token: str) -> Reply:
        """Return the text from the second time on."""
        if token not in self._texts:
            raise ApiError(404, "no_such_result", f"no result {token!r}")
        if token not in self._asked:
            self._asked.add(token)
            return Reply("not ready", 403)
        return Reply(self._texts[token])
