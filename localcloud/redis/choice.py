"""Which Redis the local profile uses. No network, no processes."""

import ipaddress
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from contracts.errors import AgentDockerError

Kind = Literal["given", "installed", "embedded"]
PROGRAM = "redis-server"


class RedisUnusable(AgentDockerError):
    """The Redis that was asked for cannot be used, or has ended."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to use: `url` of a given one, `program` of an installed one."""

    kind: Kind
    url: str = ""
    program: str = ""


def choose(env_url: str | None, which: Callable[[str], str | None] = shutil.which) -> Plan:
    """Return the given Redis if it is on loopback, else an installed, else an embedded one."""
    if env_url:
        return Plan(kind="given", url=checked(env_url))
    program = which(PROGRAM)
    return Plan(kind="installed", program=program) if program else Plan(kind="embedded")


def checked(url: str) -> str:
    """Return a URL that leads to this computer; the local profile touches no other."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise RedisUnusable(f"the Redis URL must be redis://host:port, got {shown(url)}") from None
    if parts.scheme != "redis" or not host:
        raise RedisUnusable(f"the Redis URL must be redis://host:port, got {shown(url)}")
    if not _is_loopback(host):
        raise RedisUnusable(f"the local profile uses a Redis on loopback only, got {shown(url)}")
    return url


def shown(url: str) -> str:
    """Return a URL without what may be a password."""
    scheme, marks, rest = url.partition("://")
    return f"{scheme}{marks}{rest.rpartition('@')[2]}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
