"""The Redis kinds against a real server: its own errors, its own lag, its own failures."""

import signal as signals
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import OutOfMemoryError, Redis

from autoscaler.model import Reading
from autoscaler.signals import Signal, SignalUnreadable, make_signal, redis_stream
from tests.ports import free_port
from tests.redis.server import RedisServer, running_redis
from tests.unit.test_signals_settings import settings

AT = 1_700_000_000.25
KINDS = ("redis-list", "redis-stream", "bullmq")
SECRET = "p/ss-canary"  # noqa: S105 - that is what it is
Make = Callable[..., Signal]


@pytest.fixture
def make(redis_url: str) -> Iterator[Make]:
    made: list[Signal] = []

    def build(kind: str, *, redis_url: str = redis_url, **changes: object) -> Signal:
        chosen = settings(kind, **changes)
        made.append(make_signal(chosen, redis_url=redis_url, env={}, now=lambda: AT))
        return made[-1]

    yield build
    for signal in made:
        signal.close()


def refusal(signal: Signal) -> SignalUnreadable:
    with pytest.raises(SignalUnreadable) as caught:
        signal.read()
    assert "canary" not in str(caught.value)
    return caught.value


# What is read.


def test_lists_and_what_is_in_flight(make: Make, redis_client: Redis) -> None:
    signal = make("redis-list", priorities=[0, 3], inFlight="unacked")
    assert signal.read() == Reading(depth=0, in_flight=0, at=AT)
    redis_client.rpush("jobs", *range(500))
    redis_client.rpush("jobs\x06\x163", b"\xff\xfe")
    redis_client.hset("unacked", mapping={"a": "1", "b": "2"})
    assert signal.read() == Reading(depth=501, in_flight=2, at=AT)
    for kind, fill in (
        ("list", lambda: redis_client.rpush("unacked", "a")),
        ("set", lambda: redis_client.sadd("unacked", "a")),
        ("zset", lambda: redis_client.zadd("unacked", {"a": 1})),
    ):
        redis_client.delete("unacked")
        fill()
        assert signal.read().in_flight == 1, kind


def test_a_look_moves_nothing(make: Make, redis_client: Redis) -> None:
    redis_client.rpush("jobs", "a")
    redis_client.rpush("bull:infer:wait", "0:17", "1")
    for kind in ("redis-list", "bullmq"):
        make(kind).read()
    assert redis_client.lrange("bull:infer:wait", 0, -1) == ["0:17", "1"]
    assert redis_client.lrange("jobs", 0, -1) == ["a"]


def test_a_group_and_its_pending_entries(make: Make, redis_client: Redis) -> None:
    redis_client.xgroup_create("jobs", "workers", "$", mkstream=True)
    signal = make("redis-stream")
    assert signal.read() == Reading(depth=0, in_flight=0, at=AT)
    ids = [str(redis_client.xadd("jobs", {"n": n})) for n in range(10)]
    assert signal.read() == Reading(depth=10, in_flight=0, at=AT)
    redis_client.xreadgroup("workers", "w1", {"jobs": ">"}, count=4)
    assert signal.read() == Reading(depth=6, in_flight=4, at=AT)
    redis_client.xack("jobs", "workers", *ids[:3])
    assert signal.read() == Reading(depth=6, in_flight=1, at=AT)


