"""Which Redis the local profile uses, and what an installed one is told."""

import os
import signal
from pathlib import Path

import pytest

from localcloud.redis import tether as tethers
from localcloud.redis.__main__ import main, parser
from localcloud.redis.choice import Plan, RedisUnusable, choose, shown
from localcloud.redis.installed import configuration
from localcloud.redis.server import RedisServer, never
from localcloud.redis.tether import tether


def nowhere(_program: str) -> None:
    return None


def somewhere(program: str) -> str:
    return f"/opt/{program}"


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1",
        "redis://:secret@127.0.0.1:6379/0",
        "redis://localhost:6379",
        "redis://[::1]:6379/1",
        "redis://127.64.0.9:1",
    ],
)
def test_a_given_one_on_loopback_comes_first(url: str) -> None:
    assert choose(url, somewhere) == Plan(kind="given", url=url)


@pytest.mark.parametrize("url", [None, ""])
def test_then_an_installed_one_then_an_embedded_one(url: str | None) -> None:
    assert choose(url, somewhere) == Plan(kind="installed", program="/opt/redis-server")
    assert choose(url, nowhere) == Plan(kind="embedded")


@pytest.mark.parametrize(
    "url",
    [
        "redis://:secret@cache.example.com:6379",
        "redis://:secret@10.0.0.1",
        "redis://:secret@127.0.0.1.example.com",
        "http://:secret@127.0.0.1",
        "rediss://:secret@127.0.0.1",
        "redis://:secret@127.0.0.1:port",
        "redis://",
        "127.0.0.1:6379",
        "redis://[::1",
    ],
)
def test_no_other_computer_is_touched_and_no_password_told(url: str) -> None:
    with pytest.raises(RedisUnusable) as told:
        choose(url, somewhere)
    assert "got " in str(told.value)
    assert "secret" not in str(told.value)


def test_a_url_is_shown_without_its_password() -> None:
    assert shown("redis://me:p@ss@127.0.0.1:1/0") == "redis://127.0.0.1:1/0"
    assert shown("redis://127.0.0.1") == "redis://127.0.0.1"


def test_an_installed_one_is_told_to_keep_to_itself() -> None:
    lines = configuration(6400, Path('/a "b"\\c'), "secret").splitlines()
    assert {
        "bind 127.0.0.1",
        "port 6400",
        "protected-mode yes",
        "requirepass secret",
        'save ""',
        "appendonly no",
        'dir "/a \\"b\\"\\\\c"',
    } <= set(lines)


def test_the_start_line() -> None:
    server = RedisServer("redis://127.0.0.1:1/0", "embedded", "1.2", never)
    assert server.start_line() == {
        "url": "redis://127.0.0.1:1/0",
        "kind": "embedded",
        "version": "1.2",
    }


def test_options() -> None:
    options = parser().parse_args(["--folder", "x", "--embedded"])
    assert (options.port, options.folder, options.url, options.embedded) == (
        0,
        Path("x"),
        None,
        True,
    )


def test_a_redis_that_cannot_be_used_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url", "redis://:secret@10.0.0.1:1"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == ("the local profile uses a Redis on loopback only, got redis://10.0.0.1:1\n")


def test_a_tether_is_for_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tether(signal.SIGTERM) is not None
    monkeypatch.setattr(tethers.sys, "platform", "darwin")
    assert tether(signal.SIGTERM) is None


def test_whose_parent_has_gone_already_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(BaseException):
        pass

    def leave(_code: int) -> None:
        raise Gone

    class Libc:
        def prctl(self, *_arguments: int) -> int:
            return 0

    monkeypatch.setattr(tethers.ctypes, "CDLL", lambda _name: Libc())
    tie = tether(signal.SIGTERM)
    assert tie is not None
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(os, "getppid", os.getpid)
    tie()
    monkeypatch.setattr(os, "getppid", lambda: 1)
    with pytest.raises(Gone):
        tie()
