"""The lease, in a Redis of this process; tests/redis asks a real one."""

from collections.abc import Callable, Iterator

import fakeredis
import pytest
from redis import Redis, WatchError
from redis.exceptions import ConnectionError as RedisGone

from operations import leadership
from operations.leadership import Leadership, Renewal
from tests.unit.autoscaler_fakes import Time

NAME = "agent-docker:test:gpu"
LEASE, COUNTER = f"{NAME}:lease", f"{NAME}:fence"


@pytest.fixture
def server() -> fakeredis.FakeServer:
    return fakeredis.FakeServer(version=(7,))


@pytest.fixture(params=[True, False], ids=["text", "bytes"])
def redis(server: fakeredis.FakeServer, request: pytest.FixtureRequest) -> Iterator[Redis]:
    with fakeredis.FakeRedis(server=server, decode_responses=request.param) as client:
        yield client


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def contender(redis: Redis, time: Time) -> Callable[[str], Leadership]:
    return lambda holder: Leadership(redis, NAME, holder=holder, clock=lambda: time.mono)


Contender = Callable[[str], Leadership]


def test_one_holds_it_and_renews_under_the_same_number(contender: Contender, time: Time) -> None:
    one, two = contender("one"), contender("two")
    assert not one.held
    assert one.left == 0
    assert one.campaign()
    first = one.fence
    assert (one.held, one.left) == (True, 15)
    assert not two.campaign()
    assert (two.held, two.fence, two.left) == (False, None, 0)
    time.pass_(14)
    assert one.left == 1
    assert one.campaign()
    assert (one.fence, one.left) == (first, 15)


def test_it_is_given_up_in_time_without_a_word_from_redis(
    contender: Contender, time: Time, server: fakeredis.FakeServer
) -> None:
    one = contender("one")
    one.campaign()
    server.connected = False
    with pytest.raises(RedisGone):
        one.campaign()
    assert one.held
    time.pass_(15)
    assert not one.held
    assert one.left == 0


def test_a_slow_answer_does_not_lengthen_it(redis: Redis, time: Time) -> None:
    def clock() -> float:
        time.pass_(4)
        return time.mono

    one = Leadership(redis, NAME, clock=clock)
    began = time.mono
    one.campaign()
    assert one._until <= began + 4 + 15


def test_a_takeover_after_its_end_has_a_higher_number(contender: Contender, redis: Redis) -> None:
    one, two = contender("one"), contender("two")
    one.campaign()
    numbers = [one.fence]
    redis.delete(LEASE)
    assert two.campaign()
    numbers.append(two.fence)
    assert not one.campaign()
    assert one.fence is None
    redis.delete(LEASE)
    assert one.campaign()
    numbers.append(one.fence)
    assert numbers == sorted({n for n in numbers if n is not None})


def test_the_lease_ends_by_itself(contender: Contender, redis: Redis) -> None:
    contender("one").campaign()
    left = redis.pttl(LEASE)
    assert 0 < left <= 15_000


@pytest.mark.parametrize("floor", [0, 5, 10**6])
def test_the_number_is_above_what_the_stack_records(contender: Contender, floor: int) -> None:
    one = contender("one")
    one.campaign(floor)
    assert one.fence is not None
    assert one.fence > floor


def test_a_stack_that_is_ahead_gives_a_holder_a_new_number(contender: Contender) -> None:
    one = contender("one")
    one.campaign()
    assert one.fence is not None
    first = one.fence
    one.campaign(first)
    assert one.fence == first
    one.campaign(first + 7)
    assert one.fence == first + 8
    one.campaign(first + 8)
    assert one.fence == first + 8


def test_a_holder_that_was_restarted_gets_a_new_number(contender: Contender) -> None:
    before, again = contender("one"), contender("one")
    before.campaign()
    assert again.campaign()
    assert before.fence is not None
    assert again.fence == before.fence + 1


def test_a_redis_that_forgot_everything_gives_its_holder_no_old_number(
    contender: Contender, redis: Redis
) -> None:
    one, two = contender("one"), contender("two")
    for current in (one, two, one, two):
        redis.delete(LEASE)
        current.campaign()
    old = two.fence
    redis.flushall()
    two.campaign()
    assert old is not None
    assert two.fence is not None
    assert two.fence > old