@pytest.mark.parametrize("page", [2, 500])
def test_a_lag_that_redis_lost_is_counted(
    make: Make, redis_client: Redis, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(redis_stream, "_PAGE", page)
    redis_client.xgroup_create("jobs", "workers", "0", mkstream=True)
    ids = [str(redis_client.xadd("jobs", {"n": n})) for n in range(10)]
    redis_client.xreadgroup("workers", "w1", {"jobs": ">"}, count=4)
    redis_client.xdel("jobs", ids[6])
    assert redis_client.xinfo_groups("jobs")[0]["lag"] is None
    assert make("redis-stream").read() == Reading(depth=5, in_flight=4, at=AT)
    redis_client.xtrim("jobs", maxlen=2, approximate=False)
    assert make("redis-stream").read() == Reading(depth=2, in_flight=4, at=AT)


@pytest.mark.parametrize("start", ["0", "$"])
def test_a_stream_trimmed_to_nothing_has_nothing_waiting(
    make: Make, redis_client: Redis, start: str
) -> None:
    for n in range(5):
        redis_client.xadd("jobs", {"n": n})
    redis_client.xgroup_create("jobs", "workers", start)
    redis_client.xtrim("jobs", maxlen=0, approximate=False)
    assert make("redis-stream").read() == Reading(depth=0, in_flight=0, at=AT)


def test_a_group_begun_in_the_middle_counts_from_there(make: Make, redis_client: Redis) -> None:
    ids = [str(redis_client.xadd("jobs", {"n": n})) for n in range(5)]
    redis_client.xgroup_create("jobs", "workers", ids[1])
    assert redis_client.xinfo_groups("jobs")[0]["lag"] is None
    assert make("redis-stream").read().depth == 3


@pytest.mark.parametrize(
    ("kind", "wait", "busy"),
    [("redis-list", "jobs", "busy"), ("bullmq", "bull:infer:wait", "bull:infer:active")],
)
def test_a_reading_is_one_moment(
    make: Make, redis_client: Redis, kind: str, wait: str, busy: str
) -> None:
    """A job that moves from one key to the other is never seen twice or not at all."""
    redis_client.rpush(wait, *range(50))
    signal = make(kind, **({"inFlight": busy} if kind == "redis-list" else {}))
    done = threading.Event()

    def shuttle() -> None:
        while not done.is_set():
            redis_client.lmove(wait, busy)
            redis_client.lmove(busy, wait)

    mover = threading.Thread(target=shuttle)
    mover.start()
    try:
        for _ in range(200):
            reading = signal.read()
            assert reading.depth + (reading.in_flight or 0) == 50
    finally:
        done.set()
        mover.join()


# What cannot be read.


@pytest.mark.parametrize(
    ("kind", "key", "expected"),
    [
        ("redis-list", "jobs", "a list"),
        ("redis-list", "busy", "a list, set, sorted set or hash"),
        ("redis-stream", "jobs", "a stream"),
        ("bullmq", "bull:infer:wait", "a list"),
        ("bullmq", "bull:infer:delayed", "a sorted set"),
    ],
)
def test_a_key_of_the_wrong_type_is_named(
    make: Make, redis_client: Redis, redis_server: RedisServer, kind: str, key: str, expected: str
) -> None:
    redis_client.set(key, "x")
    signal = make(kind, **({"inFlight": "busy"} if kind == "redis-list" else {}))
    name = f"redis://127.0.0.1:{redis_server.port}/0"
    assert str(refusal(signal)) == f"{key!r} at {name} is a string, expected {expected}"
    redis_client.delete(key)
    if kind != "redis-stream":
        assert signal.read().depth == 0


@pytest.mark.parametrize("exists", [True, False])
def test_a_group_that_is_not_there_names_the_fix(
    make: Make, redis_client: Redis, *, exists: bool
) -> None:
    if exists:
        redis_client.xadd("jobs", {"n": 1})
    signal = make("redis-stream")
    error = refusal(signal)
    assert error.hint == "create it: XGROUP CREATE jobs workers 0 MKSTREAM"
    redis_client.execute_command(*str(error.hint).removeprefix("create it: ").split())
    assert signal.read().depth == exists


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_not_there_is_told(make: Make, kind: str) -> None:
    signal = make(kind, redis_url=f"redis://:canary@127.0.0.1:{free_port()}/0")
    assert "cannot be read: Error 111 connecting to 127.0.0.1" in str(refusal(signal))


@pytest.mark.parametrize("number", [signals.SIGTERM, signals.SIGKILL])
def test_a_connection_that_broke_is_made_anew(
    make: Make, redis_server: RedisServer, number: int
) -> None:
    signal = make("redis-list")
    assert signal.read().depth == 0
    redis_server.stop(number)
    refusal(signal)
    redis_server.start()
    with redis_server.client() as client:
        client.rpush("jobs", "a")
    assert signal.read().depth == 1


def test_a_server_restarted_between_two_reads_is_not_noticed(
    make: Make, redis_server: RedisServer
) -> None:
    signal = make("bullmq")
    assert signal.read().depth == 0
    redis_server.restart()
    assert signal.read().depth == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_hangs_is_given_up_and_read_again(
    make: Make, redis_server: RedisServer, redis_client: Redis, kind: str
) -> None:
    redis_client.xgroup_create("jobs", "workers", "0", mkstream=True)
    queue = {} if kind == "redis-stream" else {"queue": "other"}
    signal = make(kind, redis_url=f"{redis_server.url}?socket_timeout=0.1", **queue)
    assert signal.read().depth == 0
    with redis_server.frozen():
        assert "cannot be read: Timeout" in str(refusal(signal))
    assert signal.read().depth == 0


def test_what_speaks_no_redis_is_told(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        def answer() -> None:
            peer, _ = other.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert "cannot be read: " in str(
            refusal(make("redis-list", redis_url=f"redis://127.0.0.1:{port}"))
        )
        thread.join()


# Passwords.


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path, "--requirepass", SECRET) as server:
        yield server


@pytest.mark.parametrize("login", ["", "canary@", ":canary@", "canary:canary@"])
def test_a_wrong_login_is_told_without_it(make: Make, locked: RedisServer, login: str) -> None:
    error = refusal(make("redis-list", redis_url=f"redis://{login}127.0.0.1:{locked.port}"))
    name = f"redis://127.0.0.1:{locked.port}/0"
    assert error.message.startswith(f"{name} refuses the login: ")
    assert error.hint == "check user and password in the signal's url or in REDIS_URL"


def test_the_right_login_works_from_either_url(make: Make, locked: RedisServer) -> None:
    url = f"redis://:{SECRET.replace('/', '%2F')}@127.0.0.1:{locked.port}/0"
    assert make("redis-list", redis_url=url).read().depth == 0
    assert make("bullmq", url=url, redis_url="redis://127.0.0.1:1").read().depth == 0


def test_a_user_who_may_not_read_the_key_is_told(
    make: Make, redis_server: RedisServer, redis_client: Redis
) -> None:
    redis_client.acl_setuser(
        "reader", enabled=True, passwords=["+canary"], keys=["other"], commands=["+@all"]
    )
    url = f"redis://reader:canary@127.0.0.1:{redis_server.port}/0"
    try:
        error = refusal(make("redis-list", redis_url=url))
        assert "no permissions" in str(error).lower() or "NOPERM" in str(error)
        assert make("redis-list", redis_url=url, queue="other").read().depth == 0
    finally:
        redis_client.acl_deluser("reader")


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_redis_is_read(make: Make, redis_client: Redis, kind: str) -> None:
    """It refuses transactions, reads included; the queue may be what fills it."""
    redis_client.xgroup_create("jobs", "workers", "0", mkstream=True)
    redis_client.rpush("full", "a")
    redis_client.rpush("bull:full:wait", "1")
    redis_client.xadd("jobs", {"n": 1})
    redis_client.config_set("maxmemory", "1mb")
    try:
        with redis_client.pipeline() as pipe, pytest.raises(OutOfMemoryError):
            pipe.llen("full").execute()
        queue = {} if kind == "redis-stream" else {"queue": "full"}
        assert make(kind, **queue).read().depth == 1
    finally:
        redis_client.config_set("maxmemory", "0")
