"""When a failed operation may be tried again. Pure."""

from dataclasses import dataclass

from contracts.errors import AgentDockerError
from operations.errors import (
    Busy,
    Conflict,
    CutOff,
    Failed,
    Interrupted,
    LeaseLost,
    Refused,
    Unclear,
)

# Seconds: the first wait after an error, doubled with each that follows, and the longest.
_ORDINARY = (15.0, 600.0)
_BUSY = (2.0, 15.0)
_REFUSED = (60.0, 900.0)


@dataclass(frozen=True, kw_only=True)
class Retry:
    """`at` is by the monotonic clock; `recover` when nothing else may come before a recovery."""

    at: float = 0.0
    failures: int = 0
    recover: bool = False

    def may(self, now: float) -> bool:
        """Whether the next operation may begin."""
        return now >= self.at


def as_failure(error: AgentDockerError | OSError) -> AgentDockerError:
    """What the system refused, e.g. on a full disk, as an error of an operation."""
    if isinstance(error, AgentDockerError):
        return error
    where = f"{error.filename}: " if error.filename else ""
    return Failed(
        f"{where}{error.strerror or error}", hint="is there space, and may it be written?"
    )


def after(error: AgentDockerError, before: Retry, now: float, *, spread: float) -> Retry:
    """The next try after `error`. `spread`, 0 to 1, keeps two services from meeting again."""
    recover = before.recover or isinstance(error, CutOff | Unclear)
    if isinstance(error, Conflict | LeaseLost):
        # It was only read too early: nothing is wrong with the world.
        return Retry(at=now, failures=0, recover=recover)
    first, longest = _ORDINARY
    if isinstance(error, Busy | Interrupted):
        first, longest = _BUSY
    elif isinstance(error, Refused):
        first, longest = _REFUSED
    elif recover and not before.recover:
        first = 0.0  # A recovery need not wait for what it mends.
    wait = min(first * 2.0 ** min(before.failures, 20), longest)
    return Retry(
        at=now + wait * (0.75 + 0.5 * spread), failures=before.failures + 1, recover=recover
    )
