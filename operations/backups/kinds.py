"""What every kind of backup must be able to do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from contracts.backups import BackupKind
from operations.backups.box import Box
from operations.backups.store import Draft, Kept, Taken


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A service that is backed up, as its settings and the stack's outputs describe it."""

    service: str
    kind: BackupKind
    container: str
    image: str
    port: int | None
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    command: tuple[str, ...] = ()
    user: str | None = None
    capabilities: tuple[str, ...] = ()
    grace: int = 60


@dataclass(frozen=True, kw_only=True)
class Site:
    """A container with a subject's data, on the daemon at `url`; `say` tells what is done."""

    box: Box
    subject: Subject
    url: str
    say: Callable[[str], None] = field(default=lambda _text: None)


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """How a container for a restore test differs from the service's own."""

    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    # Only what is spoken to over the network needs one.
    network: bool = False
    # It reads the backup as it starts: ending by itself then speaks against that.
    loads: bool = False


class Kind(Protocol):
    """How the data of one kind of service is taken and given back."""

    def back_up(self, site: Site, draft: Draft, /) -> Taken:
        """Write the data to the draft."""
        ...

    def count(self, site: Site, /) -> dict[str, int]:
        """How much of everything there is now."""
        ...

    def restore(self, site: Site, backup: Kept, /) -> None:
        """Put the data into the running service."""
        ...

    def scratch(self, subject: Subject, /) -> Scratch:
        """What a container for a restore test is made with."""
        ...

    def prepare(self, site: Site, backup: Kept, /) -> None:
        """Before a scratch container starts."""
        ...

    def ready(self, site: Site, /) -> bool:
        """Whether the container takes requests."""
        ...

    def fill(self, site: Site, backup: Kept, /) -> None:
        """Put the data into a scratch container that is ready; Unfit when it is to blame itself."""
        ...

    def faults(self, site: Site, backup: Kept, /) -> list[str]:
        """What in the scratch container is not as the backup says, beyond its facts."""
        ...
