"""Backups of stateful services: their settings, and what is recorded of each."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, ConfigDict, Field

from contracts.outputs import Recorded
from contracts.settings import Strict

BackupKind = Literal["postgres", "redis", "qdrant", "s3"]
# What a backup is called: its time, to the millisecond.
_ID_FORMAT = "%Y%m%d-%H%M%S"


class BackupSettings(Strict):
    """The document `agent-docker:backups`."""

    directory: str = Field(
        pattern=r"^(/|~/)",
        description="Folder that backups are written to, on the machine that runs the command.",
    )
    keep_daily: int = Field(default=7, ge=0, le=3650, description="Days whose last one is kept.")
    keep_weekly: int = Field(default=4, ge=0, le=520, description="Weeks whose last one is kept.")
    keep_monthly: int = Field(default=6, ge=0, le=120, description="Months whose last one is kept.")
    max_age_hours: float = Field(
        default=24, gt=0, le=8760, description="Older than this, the last good one is stale."
    )
    verify_every_days: float = Field(
        default=30, gt=0, le=3650, description="How often a restore test is due."
    )


class _Record(Recorded):
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)


class Fact(_Record):
    """How many there were: one number, or bounds where the data went on changing."""

    least: int
    most: int

    @classmethod
    def of(cls, *counted: int) -> "Fact":
        """The bounds of all that was counted."""
        return cls(least=min(counted), most=max(counted))

    def __str__(self) -> str:
        """As a person writes it."""
        return str(self.least) if self.least == self.most else f"{self.least} to {self.most}"


class BackupFile(_Record):
    """One file of a backup. `holds` is what is in it: a database, a collection, a bucket."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    holds: str
    size: int
    sha256: str


class Manifest(_Record):
    """What is known of one whole backup; without this record there is no backup.

    `verified` is when a restore test passed last, `failed` why the last one did not.
    """

    id: str
    service: str
    kind: BackupKind
    image: str
    image_id: str
    taken: AwareDatetime
    files: tuple[BackupFile, ...]
    facts: dict[str, Fact]
    tools: dict[str, str] = Field(default_factory=dict)
    verified: AwareDatetime | None = None
    failed: str | None = None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def backup_id(taken: datetime) -> str:
    """The name of a backup that was begun at `taken`."""
    utc = taken.astimezone(UTC)
    return f"{utc.strftime(_ID_FORMAT)}-{utc.microsecond // 1000:03d}"


def mismatches(wanted: Mapping[str, Fact], found: Mapping[str, int]) -> list[str]:
    """Where what was `found` after a restore is not what the backup's facts say."""
    wrong = [
        f"{what}: {found.get(what, 'none')} instead of {fact}"
        for what, fact in wanted.items()
        if not fact.least <= found.get(what, -1) <= fact.most
    ]
    return wrong + [f"{what}: {found[what]}, none expected" for what in found if what not in wanted]
