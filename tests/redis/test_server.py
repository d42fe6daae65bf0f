"""The server that this tier runs on."""

import shutil
from pathlib import Path

import pytest
import redis

from tests.redis.server import RedisServer, find_binary, running_redis


def test_it_is_empty_and_answers_again_after_a_restart(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set("key", "value")
        redis_server.restart()
        assert client.dbsize() == 0


def test_a_stopped_one_is_running_for_the_next_test(redis_server: RedisServer) -> None:
    redis_server.stop()
    redis_server.stop()
    with redis_server.client() as client, pytest.raises(redis.ConnectionError):
        client.ping()
    redis_server.reset()
    with redis_server.client() as client:
        assert client.ping()


def test_one_with_a_password_can_be_had(tmp_path: Path) -> None:
    with running_redis(tmp_path, "--requirepass", "canary") as server:
        with server.client() as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        with redis.Redis.from_url(f"redis://:canary@127.0.0.1:{server.port}") as client:
            assert client.ping()


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail), ("", pytest.skip)])
def test_a_machine_without_redis_skips_but_ci_fails(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[pytest.fail.Exception]
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(outcome.Exception, match="redis-server is not installed"):
        find_binary()
