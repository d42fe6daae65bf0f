"""The lease in a real Redis: one holder, whatever happens to Redis and to the holder."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import redis
from redis.exceptions import RedisError

from operations.leadership import Leadership, Renewal
from tests.redis.server import RedisServer, until

NAME = "agent-docker:test:gpu"
LEASE = f"{NAME}:lease"


@pytest.fixture
def connections(redis_server: RedisServer) -> Iterator[list[redis.Redis]]:
    """Three services, each with a connection of its own; a frozen Redis must not hang them."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                redis.Redis.from_url(
                    redis_server.url, decode_responses=True, socket_timeout=0.5, retry=None
                )
            )
            for _ in range(3)
        ]


def test_the_next_one_takes_over_when_the_lease_has_ended(connections: list[redis.Redis]) -> None:
    one, two = (Leadership(c, NAME, ttl=0.2) for c in connections[:2])
    assert one.campaign()
    first = one.fence
    until(two.campaign)
    # By its own clock it had ended before it ended in Redis.
    assert not one.held
    assert first is not None
    assert two.fence is not None
    assert two.fence > first
    assert not one.campaign()


def test_who_renews_keeps_it(connections: list[redis.Redis]) -> None:
    one, two = (Leadership(c, NAME, ttl=30) for c in connections[:2])
    numbers = set()
    for _ in range(20):
        assert one.campaign()
        assert not two.campaign()
        numbers.add(one.fence)
    assert len(numbers) == 1


def test_who_resigns_lets_the_next_one_in_at_once(connections: list[redis.Redis]) -> None:
    one, two = (Leadership(c, NAME, ttl=3600) for c in connections[:2])
    one.campaign()
    two.resign()
    assert not two.campaign()
    one.resign()
    assert two.campaign()


def test_a_redis_that_starts_anew_has_one_holder_above_the_stack(
    redis_server: RedisServer, connections: list[redis.Redis]
) -> None:
    one, two = (Leadership(c, NAME, ttl=3600) for c in connections[:2])
    assert one.campaign(40)
    redis_server.restart()
    until(lambda: _campaigns(two, 41))
    assert two.fence is not None
    assert two.fence > 41
    assert not one.campaign(41)
    assert one.fence is None


def test_a_redis_that_is_away_ends_the_lease_in_time(
    redis_server: RedisServer, connections: list[redis.Redis]
) -> None:
    now = [100.0]
    one = Leadership(connections[0], NAME, ttl=15, clock=lambda: now[0])
    one.campaign()
    redis_server.stop()
    with pytest.raises(RedisError):
        one.campaign()
    assert one.held
    now[0] += 15
    assert not one.held
    one.resign()


def test_a_frozen_redis_does_not_hang_its_holder(
    redis_server: RedisServer, connections: list[redis.Redis]
) -> None:
    one = Leadership(connections[0], NAME, ttl=3600)
    one.campaign()
    with redis_server.frozen(), pytest.raises(RedisError):
        one.campaign()
    until(lambda: _campaigns(one, 0))
    assert one.held


def test_contenders_in_threads_never_hold_one_number_twice(connections: list[redis.Redis]) -> None:
    """Each campaigns and resigns as fast as it can; a number has one holder."""
    begin = threading.Barrier(len(connections))
    held: list[tuple[int, str]] = []
    holding: list[int] = []

    def contend(connection: redis.Redis, holder: str) -> None:
        me = Leadership(connection, NAME, holder=holder, ttl=3600)
        begin.wait(30)
        for _ in range(300):
            if me.campaign():
                assert me.fence is not None
                holding.append(me.fence)
                assert len(holding) == 1
                held.append((me.fence, holder))
                holding.clear()
                me.resign()

    failed: list[BaseException] = []

    def guarded(connection: redis.Redis, holder: str) -> None:
        try:
            contend(connection, holder)
        except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
            failed.append(error)

    threads = [
        threading.Thread(target=guarded, args=(connection, str(number)))
        for number, connection in enumerate(connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert held
    numbers = [fence for fence, _ in held]
    assert len(set(numbers)) == len(numbers)
    assert numbers == sorted(numbers)


def test_renewing_outlives_a_restart_of_redis(
    redis_server: RedisServer, connections: list[redis.Redis], redis_client: redis.Redis
) -> None:
    one = Leadership(connections[0], NAME, ttl=30)
    renewal = Renewal(one, floor=lambda: 5, renew=0.01, retry=0.01)
    renewal.start()
    try:
        assert one.held
        redis_server.stop()
        until(lambda: renewal.error is not None)
        redis_server.start()
        until(lambda: renewal.error is None)
        assert one.held
        assert one.fence is not None
        assert one.fence > 5
        assert redis_client.get(LEASE) == one.holder
    finally:
        renewal.stop()
    assert redis_client.get(LEASE) is None


def _campaigns(one: Leadership, floor: int) -> bool:
    try:
        return one.campaign(floor)
    except RedisError:
        return False
