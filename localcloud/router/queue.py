"""The jobs in Redis: waiting, being processed, put aside. Every move is one step of Redis."""

from collections import Counter

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

CALL_SECONDS = 3.0
ERRORS = (RedisError, OSError)
"""What a call may raise while Redis is away, or not what it should be."""


class JobQueue:
    """A list that producers push to on the left, and what was taken from its right."""

    def __init__(self, url: str, name: str) -> None:
        self.waiting = name
        self.processing = f"{name}:processing"
        self.rejected = f"{name}:rejected"
        self._redis = redis.asyncio.Redis.from_url(
            url,
            socket_timeout=CALL_SECONDS,
            socket_connect_timeout=CALL_SECONDS,
            # A client that repeats a move by itself would take a job that nobody knows of.
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            encoding_errors="surrogateescape",
        )

    async def depth(self) -> int:
        """Return how many jobs wait."""
        return await self._redis.llen(self.waiting)

    async def take(self) -> str | None:
        """Move the job whose turn it is to those being processed; None when none waits."""
        raw = await self._redis.lmove(self.waiting, self.processing, "RIGHT", "LEFT")
        return None if raw is None else str(raw)

    async def drop(self, raw: str) -> None:
        """Forget a job that is done; doing that twice is harmless."""
        await self._redis.lrem(self.processing, 1, raw)

    async def give_back(self, raw: str, *, again: bool = False) -> None:
        """Put a job where it is taken next; `again` when an earlier try may have succeeded."""
        await self._leave(raw, self.waiting, again=again)

    async def reject(self, raw: str, *, again: bool = False) -> None:
        """Put aside what is no job."""
        await self._leave(raw, self.rejected, again=again)

    async def reclaim(self, held: Counter[str]) -> int:
        """Put back what is in nobody's hands, in its old order; return how many."""
        entries = await self._entries()
        orphans = sorted((Counter(entries) - held).elements(), key=entries.index)
        for raw in orphans:
            # One that was dropped meanwhile is not there any more.
            await self._leave(raw, self.waiting, again=True)
        return len(orphans)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _leave(self, raw: str, target: str, *, again: bool) -> None:
        if again and raw not in await self._entries():
            return
        async with self._redis.pipeline(transaction=True) as steps:
            steps.lrem(self.processing, 1, raw)
            steps.rpush(target, raw)
            await steps.execute()

    async def _entries(self) -> list[str]:
        return [str(raw) for raw in await self._redis.lrange(self.processing, 0, -1)]
