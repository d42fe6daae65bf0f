"""What the backup commands work with: the settings, the services with data, and their daemon."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from cli.files import LocalFiles
from cli.nas_profile import NAS, NasProfile, local_nas, production_nas
from cli.progress import Progress
from contracts.backups import BackupSettings
from contracts.errors import SettingsError
from contracts.outputs import ServiceOutput
from contracts.program import PROJECT
from contracts.services import Service
from contracts.settings import parse
from operations.backups.errors import NoBackup
from operations.backups.kinds import Subject
from operations.backups.run import Backups, directory
from operations.backups.store import Store
from operations.nas_records import service_of

BACKUPS = "backups"


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class BackupWorld:
    """One profile's backups."""

    profile: NasProfile
    settings: BackupSettings
    shown: Progress
    clock: Callable[[], datetime] = _now

    @property
    def now(self) -> datetime:
        """The time, UTC."""
        return self.clock()

    @property
    def directory(self) -> Path:
        """Where backups lie."""
        return directory(self.settings)

    @property
    def store(self) -> Store:
        """The same, to be read."""
        return Store(directory=self.directory)

    def names(self) -> list[str]:
        """Every service whose record says how it is backed up."""
        return [name for name, record in self._records().items() if record.backup is not None]

    def backups(self, shown: Progress) -> Backups:
        """Operations on them."""
        url = self.profile.documents.nas.docker
        return Backups(url=url, settings=self.settings, say=shown.say, clock=self.clock)

    def subject(self, name: str) -> Subject:
        """The service of that name; NoBackup when its record names no way to back it up."""
        return subject_of(name, self._records(), self._recorded)

    @cached_property
    def _recorded(self) -> list[ServiceOutput]:
        """Read once: the engine takes its time."""
        return self.profile.nas(self.shown).services()

    def _records(self) -> dict[str, Service]:
        return self.profile.documents.services.root


def subject_of(
    name: str, records: Mapping[str, Service], outputs: Sequence[ServiceOutput]
) -> Subject:
    """What is backed up of a service, by its record in the settings and the stack's outputs."""
    record = records.get(name)
    if record is None or record.backup is None:
        known = ", ".join(n for n, one in records.items() if one.backup) or "none"
        raise NoBackup(
            f"the settings of {name!r} do not say how it is backed up",
            hint=f"its record needs `backup:`; those that have it are: {known}",
        )
    output = service_of(outputs, name)
    return Subject(
        service=name,
        kind=record.backup,
        container=output.container,
        image=output.image,
        port=output.port,
        env=record.env,
        command=record.command,
        user=record.user,
        capabilities=record.capabilities,
        grace=record.stop_grace_seconds,
    )


def backup_world(shown: Progress, *, production: bool) -> BackupWorld:
    """The backups of the profile that the command was asked to work in."""
    env = os.environ
    profile = production_nas(env) if production else local_nas(LocalFiles.of(env), env, shown)
    return BackupWorld(profile=profile, settings=backup_settings(profile), shown=shown)


def backup_settings(profile: NasProfile) -> BackupSettings:
    """The document `agent-docker:backups`; the local profile keeps backups in its own folder."""
    given: dict[str, Any] = dict(profile.settings.get(BACKUPS) or {})
    if profile.files is not None:
        given["directory"] = str(profile.files.folder / BACKUPS)
    elif not given:
        raise SettingsError(
            f"Pulumi.{NAS}.yaml: {PROJECT}:{BACKUPS} is required",
            hint=f"say where they are written: `{PROJECT}:{BACKUPS}: {{directory: /srv/backups}}`",
        )
    return parse(BackupSettings, given, where=f"Pulumi.{NAS}.yaml", key=f"{PROJECT}:{BACKUPS}")
