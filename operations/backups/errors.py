"""What can go wrong with a backup, as types, because callers branch on them."""

from contracts.errors import AgentDockerError


class BackupFailed(AgentDockerError):
    """A backup or a restore did not come to its end."""


class Ended(BackupFailed):
    """A container ended that should have gone on."""


class NoBackup(AgentDockerError):
    """There is no such backup, or nothing that could have one."""

    exit_code = 2


class NotVerified(AgentDockerError):
    """A restore test did not give back what the backup says."""


class HoldsData(AgentDockerError):
    """A restore would replace data that lives in the service; nothing was done."""

    exit_code = 4
