"""Processes of the local profile that outlive the command which started them.

Each says one JSON line when it serves. It is recorded only then; until then, and when the record
is lost, it is known by the profile's folder in its environment.
"""

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

from cli.files import LocalFiles, write_whole

_START_SECONDS = 30.0


class NotStarted(Exception):
    """The process ended, or said nothing in time; `said` is what it wrote last."""

    def __init__(self, said: str, log: Path) -> None:
        super().__init__(said)
        self.said = said
        self.log = log


def start(
    files: LocalFiles,
    name: str,
    command: Sequence[str],
    env: Mapping[str, str],
) -> dict[str, Any]:
    """Start `python -m COMMAND…` and wait for its line; what it said, with its process id.

    `env` is its whole environment; NotStarted leaves the process to the caller.
    """
    log = files.folder / f"{name}.log"
    with log.open("w") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own modules
            [sys.executable, "-u", "-m", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=dict(env),
            cwd=files.folder,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None  # noqa: S101 - asked for above
    with process.stdout as out:
        line = _first_line(out)
    if not line:
        process.kill()
        process.wait()
        said = log.read_text().strip().splitlines() or ["it did not answer in time"]
        raise NotStarted(said[-1], log)
    found: dict[str, Any] = {"pid": process.pid, **json.loads(line)}
    write_whole(record(files, name), json.dumps(found))
    return found


def record(files: LocalFiles, name: str) -> Path:
    """Where the process of that name is written down; private, an address may hold a password."""
    return files.folder / f"{name}.json"


def recorded(files: LocalFiles, name: str) -> dict[str, Any] | None:
    """What the process of that name said when it started; None when there is no record."""
    try:
        said: dict[str, Any] = json.loads(record(files, name).read_text())
    except (OSError, ValueError):
        return None
    return said


def lives(said: Mapping[str, Any] | None, variable: str, value: str) -> bool:
    """Whether the recorded process runs, and is no other one that has its number by now."""
    try:
        process = psutil.Process(int((said or {})["pid"]))
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return process.environ().get(variable) == value
    except (psutil.Error, OSError, KeyError, ValueError, TypeError):
        return False


def plain_env(**values: str) -> dict[str, str]:
    """An environment from nothing: no variable of the shell reaches the process."""
    return {"PATH": os.defpath, "LANG": "C.UTF-8", **values}


def _first_line(out: IO[str]) -> str:
    ready, _, _ = select.select([out], [], [], _START_SECONDS)
    return out.readline() if ready else ""
