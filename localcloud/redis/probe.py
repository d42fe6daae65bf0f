"""Asking a Redis whether it is there."""

from dataclasses import dataclass

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from localcloud.redis.choice import RedisUnusable, shown

PROBE_SECONDS = 5.0


@dataclass(frozen=True)
class Probed:
    """What a Redis says of itself; an embedded one knows no INFO, a managed one may forbid it."""

    version: str = "unknown"
    pid: int | None = None


async def probed(url: str, seconds: float = PROBE_SECONDS) -> Probed:
    """Return what answers at a URL, or refuse if nothing does."""
    client = redis.asyncio.Redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )
    try:
        await client.ping()
        return await _asked(client)
    except (RedisError, OSError, ValueError) as error:
        raise RedisUnusable(f"no Redis answers at {shown(url)}: {error}") from None
    finally:
        await client.aclose()


async def _asked(client: redis.asyncio.Redis) -> Probed:
    try:
        facts = await client.info("server")
    except ResponseError:
        return Probed()
    return Probed(str(facts["redis_version"]), int(facts["process_id"]))
