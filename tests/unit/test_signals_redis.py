"""The Redis kinds against a Redis in this process; tests/redis asks a real one the same."""

from collections.abc import Iterator

import fakeredis
import pytest
from redis import AuthenticationError, Redis, ResponseError

from autoscaler.model import Reading
from autoscaler.signals import Signal, SignalUnreadable, make_signal, redis_link, redis_stream
from tests.unit.test_signals_settings import settings

URL = "redis://user:c4nary%2Fpw@r.test:6380/2"
AT = 1_700_000_000.25


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    """What every signal of the test connects to."""
    server = fakeredis.FakeServer(version=(7,))

    def connect(url: str) -> Redis:
        return fakeredis.FakeRedis.from_url(url, server=server, decode_responses=True)

    monkeypatch.setattr(redis_link, "connect", connect)
    with fakeredis.FakeRedis(server=server, db=2, decode_responses=True) as client:
        yield client


def signal(kind: str, **changes: object) -> Signal:
    return make_signal(settings(kind, **changes), redis_url=URL, env={}, now=lambda: AT)


def read(kind: str, **changes: object) -> Reading:
    made = signal(kind, **changes)
    try:
        return made.read()
    finally:
        made.close()


def refusal(kind: str, **changes: object) -> SignalUnreadable:
    with pytest.raises(SignalUnreadable) as caught:
        read(kind, **changes)
    assert "c4nary" not in str(caught.value)
    return caught.value


# Lists.


def test_a_list_that_is_not_there_is_an_empty_queue(redis: Redis) -> None:
    assert read("redis-list") == Reading(depth=0, at=AT)
    assert read("redis-list", inFlight="busy") == Reading(depth=0, in_flight=0, at=AT)
    assert redis.dbsize() == 0


def test_celery_queues_are_a_list_per_priority(redis: Redis) -> None:
    redis.rpush("jobs", "a", "b")
    redis.rpush("jobs\x06\x163", "c")
    redis.rpush("jobs\x06\x169", "d")
    assert read("redis-list").depth == 2
    assert read("redis-list", priorities=[0, 3, 6, 9]).depth == 4
    assert read("redis-list", priorities=[3, 3]).depth == 3
    redis.rpush("jobs:3", "e")
    assert read("redis-list", priorities=[3], separator=":").depth == 3


def test_what_is_in_flight_may_be_kept_in_any_collection(redis: Redis) -> None:
    redis.rpush("list", "a")
    redis.sadd("set", "a", "b")
    redis.zadd("zset", {"a": 1, "b": 2, "c": 3})
    redis.hset("hash", mapping={"a": "1", "b": "2", "c": "3", "d": "4"})
    counted = [
        read("redis-list", inFlight=key).in_flight for key in ("list", "set", "zset", "hash")
    ]
    assert counted == [1, 2, 3, 4]


def test_a_key_of_the_wrong_type_is_named(redis: Redis) -> None:
    redis.set("jobs", "x")
    message = "'jobs' at redis://r.test:6380/2 is a string, expected a list"
    assert str(refusal("redis-list")) == message
    redis.delete("jobs")
    redis.set("busy", "x")
    assert "'busy' at redis://r.test:6380/2 is a string, expected a list, set" in str(
        refusal("redis-list", inFlight="busy")
    )


# Streams.


def test_a_group_says_what_waits_and_what_is_pending(redis: Redis) -> None:
    redis.xgroup_create("jobs", "others", "0", mkstream=True)
    redis.xgroup_create("jobs", "workers", "0")
    for number in range(5):
        redis.xadd("jobs", {"n": number})
    redis.xreadgroup("workers", "w1", {"jobs": ">"}, count=2)
    assert read("redis-stream") == Reading(depth=3, in_flight=2, at=AT)


