"""Who holds a stack's lock, read from what the engine says. Pure but for one look at a process.

A Pulumi lock has no expiry and no owner check, and `pulumi cancel` removes every lock without
asking. So it is removed only when its owner is proved dead: same host, process gone.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import psutil

LOCKED_HINT = (
    "wait for that update; if it was killed, `agent-docker recover` removes the lock once it has "
    "proved that"
)
# pkg/backend/diy/lock.go: "<url>: created by user@host (pid 123) at 2026-01-02T03:04:05Z"
_OWNER = re.compile(r"created by (?P<user>\S+)@(?P<host>\S+) \(pid (?P<pid>\d+)\) at (?P<at>\S+)")


@dataclass(frozen=True, kw_only=True)
class LockOwner:
    """The process that took a lock."""

    user: str
    host: str
    pid: int
    at: str

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host} since {self.at}"


def owners(text: str) -> list[LockOwner]:
    """Every lock owner that an engine's refusal names."""
    return [
        LockOwner(user=m["user"], host=m["host"], pid=int(m["pid"]), at=m["at"])
        for m in _OWNER.finditer(text)
    ]


def describe(text: str) -> str:
    """The refusal in one line; keeps the owners readable by `owners`."""
    found = [
        f"created by {o.user}@{o.host} (pid {o.pid}) at {o.at}" for o in dict.fromkeys(owners(text))
    ]
    return "the stack is locked: " + ("; ".join(found) or "by an unknown process")


def is_dead(owner: LockOwner, *, host: str) -> bool:
    """Whether `owner` is proved dead: it lived on this `host` and no engine has its process id."""
    if owner.host != host:
        return False
    try:
        process = psutil.Process(owner.pid)
        return process.status() == psutil.STATUS_ZOMBIE or "pulumi" not in Path(process.name()).name
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False
