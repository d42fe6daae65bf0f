"""What is kept in Redis, what is remembered, and what a problem may say."""

import errno
from collections.abc import Iterator

import fakeredis
import pytest
from pydantic import ValidationError
from redis import Redis
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisGone

from autoscaler.model import Memory
from autoscaler.problems import Problems, Topic
from autoscaler.remembered import Attempt, Drain, Failure, Remembered
from autoscaler.store import KEPT_BOOTS, KEPT_DECISIONS, Mode, Store, connect, key_prefix
from contracts.errors import AgentDockerError
from tests.unit.autoscaler_fakes import NAMES, NOW

PREFIX = "agent-docker:owner:gpu"
FULL = Remembered(
    quiet_since=NOW,
    grown_at=NOW - 5,
    ready={1: NOW},
    silent={2: NOW},
    drains={NAMES[0]: Drain(contract=1, since=NOW, counted=True, reason="shrink")},
    failures={1001: Failure(count=2, last=NOW, host=3)},
    attempts={NAMES[1]: Attempt(count=1, last=NOW)},
    registered=frozenset({"http://a"}),
    orphans={9: NOW},
)


@pytest.fixture(params=[True, False], ids=["text", "bytes"])
def redis(request: pytest.FixtureRequest) -> Iterator[Redis]:
    server = fakeredis.FakeServer(version=(7,))
    with fakeredis.FakeRedis(server=server, decode_responses=request.param) as client:
        yield client


@pytest.fixture
def store(redis: Redis) -> Store:
    return Store(redis=redis, prefix=PREFIX)


# The store.


def test_an_empty_one_knows_nothing(store: Store) -> None:
    assert store.remembered() == Remembered()
    assert store.mode() == Mode(kind="auto")
    assert store.status() is None
    assert store.decisions(5) == store.boots(5) == []


def test_what_is_remembered_comes_back_whole(store: Store) -> None:
    store.remember(FULL)
    assert store.remembered() == FULL
    store.remember(Remembered())
    assert store.remembered() == Remembered()


@pytest.mark.parametrize("text", ["{", "[]", '{"ready": 5}', '{"drains": {"a": {}}}', "\x00"])
def test_what_cannot_be_read_is_forgotten(store: Store, redis: Redis, text: str) -> None:
    redis.set(f"{PREFIX}:memory", text)
    redis.set(f"{PREFIX}:mode", text)
    assert store.remembered() == Remembered()
    assert store.mode() in {Mode(), Mode(kind="auto")}


def test_what_a_newer_version_adds_does_no_harm(store: Store, redis: Redis) -> None:
    redis.set(f"{PREFIX}:memory", '{"ready": {"1": 5}, "more": true}')
    assert store.remembered() == Remembered(ready={1: 5})


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (Mode(), "auto"),
        (Mode(kind="paused"), "paused"),
        (Mode(kind="dry-run"), "dry-run"),
        (Mode(kind="fixed", count=0), "fixed at 0"),
    ],
)
def test_modes(store: Store, mode: Mode, text: str) -> None:
    store.set_mode(mode)
    assert store.mode() == mode
    assert str(mode) == text


def test_a_fixed_mode_has_a_count() -> None:
    with pytest.raises(ValidationError):
        Mode(kind="fixed")
    with pytest.raises(ValidationError):
        Mode(kind="fixed", count=-1)


def test_decisions_and_boots_are_bounded_and_the_newest_is_first(store: Store) -> None:
    for number in range(KEPT_DECISIONS + 3):
        store.decided({"n": number})
    for number in range(KEPT_BOOTS + 3):
        store.booted({"n": number})
    assert [row["n"] for row in store.decisions(2)] == [KEPT_DECISIONS + 2, KEPT_DECISIONS + 1]
    assert len(store.decisions(9999)) == KEPT_DECISIONS
    assert store.boots(1) == [{"n": KEPT_BOOTS + 2}]
    assert len(store.boots(9999)) == KEPT_BOOTS


def test_a_status_goes_with_its_autoscaler(store: Store, redis: Redis) -> None:
    store.report({"leader": True, "problems": {}}, seconds=60)
    assert store.status() == {"leader": True, "problems": {}}
    assert 0 < redis.pttl(f"{PREFIX}:status") <= 60_000


def test_two_fleets_share_a_redis(redis: Redis) -> None:
    one, two = (Store(redis=redis, prefix=key_prefix("o", stack)) for stack in ("gpu", "other"))
    one.remember(FULL)
    one.set_mode(Mode(kind="paused"))
    assert two.remembered() == Remembered()
    assert two.mode() == Mode()
    assert key_prefix("o", "gpu") == "agent-docker:o:gpu"


def test_connecting_waits_for_nothing_and_waits_short() -> None:
    with connect("redis://:canary@127.0.0.1:1/0") as client:
        kept = client.connection_pool.connection_kwargs
        assert kept["socket_timeout"] == kept["socket_connect_timeout"] == 3


# What is remembered.


def test_the_policys_part_is_its_own() -> None:
    assert FULL.memory == Memory(quiet_since=NOW, grown_at=NOW - 5)
    changed = FULL.with_memory(Memory(grown_at=7.0))
    assert changed.memory == Memory(grown_at=7.0)
    assert changed.with_memory(FULL.memory) == FULL


def test_a_clock_that_was_set_leaves_only_what_is_no_time() -> None:
    left = FULL.without_times()
    assert left == Remembered(ready=FULL.ready, failures=FULL.failures, registered=FULL.registered)


# Problems.


def test_the_first_of_a_topic_stands() -> None:
    problems = Problems()
    assert not problems
    problems.add(Topic.ROUTER, "first")
    problems.add(Topic.ROUTER, "second")
    other = Problems()
    other.add(Topic.ROUTER, "third")
    other.add(Topic.CLOUD, "cloud")
    problems.merge(other)
    assert problems
    assert problems.as_dict() == {"router": "first", "cloud": "cloud"}


def test_errors_are_caught_and_bugs_are_not() -> None:
    problems = Problems()
    with problems.caught(Topic.STACK):
        raise AgentDockerError("wrong", hint="do this")
    with problems.caught(Topic.CLOUD):
        pass
    with pytest.raises(KeyError), problems.caught(Topic.CLOUD):
        raise KeyError("bug")
    assert problems.as_dict() == {"stack": "wrong"}


def test_what_the_system_refuses_is_told_and_no_mistake_of_ours() -> None:
    problems = Problems()
    with problems.caught(Topic.CLOUD):
        raise OSError(errno.ENOSPC, "No space left on device", "/run/pace.json")
    assert problems.as_dict() == {"cloud": "/run/pace.json: No space left on device"}


@pytest.mark.parametrize("kind", [RedisGone, AuthenticationError])
def test_what_redis_says_is_never_quoted(kind: type[Exception]) -> None:
    problems = Problems()
    with problems.caught(Topic.SIGNAL):
        raise kind("redis://:canary@host")
    assert problems.as_dict() == {"redis": f"Redis does not answer ({kind.__name__})"}
