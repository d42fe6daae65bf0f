"""The processes of one fleet under test, told by the run folder in their environment."""

import contextlib
import os
import signal
from pathlib import Path

import psutil


def of(folder: Path) -> list[psutil.Process]:
    """Every live process that works with this run folder."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if (
                process.environ().get("AGENT_DOCKER_RUN_DIR") == str(folder / "run")
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
    return found


def engines(folder: Path) -> list[psutil.Process]:
    return [process for process in of(folder) if _name(process) == "pulumi"]


def providers(folder: Path) -> list[psutil.Process]:
    return [process for process in of(folder) if "pulumi.dynamic" in _command(process)]


def kill(processes: list[psutil.Process]) -> None:
    """End exactly these, at once."""
    for process in processes:
        # Some have ended by themselves since they were looked for, as with their service.
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return process.name()
    return ""


def _command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []
