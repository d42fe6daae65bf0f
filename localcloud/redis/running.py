"""Carrying out a plan: here for the command, in a process of its own for tests."""

import contextlib
import json
import select
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from pathlib import Path

from localcloud.redis.choice import Plan, RedisUnusable
from localcloud.redis.embedded import embedded
from localcloud.redis.installed import installed
from localcloud.redis.probe import probed
from localcloud.redis.server import RedisServer, never
from localcloud.redis.tether import tether

START_SECONDS = 60.0
STOP_SECONDS = 20.0


@contextlib.asynccontextmanager
async def opened(plan: Plan, port: int, folder: Path | None) -> AsyncGenerator[RedisServer]:
    """Give the Redis that `plan` names; what was started for it ends on leaving."""
    match plan.kind:
        case "given":
            found = await probed(plan.url)
            yield RedisServer(plan.url, "given", found.version, never)
        case "installed":
            async with installed(plan.program, port, folder) as server:
                yield server
        case "embedded":
            async with embedded(port) as server:
                yield server


@dataclass(frozen=True)
class RunningRedis:
    """A Redis that serves from a process of its own."""

    url: str
    kind: str
    version: str
    pid: int
    """The process that holds it; an installed server is its child."""


@contextlib.contextmanager
def running_redis(*arguments: str) -> Generator[RunningRedis]:
    """Run `python -m localcloud.redis` until left; it ends with the thread that called this."""
    command = [sys.executable, "-m", "localcloud.redis", *arguments]
    with subprocess.Popen(  # noqa: S603 - our own module
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
        preexec_fn=tether(signal.SIGTERM),  # noqa: PLW1509 - calls only prctl
    ) as process:
        try:
            yield RunningRedis(pid=process.pid, **_start_line(process))
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _start_line(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None  # noqa: S101 - asked for
    ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline() if ready else ""
    if not line:
        raise RedisUnusable("the local Redis did not start")
    facts: dict[str, str] = json.loads(line)
    return facts
