"""How this process talks to a container that is spoken to over HTTP."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import urlsplit

from operations.backups.errors import BackupFailed
from operations.daemon import answers

_FORWARD_SECONDS = 30.0
_POLL_SECONDS = 0.1
_EVERYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - what Docker writes


def place_of(record: Mapping[str, Any], port: int) -> tuple[str, int] | None:
    """Where the container's `port` is, seen from its own machine: published, else its address."""
    network: Mapping[str, Any] = record["NetworkSettings"]
    ports: Mapping[str, list[dict[str, str]] | None] = network.get("Ports") or {}
    for one in ports.get(f"{port}/tcp") or []:
        host = one["HostIp"]
        return "127.0.0.1" if host in _EVERYWHERE else host, int(one["HostPort"])
    networks: Mapping[str, dict[str, str]] = network.get("Networks") or {}
    for joined in networks.values():
        if joined.get("IPAddress"):
            return joined["IPAddress"], port
    return None


@contextlib.contextmanager
def reached(url: str, record: Mapping[str, Any], port: int, service: str) -> Generator[str]:
    """`host:port` at which this process finds the container; over ssh through a forwarded port.

    An address on the daemon's machine is never tried from another one: something else may listen
    on the same address here.
    """
    place = place_of(record, port)
    if place is None:
        raise BackupFailed(
            f"{service}: its port {port} is neither published nor on a network",
            hint="publish it with nas.publish, or run the command on the NAS itself",
        )
    if url.startswith("ssh://"):
        with _forwarded(url, *place, service) as local:
            yield f"127.0.0.1:{local}"
        return
    if not answers(*place):
        raise BackupFailed(
            f"{service}: nothing answers on {place[0]}:{place[1]}",
            hint="publish its port with nas.publish, or run the command on the NAS itself",
        )
    yield f"{place[0]}:{place[1]}"


def forwarding(url: str, local: int, host: str, port: int) -> list[str]:
    """The ssh command that forwards `local` to the daemon's machine's `host:port`."""
    there = urlsplit(url)
    return [
        *("ssh", "-N", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes"),
        *("-L", f"127.0.0.1:{local}:{host}:{port}"),
        *(("-l", there.username) if there.username else ()),
        *(("-p", str(there.port)) if there.port else ()),
        *("--", there.hostname or ""),
    ]


@contextlib.contextmanager
def _forwarded(url: str, host: str, port: int, service: str) -> Generator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        local: int = free.getsockname()[1]
    command = forwarding(url, local, host, port)
    with subprocess.Popen(  # noqa: S603 - the command that Docker's own client uses, too
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as ssh:
        try:
            _wait(ssh, local, f"{service}: ssh to {urlsplit(url).hostname} forwards no port")
            yield local
        finally:
            ssh.terminate()


def _wait(ssh: subprocess.Popen[bytes], local: int, problem: str) -> None:
    end = time.monotonic() + _FORWARD_SECONDS
    while not answers("127.0.0.1", local):
        if ssh.poll() is not None:
            said = ssh.stderr.read().decode(errors="replace").strip() if ssh.stderr else ""
            raise BackupFailed(f"{problem}: {said}", hint="run the command on the NAS itself")
        if time.monotonic() > end:
            raise BackupFailed(f"{problem} within {_FORWARD_SECONDS:g} s")
        time.sleep(_POLL_SECONDS)