@pytest.mark.parametrize("page", [1, 2, 500])
def test_a_lag_that_is_not_known_is_counted(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(redis_stream, "_PAGE", page)
    ids = [str(redis.xadd("jobs", {"n": number})) for number in range(6)]
    redis.xgroup_create("jobs", "workers", ids[1])
    look = redis_link.RedisLink.look

    def without_lag(link: redis_link.RedisLink, *commands: redis_link.Command) -> list[object]:
        answers = look(link, *commands)
        if commands[0][0] == "XINFO GROUPS":
            answers[0] = [{**row, "lag": None} for row in answers[0]]
        return answers

    monkeypatch.setattr(redis_link.RedisLink, "look", without_lag)
    assert read("redis-stream").depth == 4
    monkeypatch.setattr(redis_stream, "_MOST_COUNTED", 2)
    assert read("redis-stream").depth == (4 if page == 500 else 2)
    clock = iter((0.0, 5.1))
    monkeypatch.setattr(redis_stream, "monotonic", lambda: next(clock))
    assert str(refusal("redis-stream")).endswith("was not counted within 5 s")


@pytest.mark.parametrize("exists", [True, False])
def test_a_group_that_is_not_there_is_an_error_that_names_the_fix(
    redis: Redis, *, exists: bool
) -> None:
    if exists:
        redis.xadd("jobs", {"n": 1})
    error = refusal("redis-stream")
    assert error.message == "'jobs' at redis://r.test:6380/2 has no consumer group 'workers'"
    assert error.hint == "create it: XGROUP CREATE jobs workers 0 MKSTREAM"


def test_a_stream_of_the_wrong_type_is_named(redis: Redis) -> None:
    redis.rpush("jobs", "x")
    message = "'jobs' at redis://r.test:6380/2 is a list, expected a stream"
    assert str(refusal("redis-stream")) == message


# BullMQ.


def test_bullmq_counts_what_a_worker_would_take_now(redis: Redis) -> None:
    due = int(AT * 1000)
    redis.rpush("bull:infer:wait", "1", "2")
    redis.rpush("bull:infer:paused", "3")
    redis.zadd("bull:infer:prioritized", {"4": 1})
    redis.zadd("bull:infer:delayed", {"5": due * 0x1000 + 7, "6": (due + 1) * 0x1000})
    redis.zadd("bull:infer:marker", {"0": 0})
    redis.rpush("bull:infer:active", "7", "8")
    assert read("bullmq") == Reading(depth=5, in_flight=2, at=AT)
    assert read("bullmq", prefix="other") == Reading(depth=0, in_flight=0, at=AT)


@pytest.mark.parametrize(
    ("jobs", "depth"),
    [
        (["0:17"], 0),
        (["0:17", "1"], 1),
        (["1", "0:0"], 1),
        (["10", "20"], 2),
        (["0:0", "1", "0:1"], 1),
    ],
)
def test_markers_in_the_waiting_list_are_no_jobs(redis: Redis, jobs: list[str], depth: int) -> None:
    redis.rpush("bull:infer:wait", *jobs)
    assert read("bullmq").depth == depth


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("wait", "a list"),
        ("paused", "a list"),
        ("active", "a list"),
        ("prioritized", "a sorted set"),
        ("delayed", "a sorted set"),
    ],
)
def test_a_bullmq_key_of_the_wrong_type_is_named(redis: Redis, name: str, expected: str) -> None:
    redis.set(f"bull:infer:{name}", "x")
    assert str(refusal("bullmq")).endswith(f" is a string, expected {expected}")
    assert f"'bull:infer:{name}' at redis://r.test:6380/2" in str(refusal("bullmq"))


# What Redis answers besides.


@pytest.mark.usefixtures("redis")
@pytest.mark.parametrize("kind", ["redis-list", "redis-stream", "bullmq"])
@pytest.mark.parametrize("lag", [-1, 10**9 + 1])
def test_a_length_that_cannot_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, kind: str, lag: int
) -> None:
    row = {"name": "workers", "pending": 0, "lag": lag}

    def look(_: object, *commands: redis_link.Command) -> list[object]:
        return [
            [row] if c[0] == "XINFO GROUPS" else None if c[0] == "LINDEX" else lag for c in commands
        ]

    monkeypatch.setattr(redis_link.RedisLink, "look", look)
    assert "expected a number from 0 to 10^9" in str(refusal(kind))


@pytest.mark.usefixtures("redis")
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (AuthenticationError("bad c4nary/pw"), "refuses the login: bad ***"),
        (ResponseError("HELLO 3 AUTH user c4nary%2Fpw"), "cannot be read: HELLO 3 AUTH user ***"),
        (OSError("gone"), "cannot be read: gone"),
    ],
)
def test_no_answer_shows_the_password(
    monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def execute(*_: object, **__: object) -> object:
        raise error

    made = signal("redis-list")
    monkeypatch.setattr("redis.client.Pipeline.execute", execute)
    monkeypatch.setattr("fakeredis.FakeRedis.pipeline", lambda self, **_: _pipeline(self))
    with pytest.raises(SignalUnreadable) as caught:
        made.read()
    made.close()
    assert caught.value.message == f"redis://r.test:6380/2 {said}"


def _pipeline(client: Redis) -> object:
    return Redis.pipeline(client)


@pytest.mark.usefixtures("redis")
def test_another_refusal_of_one_key_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(_: object, *commands: redis_link.Command) -> list[object]:
        return [ResponseError("NOPERM no access to c4nary/pw")] * len(commands)

    monkeypatch.setattr(redis_link.RedisLink, "look", look)
    assert str(refusal("redis-list")) == "'jobs' at redis://r.test:6380/2: NOPERM no access to ***"


def test_a_client_waits_shortly_and_only_once() -> None:
    client = redis_link.connect("redis://r.test")
    given = client.connection_pool.connection_kwargs
    assert (given["socket_timeout"], given["socket_connect_timeout"]) == (3.0, 3.0)
    assert (given["retry"].get_retries(), given["protocol"]) == (0, 2)
    client.close()


def test_a_socket_is_named_by_its_path() -> None:
    link = redis_link.RedisLink(None, "unix://user@/run/redis.sock?db=2&password=c4nary")
    assert link.name == "unix:///run/redis.sock"
    link.close()
