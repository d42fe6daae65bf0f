"""One command, its output shown as it comes and kept."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import IO

from localcloud.plugins.model import PluginError
from localcloud.plugins.values import hide

_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Command:
    """What is run and how. `logging` is none, stdout, stderr or stdoutAndStderr."""

    line: str
    interpreter: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    stdin: str = field(repr=False)
    folder: str
    logging: str
    secrets: Collection[str] = field(repr=False)


@dataclass(frozen=True)
class Done:
    """What it printed, without the last newline."""

    stdout: str
    stderr: str


def run(command: Command, log: Callable[[str], None], cancelled: threading.Event) -> Done:
    """Run to the end. Raises PluginError when it fails, with its line and output in the text."""
    try:
        process = subprocess.Popen(  # noqa: S603 - running the program's command is the point
            [*command.interpreter, command.line],
            cwd=command.folder or None,
            env={**os.environ, **command.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Its children end with it when the update is cancelled.
            start_new_session=True,
        )
    except OSError as error:
        raise PluginError(f"{error}: running {command.line!r}") from error
    shown = _Output(command, log)
    threads = [
        threading.Thread(target=_feed, args=(process.stdin, command.stdin), daemon=True),
        threading.Thread(target=shown.take, args=("stdout", process.stdout), daemon=True),
        threading.Thread(target=shown.take, args=("stderr", process.stderr), daemon=True),
    ]
    for thread in threads:
        thread.start()
    code = _ended(process, threads, cancelled)
    if code != 0:
        raise PluginError(f"{_how(code)}: running {command.line!r}:\n{shown.for_error()}")
    return Done(shown.text("stdout"), shown.text("stderr"))


class _Output:
    """Both streams, line by line, in the order of their arrival."""

    def __init__(self, command: Command, log: Callable[[str], None]) -> None:
        self._command = command
        self._log = log
        self._lines: list[tuple[str, str]] = []

    def take(self, name: str, stream: IO[bytes] | None) -> None:
        """Read a stream to its end."""
        if stream is None:
            raise AssertionError("started with pipes")
        logged = self._command.logging in {name, "stdoutAndStderr"}
        with stream:
            for raw in stream:
                line = raw.decode(errors="replace")
                self._lines.append((name, line))
                if logged and line.strip():
                    self._log(hide(line.rstrip("\n"), self._command.secrets))

    def text(self, name: str) -> str:
        """All of one stream, without the last newline."""
        return "".join(line for owner, line in self._lines if owner == name).removesuffix("\n")

    def for_error(self) -> str:
        """All of both, unless nothing of it is to be shown."""
        if self._command.logging == "none":
            return "(its output is hidden: logging is none)"
        return "".join(line for _, line in self._lines)


def _feed(stream: IO[bytes] | None, text: str) -> None:
    if stream is not None:
        # A command need not read what it is given.
        with contextlib.suppress(OSError), stream:
            stream.write(text.encode())


def _ended(
    process: subprocess.Popen[bytes],
    threads: list[threading.Thread],
    cancelled: threading.Event,
) -> int:
    """Wait for the command and for all that it left with our pipes, as Go's os/exec does."""
    while process.poll() is None or any(thread.is_alive() for thread in threads):
        if cancelled.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            break
        for thread in threads:
            thread.join(_POLL_SECONDS)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_SECONDS)
    return process.wait()


def _how(code: int) -> str:
    """The end of a process as the official plugin names it."""
    if code < 0:
        return f"signal: {(signal.strsignal(-code) or str(-code)).lower()}"
    return f"exit status {code}"
