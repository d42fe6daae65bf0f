"""A real Redis for every test of this tier, empty at its beginning."""

from collections.abc import Iterator

import pytest
import redis

from tests.redis.server import RedisServer, running_redis


@pytest.fixture(scope="session")
def _session_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_server(_session_redis: RedisServer) -> RedisServer:
    """The handle: it can be stopped, started, frozen; the next test finds it running and empty."""
    _session_redis.reset()
    return _session_redis


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    return redis_server.url


@pytest.fixture
def redis_client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """For putting things in."""
    with redis_server.client() as client:
        yield client
