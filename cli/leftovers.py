"""Processes that a command started and could not end: they are known by their environment.

A process id may be another process's by now and a parent may be dead; what a process was started
with stays true. Only processes that carry this local profile's folder are ever signalled.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from cli.files import LocalFiles

COMMAND_VARIABLE = "AGENT_DOCKER_LOCAL_COMMAND"
CLOUD_VARIABLE = "AGENT_DOCKER_LOCAL_CLOUD"
SERVICE_VARIABLE = "AGENT_DOCKER_LOCAL_SERVICE"
_ENGINE = "pulumi"
# An interrupted engine waits for what it is renting; the local cloud answers at once.
_ENGINE_SECONDS = 30.0
_SERVICE_SECONDS = 60.0
_REST_SECONDS = 5.0
_KILL_SECONDS = 5.0
# The time of a start is counted from the system's clock, which may have been set since.
_CLOCK_SECONDS = 5.0


def mark(files: LocalFiles) -> dict[str, str]:
    """What the children of this command carry in their environment."""
    me = psutil.Process()
    return {COMMAND_VARIABLE: f"{me.pid} {me.create_time()} {files.folder}"}


def end_operations(files: LocalFiles) -> int:
    """End what commands that are dead, or this one, still have at work; how many there were.

    An engine is asked first, so that it records what it has rented.
    """
    left = [process for process, value in _carrying(COMMAND_VARIABLE) if _is_left(value, files)]
    _end_gently(left)
    return len(left)


def end_services(files: LocalFiles) -> bool:
    """End the services that work on this profile's stack, and what they started; whether any ran.

    They are asked first: what they do to the stack comes to its end and is recorded.
    """
    left = _of_services(files)
    leaders = [process for process in left if _leads(process)]
    _signal(leaders, signal.SIGTERM)
    psutil.wait_procs(leaders, timeout=_SERVICE_SECONDS)
    _end_gently(_of_services(files))
    return bool(left)


def _of_services(files: LocalFiles) -> list[psutil.Process]:
    folder = str(files.folder)
    return [process for process, value in _carrying(SERVICE_VARIABLE) if value == folder]


def _leads(process: psutil.Process) -> bool:
    """Whether it is the service itself and not something that it has started."""
    with contextlib.suppress(psutil.Error):
        return os.getsid(process.pid) == process.pid and "autoscaler" in process.cmdline()
    return False


def _end_gently(left: list[psutil.Process]) -> None:
    """An engine is interrupted first, so that it records what it has rented."""
    engines = [process for process in left if _name(process) == _ENGINE]
    _signal(engines, signal.SIGINT)
    psutil.wait_procs(engines, timeout=_ENGINE_SECONDS)
    _, alive = psutil.wait_procs(left, timeout=_REST_SECONDS if engines else 0)
    end(alive)


def clouds(files: LocalFiles) -> list[psutil.Process]:
    """Every local cloud of this profile that runs, recorded or not."""
    return [process for process, value in _carrying(CLOUD_VARIABLE) if value == str(files.folder)]


def end(processes: list[psutil.Process]) -> None:
    """End `processes`: asked first, killed when they do not listen."""
    _signal(processes, signal.SIGTERM)
    _, deaf = psutil.wait_procs(processes, timeout=_KILL_SECONDS)
    _signal(deaf, signal.SIGKILL)
    psutil.wait_procs(deaf, timeout=_KILL_SECONDS)


def _is_left(value: str, files: LocalFiles) -> bool:
    pid, created, folder = value.split(" ", 2)
    if Path(folder) != files.folder:
        return False
    return int(pid) == os.getpid() or not _lives(int(pid), float(created))


def _lives(pid: int, created: float) -> bool:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        same = abs(process.create_time() - created) < _CLOCK_SECONDS
        return same and process.status() != psutil.STATUS_ZOMBIE
    return False


def _carrying(variable: str) -> Iterator[tuple[psutil.Process, str]]:
    for process in psutil.process_iter():
        value = _value(process, variable)
        if value is not None and process.pid != os.getpid():
            yield process, value


def _value(process: psutil.Process, variable: str) -> str | None:
    with contextlib.suppress(psutil.Error, OSError):
        return process.environ().get(variable)
    return None


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return process.name()
    return ""


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            send: Callable[[int], None] = process.send_signal
            send(number)
