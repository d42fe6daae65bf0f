"""What can go wrong with a backup, as types, because callers branch on them."""

import re

from contracts.errors import AgentDockerError

# What programs say when the machine or the connection fails them, not what they read.
_TROUBLE = re.compile(
    r"no space left|out of memory|cannot allocate memory|too many (open files|clients)"
    r"|input/output error|lock timeout|connection to server|no connection to the server"
    r"|(closed the|lost|terminating) connection|connection (lost|refused|reset)"
    r"|the database system is|timed out",
    re.IGNORECASE,
)


class BackupFailed(AgentDockerError):
    """A backup or a restore did not come to its end."""


class Ended(BackupFailed):
    """A container ended that should have gone on; `killed` is not by its own doing."""

    def __init__(self, message: str, *, killed: bool) -> None:
        super().__init__(message)
        self.killed = killed


class ProgramFailed(BackupFailed):
    """A program in a container did not end with 0; None is a code that nobody knows."""

    def __init__(self, message: str, *, code: int | None) -> None:
        super().__init__(message)
        self.code = code


class Unfit(BackupFailed):
    """What a backup holds cannot be restored, and nothing else is to blame."""


class NoBackup(AgentDockerError):
    """There is no such backup, or nothing that could have one."""

    exit_code = 2


class NotVerified(AgentDockerError):
    """A restore test did not give back what the backup says."""


class HoldsData(AgentDockerError):
    """A restore would replace data that lives in the service; nothing was done."""

    exit_code = 4


def tells_of_trouble(said: str) -> bool:
    """Whether it blames the machine or the connection, and so says nothing of a backup."""
    return _TROUBLE.search(said) is not None
