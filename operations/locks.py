"""Who holds a stack's lock, read from what the engine says. Pure but for one look at a process.

A Pulumi lock has no expiry and no owner check, and `pulumi cancel` removes every lock without
asking. So it is removed only when its owner is proved dead: an engine that this installation
started (operations.engines), on this host, and its process is gone.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

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
    return "the stack is locked: " + (" and ".join(found) or "by an unknown process")


def is_dead(owner: LockOwner, *, host: str, engines: Collection[int]) -> bool:
    """Whether `owner` is proved dead: one of our `engines` on this `host`, its process gone.

    A process id that another engine has by now counts as alive; that one ends soon.
    """
    if owner.host != host or owner.pid not in engines:
        return False
    try:
        process = psutil.Process(owner.pid)
        return process.status() == psutil.STATUS_ZOMBIE or "pulumi" not in process.name()
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def hint(alive: Iterable[LockOwner], *, host: str, engines: Collection[int]) -> str:
    """What a person can do about locks that are not proved dead."""
    owners = list(alive)
    if owners and all(owner.host == host and owner.pid in engines for owner in owners):
        return "that update still runs; wait for it"
    return (
        "that engine was not started here, so it cannot be proved dead; see whether it runs, and "
        "only if it does not: `pulumi cancel`"
    )
