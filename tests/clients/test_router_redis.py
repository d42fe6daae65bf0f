"""Both kinds of local Redis: what we use of them, with a real client, and how they end."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis

from localcloud.redis.choice import RedisUnusable
from localcloud.redis.running import RunningRedis, running_redis

Poll = Callable[[Callable[[], bool]], None]
ROOT = Path(__file__).parents[2]
INSTALLED = shutil.which("redis-server") is not None


def needs_redis_server() -> None:
    """On CI there must be one; a person may work without."""
    if not INSTALLED:
        assert not os.environ.get("CI"), "CI must have a redis-server"
        pytest.skip("there is no redis-server")


@pytest.fixture(scope="module", params=["installed", "embedded"])
def server(request: pytest.FixtureRequest) -> Iterator[RunningRedis]:
    if request.param == "installed":
        needs_redis_server()
    arguments = ["--embedded"] if request.param == "embedded" else []
    with running_redis(*arguments) as running:
        assert running.kind == request.param
        yield running


def connected(server: RunningRedis, **options: object) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True, **options)


@pytest.fixture(params=[2, 3])
def client(server: RunningRedis, request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    with connected(server, protocol=request.param) as found:
        yield found
        found.flushall()


def test_set_nx_px_and_get(client: redis.Redis) -> None:
    assert client.get("lease") is None
    assert client.set("lease", "one", nx=True, px=60_000)
    assert client.set("lease", "two", nx=True, px=60_000) is None
    assert client.get("lease") == "one"
    assert 0 < client.pttl("lease") <= 60_000


def test_pexpire_and_what_has_expired(client: redis.Redis, eventually: Poll) -> None:
    client.set("lease", "one", px=20)
    client.set("other", "one")
    assert client.pexpire("other", 20)
    assert not client.pexpire("none", 20)
    eventually(lambda: client.get("lease") is None and client.get("other") is None)
    assert client.set("lease", "two", nx=True, px=60_000)


def test_a_watched_transaction_is_done_whole(client: redis.Redis) -> None:
    client.set("lease", "me")
    with client.pipeline() as steps:
        steps.watch("lease")
        assert steps.get("lease") == "me"
        steps.multi()
        steps.set("lease", "you")
        steps.incr("fence")
        assert steps.execute() == [True, 1]
    assert client.get("lease") == "you"


def test_a_watched_transaction_is_not_done_after_a_change(
    client: redis.Redis, server: RunningRedis
) -> None:
    client.set("lease", "me")
    with connected(server) as other, client.pipeline() as steps:
        steps.watch("lease")
        other.set("lease", "another")
        steps.multi()
        steps.set("lease", "me")
        with pytest.raises(redis.WatchError):
            steps.execute()
    assert client.get("lease") == "another"


def test_a_queue(client: redis.Redis) -> None:
    assert client.llen("queue") == 0
    assert client.lpush("queue", "a", "b", "c") == 3
    assert client.llen("queue") == 3
    assert client.lmove("queue", "work", "RIGHT", "LEFT") == "a"
    assert client.lmove("queue", "work", "RIGHT", "LEFT") == "b"
    assert client.lrange("work", 0, -1) == ["b", "a"]
    assert client.lrem("work", 1, "a") == 1
    assert client.lrem("work", 1, "a") == 0
    assert client.lmove("none", "work", "RIGHT", "LEFT") is None
    assert client.rpush("queue", "a") == 2
    assert client.ltrim("queue", 0, 0)
    assert client.lrange("queue", 0, -1) == ["c"]


def test_a_long_queue_of_long_entries(client: redis.Redis) -> None:
    entry = "x" * 10_000
    with client.pipeline(transaction=False) as steps:
        for _ in range(500):
            steps.lpush("queue", entry)
        assert steps.execute()[-1] == 500
    assert client.lrange("queue", 0, -1) == [entry] * 500


def test_what_is_no_text_stays_what_it_is(client: redis.Redis, server: RunningRedis) -> None:
    with redis.Redis.from_url(server.url) as plain:
        plain.lpush("queue", b"\xff\r\n\x00")
        assert plain.lmove("queue", "work", "RIGHT", "LEFT") == b"\xff\r\n\x00"
        assert plain.lrem("work", 1, b"\xff\r\n\x00") == 1
    assert client.llen("work") == 0


def test_a_hash(client: redis.Redis) -> None:
    assert client.hset("state", mapping={"a": "1", "b": "2"}) == 2
    assert client.hgetall("state") == {"a": "1", "b": "2"}
    assert client.hdel("state", "a") == 1
    assert client.hgetall("state") == {"b": "2"}
    assert client.hgetall("none") == {}


def test_a_counter(client: redis.Redis) -> None:
    assert [client.incr("fence") for _ in range(3)] == [1, 2, 3]


def test_a_sorted_set(client: redis.Redis) -> None:
    assert client.zadd("later", {"b": 2.5, "a": 1}) == 2
    assert client.zrange("later", 0, -1) == ["a", "b"]
    # RESP3 gives lists where RESP2 gives tuples.
    scored = [tuple(row) for row in client.zrange("later", 0, -1, withscores=True)]
    assert scored == [("a", 1.0), ("b", 2.5)]
    assert client.zcount("later", 0, 2) == 1


def test_a_key_of_another_type_is_an_error_that_says_so(client: redis.Redis) -> None:
    client.set("queue", "text")
    number = client.client_id()
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        client.llen("queue")
    with client.pipeline() as steps, pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        steps.incr("fence").lpush("queue", "a").execute()
    assert client.get("fence") == "1"
    assert client.client_id() == number


def test_many_clients_at_once(server: RunningRedis) -> None:
    clients = [connected(server) for _ in range(30)]
    assert [client.incr("many") for client in clients] == list(range(1, 31))
    for client in clients:
        client.close()


def test_an_installed_one_wants_its_password() -> None:
    needs_redis_server()
    with running_redis() as server:
        url = "redis://" + server.url.rpartition("@")[2]
        with redis.Redis.from_url(url) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        shown = [" ".join(each.cmdline()) for each in family(server.pid)]
    password = server.url.partition("redis://:")[2].partition("@")[0]
    assert len(password) > 20
    assert not any(password in line for line in shown)


def test_a_given_one_is_used_and_left_alone(server: RunningRedis) -> None:
    with running_redis("--url", server.url) as given:
        assert (given.kind, given.url) == ("given", server.url)
        assert len(family(given.pid)) == 1
    with connected(server) as client:
        assert client.ping()


# How they end.


def family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def gone(processes: list[psutil.Process]) -> bool:
    return all(not each.is_running() or each.status() == psutil.STATUS_ZOMBIE for each in processes)


@pytest.fixture(params=["installed", "embedded"])
def command(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    if request.param == "installed":
        needs_redis_server()
    arguments = ["--folder", str(tmp_path / "of its own"), "--port", "0"]
    arguments += ["--embedded"] if request.param == "embedded" else []
    with subprocess.Popen(
        [sys.executable, "-m", "localcloud.redis", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_told_to_stop(
    command: subprocess.Popen[str], number: signal.Signals
) -> None:
    assert command.stdout is not None
    assert command.stderr is not None
    line = json.loads(command.stdout.readline())
    assert set(line) == {"url", "kind", "version"}
    with redis.Redis.from_url(line["url"]) as client:
        client.lpush("queue", "job")
        processes = family(command.pid)
        assert len(processes) == (2 if line["kind"] == "installed" else 1)
        command.send_signal(number)
        assert command.wait(20) == 0
    assert gone(processes)
    assert command.stdout.read() + command.stderr.read() == ""


def test_nothing_outlives_a_killed_command(
    command: subprocess.Popen[str], eventually: Poll
) -> None:
    assert command.stdout is not None
    line = json.loads(command.stdout.readline())
    processes = family(command.pid)
    command.kill()
    command.wait(20)
    eventually(lambda: gone(processes))
    with redis.Redis.from_url(line["url"]) as client, pytest.raises(redis.ConnectionError):
        client.ping()


def test_a_server_that_ends_by_itself_is_told() -> None:
    needs_redis_server()
    with subprocess.Popen(
        [sys.executable, "-m", "localcloud.redis"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        [_, child] = family(process.pid)
        child.kill()
        assert process.wait(20) == 1
        assert process.stderr.read() == "redis-server has ended with -9\n"


@pytest.mark.parametrize("arguments", [(), ("--embedded",)])
def test_a_port_in_use_is_one_message(
    arguments: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    if not arguments:
        needs_redis_server()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with pytest.raises(RedisUnusable), running_redis("--port", port, *arguments):
            pass
    told = capfd.readouterr().err
    assert port in told
    assert len(told.splitlines()) == 1


def test_a_given_one_must_answer(capfd: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(RedisUnusable),
        running_redis("--url", "redis://:secret@127.0.0.1:1/0"),
    ):
        pass
    told = capfd.readouterr().err
    assert told.startswith("no Redis answers at redis://127.0.0.1:1/0: ")
    assert "secret" not in told


def test_an_embedded_one_ends_with_clients_connected() -> None:
    with running_redis("--embedded") as running:
        client = connected(running)
        assert client.ping()
        process = psutil.Process(running.pid)
        process.terminate()
        assert process.wait(20) is not None
    client.close()
