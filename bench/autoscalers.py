"""The real autoscaler on a fleet of its own: emulator, Redis and router, each a process.

What the benchmarks of the autoscaler share. Everything is below one temporary folder and on
loopback, so it runs beside a local profile, and without one.
"""

import contextlib
import json
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
from redis import Redis

from autoscaler.settings import FILE_VARIABLE, REDIS_VARIABLE
from autoscaler.store import Mode, Store, connect, key_prefix
from bench.stacks import KEY, OWNER, ROOT, stack
from localcloud.redis.running import running_redis
from localcloud.redis.tether import tether
from localcloud.vastai.__main__ import KEY_VARIABLE
from operations.fleet import Fleet
from operations.shell import STATE_VARIABLE
from operations.stack import Stack
from operations.target import Target
from providers.vastai.client import VastClient
from providers.vastai.credentials import Credentials

T = TypeVar("T")
QUEUE = "inference"
_START_SECONDS = 30.0
_STOP_SECONDS = 90.0
_POLL = 0.02
_TAIL = 20


class BenchFailed(Exception):
    """What is measured did not behave as it must."""


@dataclass(frozen=True, kw_only=True)
class World:
    """One fleet and everything around it. Nothing here works off the queue."""

    folder: Path
    env: Mapping[str, str]
    fleet: Fleet
    redis: Redis
    redis_url: str
    router: str
    admin: httpx.Client

    @property
    def store(self) -> Store:
        """What an autoscaler of this fleet keeps."""
        return Store(redis=self.redis, prefix=key_prefix(OWNER, "gpu"))

    def cloud(self) -> dict[str, Any]:
        """Everything that the emulator knows."""
        state: dict[str, Any] = self.admin.get("state").raise_for_status().json()
        return state

    def live(self) -> dict[int, dict[str, Any]]:
        """The machines that exist, by contract."""
        return {int(row["id"]): row for row in self.cloud()["rentals"] if row["live"]}

    def push(self, jobs: int) -> None:
        """Put so many jobs on the queue."""
        self.redis.lpush(QUEUE, *(f"job-{number}" for number in range(jobs)))

    def empty(self) -> None:
        """Take every job away."""
        self.redis.delete(QUEUE)

    def fix(self, count: int) -> None:
        """Ask for this many slots whatever the queue holds."""
        self.store.set_mode(Mode(kind="fixed", count=count))

    def follow(self) -> None:
        """Let the fleet follow the queue."""
        self.store.set_mode(Mode())

    @property
    def updates(self) -> int:
        """Updates in the stack's history."""
        history = self.folder / "backend" / ".pulumi" / "history"
        return sum(1 for _ in history.rglob("*.history.json"))


@contextmanager
def world(
    *cloud_options: str,
    fleet: Mapping[str, Any] | None = None,
    paced: bool = False,
) -> Generator[World]:
    """A fleet on an emulator that gets `cloud_options`; `paced` as production is."""
    with contextlib.ExitStack() as opened:
        vast = opened.enter_context(
            _service(
                ["localcloud.vastai", "--seed", "1", *cloud_options],
                {KEY_VARIABLE: KEY},
            )
        )
        redis = opened.enter_context(running_redis())
        # A queue of its own: what is pushed for the autoscaler must stay until it was seen.
        router = opened.enter_context(
            _service(["localcloud.router", "--queue", "nobody"], {REDIS_VARIABLE: redis.url})
        )
        made = opened.enter_context(stack(vast["url"], paced=paced))
        settings = _settings(vast, router["url"]) | dict(fleet or {})
        target = Target(
            stack="gpu",
            env=made.env,
            state=made.folder / "operations",
            settings={"owner": OWNER, "fleet": settings},
        )
        yield World(
            folder=made.folder,
            env=made.env,
            fleet=Fleet(
                stack=Stack(target=target), cloud=lambda: VastClient(Credentials.read(made.env))
            ),
            redis=opened.enter_context(connect(redis.url)),
            redis_url=redis.url,
            router=router["url"],
            admin=opened.enter_context(
                httpx.Client(base_url=vast["admin_url"], timeout=20, trust_env=False)
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Running:
    """An autoscaler that runs."""

    process: psutil.Process
    log: Path
    url: str

    def status(self) -> dict[str, Any]:
        """What it tells of itself."""
        told: dict[str, Any] = httpx.get(f"{self.url}/status", timeout=20, trust_env=False).json()
        return told

    def told(self, event: str) -> list[dict[str, Any]]:
        """Its log's entries of that name, the oldest first."""
        lines = self.log.read_text().splitlines()
        rows: list[dict[str, Any]] = [json.loads(line) for line in lines if line.startswith("{")]
        return [row for row in rows if row.get("event") == event]


@contextmanager
def autoscaler(around: World, **settings: object) -> Generator[Running]:
    """`python -m autoscaler` with these settings, those left out at their defaults."""
    document = {
        "router": around.router,
        "signal": {"kind": "redis-list", "queue": QUEUE},
        "listen": "127.0.0.1:0",
        **settings,
    }
    file, log = around.folder / "autoscaler.yaml", around.folder / "autoscaler.log"
    file.write_text(json.dumps(document))
    env = {
        **around.env,
        REDIS_VARIABLE: around.redis_url,
        FILE_VARIABLE: str(file),
        STATE_VARIABLE: str(around.folder / "operations"),
    }
    with log.open("w") as errors, _process(["autoscaler"], env, errors.fileno()) as (process, said):
        try:
            yield Running(process=psutil.Process(process.pid), log=log, url=said["url"])
        except BenchFailed as error:
            raise BenchFailed(f"{error}; its log:\n{_tail(log)}") from None


def until(look: Callable[[], T | None], what: str, *, seconds: float, poll: float = _POLL) -> T:
    """What `look` finds, as soon as that is something."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() >= end:
            raise BenchFailed(f"{what}: not within {seconds:.0f} s")
        time.sleep(poll)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text().splitlines()[-_TAIL:])


def _settings(vast: Mapping[str, str], router: str) -> dict[str, Any]:
    return {
        "image": "ollama/ollama:0.12.6",
        "tailnet": "tailnet.test",
        "min": 1,
        "max": 5,
        "endpoint": vast["endpoint_template"].replace("{port}", "{local_port}"),
        "router": router,
    }


@contextmanager
def _service(command: Sequence[str], env: Mapping[str, str]) -> Generator[dict[str, str]]:
    """A part of the local cloud; nothing of the shell's environment reaches it."""
    with _process(command, {"LANG": "C.UTF-8", **env}, None) as (_, said):
        yield said


@contextmanager
def _process(
    command: Sequence[str], env: Mapping[str, str], errors: int | None
) -> Generator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """`python -m COMMAND…`, and the line it says once it serves; it ends with us."""
    with subprocess.Popen(  # noqa: S603 - our own modules
        [sys.executable, "-u", "-m", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=dict(env),
        cwd=ROOT,
        text=True,
        preexec_fn=tether(signal.SIGTERM),  # noqa: PLW1509 - calls only prctl
    ) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - asked for
            ready, _, _ = select.select([process.stdout], [], [], _START_SECONDS)
            line = process.stdout.readline() if ready else ""
            if not line:
                raise BenchFailed(f"{command[0]} did not start")
            yield process, json.loads(line)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
