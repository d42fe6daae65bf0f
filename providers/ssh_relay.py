"""A Docker daemon on another machine, as a socket on this one.

Docker's Python client can start `ssh` itself, but takes port 22 whatever the user's configuration
says, fails when it closes a line whose program has ended, and leaves the others open.
"""

import contextlib
import socket
import subprocess
import tempfile
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

_END_SECONDS = 5.0
_BACKLOG = 64


@dataclass(frozen=True)
class Relay:
    """`path` is the socket; whatever connects to it speaks to the daemon."""

    path: Path
    _errors: BinaryIO

    def said(self) -> str:
        """The last line of what ssh complained of; empty when it did not."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""


@contextlib.contextmanager
def relayed(url: str) -> Generator[Relay]:
    """Reach the daemon at `url` (ssh://user@host:port) for as long as this lasts."""
    with (
        tempfile.TemporaryDirectory(prefix="agent-docker-ssh-") as folder,
        tempfile.TemporaryFile() as errors,
        socket.socket(socket.AF_UNIX) as server,
    ):
        path = Path(folder) / "docker.sock"
        server.bind(str(path))
        server.listen(_BACKLOG)
        lines = _Lines(server=server, command=command(url), errors=errors)
        accepting = threading.Thread(target=lines.accept, daemon=True)
        accepting.start()
        try:
            yield Relay(path, errors)
        finally:
            # It wakes up whoever waits for the next one.
            server.shutdown(socket.SHUT_RDWR)
            accepting.join()
            lines.end()


def command(url: str) -> list[str]:
    """What `docker --host URL` itself runs; user and port only where the URL has them."""
    there = urlsplit(url)
    user = ["-l", there.username] if there.username else []
    port = ["-p", str(there.port)] if there.port else []
    return ["ssh", *user, *port, "--", there.hostname or "", "docker", "system", "dial-stdio"]


@dataclass(kw_only=True)
class _Lines:
    """One `ssh` for each connection, whose socket is its input and output."""

    server: socket.socket
    command: list[str]
    errors: BinaryIO
    running: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])

    def accept(self) -> None:
        """Until the socket is shut."""
        while True:
            try:
                near, _ = self.server.accept()
            except OSError:
                return
            # Without ssh nobody holds the other end, and whoever connected sees that.
            with near, contextlib.suppress(OSError):
                self.running.append(
                    subprocess.Popen(  # noqa: S603 - the user's own ssh
                        self.command,
                        stdin=near.fileno(),
                        stdout=near.fileno(),
                        stderr=self.errors,
                        # A Ctrl-C at the terminal is not for it.
                        start_new_session=True,
                    )
                )

    def end(self) -> None:
        """End what still runs: nobody speaks any more."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
