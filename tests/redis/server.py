"""A real redis-server of one's own, for tests: loopback, nothing on disk, stopped at the end."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from tests.ports import free_port

DEADLINE_SECONDS = 30.0


def until(holds: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> None:
    """Poll until `holds`."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(0.01)


def find_binary() -> str:
    """Where redis-server is. A laptop may lack it; CI may not."""
    found = shutil.which("redis-server")
    if found is None:
        reason = "redis-server is not installed (Debian: redis-server)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@dataclass
class RedisServer:
    """One process; a restart takes the same port and begins empty."""

    binary: str
    folder: Path
    port: int = field(default_factory=free_port)
    options: tuple[str, ...] = ()
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        assert self._process is None, "it runs already"
        address = ("--port", str(self.port), "--bind", "127.0.0.1")
        volatile = ("--save", "", "--appendonly", "no", "--dir", str(self.folder))
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.binary, *address, *volatile, *self.options],
                env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until(self._answers)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it, with SIGKILL if asked to; harmless when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)  # a frozen one would not hear
        process.send_signal(number)
        try:
            process.wait(DEADLINE_SECONDS)
        finally:
            process.kill()
            process.wait()

    def restart(self) -> None:
        self.stop()
        self.start()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Connections stay open, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def reset(self) -> None:
        """Running and empty, whatever the test before did to it."""
        if self._process is None:
            self.start()
        with self.client() as client:
            client.flushall()

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, decode_responses=True)

    def _answers(self) -> bool:
        assert self._process is not None
        log = self.folder / "redis.log"
        assert self._process.poll() is None, log.read_text()
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.AuthenticationError:
            return True  # it wants a password from `options`
        except (redis.ConnectionError, redis.TimeoutError):
            return False


@contextlib.contextmanager
def running_redis(folder: Path, *options: str) -> Iterator[RedisServer]:
    """A server that is stopped at the end; skips or, in CI, fails where there is none."""
    server = RedisServer(find_binary(), folder, options=options)
    try:
        server.start()
        yield server
    finally:
        server.stop()
