"""Where ids, secrets and the time come from: the only things that are not a function of a call."""

import secrets
import uuid
from datetime import UTC, datetime
from typing import Protocol


class Source(Protocol):
    """Ids, secrets and the time."""

    def uuid(self) -> str:
        """Return a new UUID, as tunnels and Access have them."""
        ...

    def hexadecimal(self, digits: int) -> str:
        """Return so many new random hexadecimal digits; an even number."""
        ...

    def now(self) -> datetime:
        """Return the time with its zone."""
        ...


class RealSource:
    """The system's clock and randomness."""

    def uuid(self) -> str:
        """Return a random UUID."""
        return str(uuid.uuid4())

    def hexadecimal(self, digits: int) -> str:
        """Return so many random hexadecimal digits."""
        return secrets.token_hex(digits // 2)

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """Return a moment as Cloudflare writes it, in microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
