"""A Redis that runs, whatever kind it is."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from localcloud.redis.choice import Kind


@dataclass(frozen=True)
class RedisServer:
    """A Redis that answers at `url`, which may hold a password."""

    url: str
    kind: Kind
    version: str
    ended: Callable[[], Awaitable[str]]
    """Waits until it ends by itself, and says how."""

    def start_line(self) -> dict[str, str]:
        """Return the facts that a parent process needs."""
        return {"url": self.url, "kind": self.kind, "version": self.version}


async def never() -> str:
    """Wait for the end of what does not end before us."""
    await asyncio.Event().wait()
    return ""
