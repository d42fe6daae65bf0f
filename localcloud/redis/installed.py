"""An installed redis-server as our own child: on loopback, with a password, nothing on disk."""

import asyncio
import contextlib
import secrets
import signal
import socket
import subprocess
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from pathlib import Path

from localcloud.redis.choice import RedisUnusable
from localcloud.redis.probe import probed
from localcloud.redis.server import RedisServer
from localcloud.redis.tether import tether

HOST = "127.0.0.1"
START_SECONDS = 20.0
STOP_SECONDS = 5.0
POLL_SECONDS = 0.02
PROBE_SECONDS = 1.0
TRIES = 5
LOG = "redis.log"


def configuration(port: int, folder: Path, password: str) -> str:
    """Return what redis-server reads from its standard input: no process list shows it."""
    lines = (
        f"bind {HOST}",
        f"port {port}",
        "protected-mode yes",
        f"requirepass {password}",
        'save ""',
        "appendonly no",
        f"dir {_quoted(str(folder))}",
        f"logfile {_quoted(LOG)}",
        "loglevel warning",
        "daemonize no",
    )
    return "\n".join(lines) + "\n"


@contextlib.asynccontextmanager
async def installed(program: str, port: int, folder: Path | None) -> AsyncGenerator[RedisServer]:
    """Run `program` until left; its folder holds only a log."""
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agent-docker-")))
        folder = folder.resolve()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        process, server = await _started(program, port, folder)
        try:
            yield server
        finally:
            await _stop(process)


async def _started(program: str, port: int, folder: Path) -> tuple[Process, RedisServer]:
    """Start on `port`, or on a free one; somebody may take that first, so it is tried again."""
    tries = 1 if port else TRIES
    while True:
        tries -= 1
        try:
            return await _start(program, port or _free_port(), folder)
        except RedisUnusable:
            if not tries:
                raise


async def _start(program: str, port: int, folder: Path) -> tuple[Process, RedisServer]:
    password = secrets.token_urlsafe(24)
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "-",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            preexec_fn=tether(signal.SIGKILL),
            cwd=folder,
        )
    except OSError as error:
        raise RedisUnusable(f"{program} cannot be started: {error}") from None
    try:
        await _configure(process, configuration(port, folder, password))
        url = f"redis://:{password}@{HOST}:{port}/0"
        version = await _ready(process, url, folder)
    except BaseException:
        await _stop(process)
        raise
    return process, RedisServer(url, "installed", version, lambda: _ended(process))


async def _configure(process: Process, text: str) -> None:
    assert process.stdin is not None  # noqa: S101 - asked for
    process.stdin.write(text.encode())
    # One that has ended already is told from its exit code.
    with contextlib.suppress(ConnectionError):
        await process.stdin.drain()
    process.stdin.close()


async def _ready(process: Process, url: str, folder: Path) -> str:
    """Wait until it, and nobody else on that port, answers; return its version."""
    deadline = asyncio.get_running_loop().time() + START_SECONDS
    while process.returncode is None and asyncio.get_running_loop().time() < deadline:
        with contextlib.suppress(RedisUnusable):
            found = await probed(url, PROBE_SECONDS)
            if found.pid == process.pid:
                return found.version
        await asyncio.sleep(POLL_SECONDS)
    raise RedisUnusable(f"redis-server did not start: {_last_words(folder)}")


async def _ended(process: Process) -> str:
    code = await process.wait()
    return f"redis-server has ended with {code}"


async def _stop(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.bind((HOST, 0))
        return int(trial.getsockname()[1])


def _last_words(folder: Path) -> str:
    with contextlib.suppress(OSError):
        lines = [line for line in (folder / LOG).read_text().splitlines() if line.strip()]
        if lines:
            return lines[-1]
    return "it said nothing"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