def test_a_redis_that_forgot_everything_gives_nobody_an_old_number(
    contender: Contender, redis: Redis
) -> None:
    one, two, three = contender("one"), contender("two"), contender("three")
    for current in (one, two):
        redis.delete(LEASE)
        current.campaign()
    old = two.fence
    redis.flushall()
    three.campaign()
    assert old is not None
    assert three.fence is not None
    assert three.fence > old


def test_two_at_the_same_moment_leave_one_holder(
    contender: Contender, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = contender("one"), contender("two")
    text = leadership._text

    def interrupted(value: object) -> str | None:
        monkeypatch.setattr(leadership, "_text", text)
        assert two.campaign()
        return text(value)

    monkeypatch.setattr(leadership, "_text", interrupted)
    assert not one.campaign()
    assert (one.held, two.held) == (False, True)
    assert text(redis.get(LEASE)) == "two"


def test_who_resigns_lets_the_next_one_in(contender: Contender, redis: Redis) -> None:
    one, two = contender("one"), contender("two")
    one.resign()
    one.campaign()
    one.resign()
    assert not one.held
    assert redis.get(LEASE) is None
    assert two.campaign()
    assert two.fence is not None


def test_who_resigns_late_takes_nothing_from_the_next(contender: Contender, redis: Redis) -> None:
    one, two = contender("one"), contender("two")
    one.campaign()
    redis.delete(LEASE)
    two.campaign()
    one.resign()
    assert leadership._text(redis.get(LEASE)) == "two"


@pytest.mark.parametrize("error", [RedisGone("x"), WatchError("x")])
def test_resigning_never_fails(
    contender: Contender, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    one = contender("one")
    one.campaign()

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("redis.client.Pipeline.watch", fail)
    one.resign()
    assert not one.held


# Renewing.


def test_it_campaigns_at_once_and_gives_up_at_its_end(contender: Contender, redis: Redis) -> None:
    renewal = Renewal(contender("one"), floor=lambda: 3, renew=3600)
    renewal.start()
    assert int(leadership._text(redis.get(COUNTER)) or 0) > 3
    assert renewal.error is None
    renewal.stop()
    assert redis.get(LEASE) is None


def test_it_goes_on_while_redis_is_away(
    contender: Contender, server: fakeredis.FakeServer, redis: Redis
) -> None:
    renewal = Renewal(contender("one"), floor=lambda: 0, renew=0.001)
    server.connected = False
    renewal._turn()
    assert renewal.error == "Redis does not answer (ConnectionError)"
    server.connected = True
    renewal.start()
    assert renewal.error is None
    renewal.stop()
    assert redis.get(LEASE) is None


def test_it_tells_when_it_is_won(contender: Contender, redis: Redis) -> None:
    contender("two").campaign()
    won: list[str] = []
    one = contender("one")
    renewal = Renewal(one, floor=lambda: 0, won=lambda: won.append("won"))
    renewal._turn()
    assert won == []
    redis.delete(LEASE)
    renewal._turn()
    renewal._turn()
    assert won == ["won"]


def test_a_counter_that_is_no_number_does_not_end_the_renewing(
    contender: Contender, redis: Redis
) -> None:
    redis.set(COUNTER, "nonsense")
    one = contender("one")
    renewal = Renewal(one, floor=lambda: 6, renew=3600)
    renewal._turn()
    assert renewal.error or (one.fence or 0) > 6


def test_one_that_never_began_can_be_stopped(contender: Contender) -> None:
    Renewal(contender("one"), floor=lambda: 0).stop()


def test_a_holder_that_hangs_leaves_the_lease_to_others(
    contender: Contender, redis: Redis, time: Time
) -> None:
    lives = True
    one, two = contender("one"), contender("two")
    renewal = Renewal(one, floor=lambda: 0, alive=lambda: lives)
    renewal._turn()
    assert one.held
    lives = False
    time.pass_(10)
    renewal._turn()
    assert one.left == 5
    assert renewal.error == "what the lease is for hangs, so the lease is left to others"
    time.pass_(5)
    redis.delete(LEASE)
    renewal._turn()
    assert not one.held
    assert two.campaign()
    redis.delete(LEASE)
    lives = True
    renewal._turn()
    assert one.held
    assert renewal.error is None
