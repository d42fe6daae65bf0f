"""The autoscaler's documents in a real Redis."""

import pytest
import redis
from redis.exceptions import RedisError, ResponseError

from autoscaler.remembered import Drain, Remembered
from autoscaler.store import KEPT_DECISIONS, Mode, Store, connect
from tests.redis.server import RedisServer, until

PREFIX = "agent-docker:test:gpu"
MEMORY = Remembered(
    ready={1: 5.0},
    drains={"gpu-a": Drain(contract=1, since=7.0)},
    registered=frozenset({"http://a"}),
)


@pytest.fixture
def store(redis_client: redis.Redis) -> Store:
    return Store(redis=redis_client, prefix=PREFIX)


def test_documents_come_back(store: Store, redis_url: str) -> None:
    store.remember(MEMORY)
    store.set_mode(Mode(kind="fixed", count=2))
    store.report({"leader": True}, seconds=60)
    with connect(redis_url) as other:
        again = Store(redis=other, prefix=PREFIX)
        assert again.remembered() == MEMORY
        assert again.mode() == Mode(kind="fixed", count=2)
        assert again.status() == {"leader": True}


def test_records_are_bounded(store: Store, redis_client: redis.Redis) -> None:
    redis_client.rpush(f"{PREFIX}:decisions", *['{"n": -1}'] * (KEPT_DECISIONS + 50))
    store.decided({"n": 1})
    assert redis_client.llen(f"{PREFIX}:decisions") == KEPT_DECISIONS
    assert store.decisions(2) == [{"n": 1}, {"n": -1}]


def test_a_status_ends_by_itself(store: Store) -> None:
    store.report({"leader": True}, seconds=0.05)
    until(lambda: store.status() is None)


def test_a_key_of_another_type_is_an_error_of_redis(
    store: Store, redis_client: redis.Redis
) -> None:
    redis_client.rpush(f"{PREFIX}:memory", "x")
    redis_client.set(f"{PREFIX}:decisions", "x")
    with pytest.raises(ResponseError):
        store.remembered()
    with pytest.raises(ResponseError):
        store.decided({})


def test_a_redis_that_goes_and_comes_back_is_found_again(
    redis_server: RedisServer, redis_url: str
) -> None:
    with connect(redis_url) as client:
        store = Store(redis=client, prefix=PREFIX)
        store.remember(MEMORY)
        redis_server.stop()
        with pytest.raises(RedisError):
            store.remembered()
        redis_server.start()
        assert store.remembered() == Remembered()
