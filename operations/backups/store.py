"""Where backups lie: one folder each, which is there whole or not at all.

    DIRECTORY/SERVICE/20261125-034100-123/manifest.json, and the files that it names

A backup is written to `.partial-…` beside its place and renamed once everything is on the disk, so
what a killed run leaves never counts as one.
"""

import hashlib
import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from contracts.backups import BackupFile, Fact, Manifest, backup_id
from operations.backups.errors import BackupFailed, NoBackup, NotVerified
from operations.backups.retention import last_good

_MANIFEST = "manifest.json"
_PARTIAL = ".partial-"


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a backup's maker knows of it besides its files."""

    facts: Mapping[str, Fact]
    tools: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A backup in the making."""

    folder: Path
    holds: dict[str, str] = field(default_factory=dict[str, str])

    def file(self, name: str, *, holds: str) -> Path:
        """Where to write a file of this name."""
        self.holds[name] = holds
        return self.folder / name


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A backup that is there."""

    folder: Path
    manifest: Manifest

    def path(self, file: BackupFile) -> Path:
        """Where the file is."""
        return self.folder / file.name

    def check(self) -> None:
        """NotVerified unless every file is what was written."""
        for file in self.manifest.files:
            path = self.path(file)
            if not path.is_file():
                raise NotVerified(f"{self.manifest.service}: {path} is gone")
            if path.stat().st_size != file.size or _sha256(path) != file.sha256:
                raise NotVerified(
                    f"{self.manifest.service}: {path} is not what was written: its size or "
                    "checksum differs",
                    hint="its disk may be failing; use another backup",
                )


@dataclass(frozen=True, kw_only=True)
class Store:
    """All backups below `directory`. Writers hold the lease on it."""

    directory: Path

    @contextmanager
    def draft(self, service: str, taken: datetime) -> Generator[Draft]:
        """A place to write a backup to; it is gone afterwards unless it was committed."""
        home = self.directory / service
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.sweep(service)
        draft = Draft(folder=home / f"{_PARTIAL}{backup_id(taken)}")
        draft.folder.mkdir(mode=0o700)
        try:
            yield draft
        finally:
            shutil.rmtree(draft.folder, ignore_errors=True)

    def commit(self, draft: Draft, manifest: Manifest) -> Kept:
        """Make the draft a backup; whole on the disk before it has its name."""
        files = tuple(_recorded(draft.folder / name, holds) for name, holds in draft.holds.items())
        whole = manifest.model_copy(update={"files": files})
        _write(draft.folder / _MANIFEST, whole)
        _sync(draft.folder)
        place = draft.folder.with_name(whole.id)
        if place.exists():
            raise BackupFailed(f"{place} exists already", hint="run the command again")
        draft.folder.rename(place)
        _sync(place.parent)
        return Kept(folder=place, manifest=whole)

    def sweep(self, service: str) -> None:
        """Remove what killed runs left."""
        for left in (self.directory / service).glob(f"{_PARTIAL}*"):
            shutil.rmtree(left, ignore_errors=True)

    def all(self) -> list[Kept]:
        """Every whole backup."""
        found = sorted(self.directory.glob(f"*/[0-9]*/{_MANIFEST}"))
        return [kept for path in found if (kept := _read(path)) is not None]

    def manifests(self) -> list[Manifest]:
        """What is recorded of every whole backup."""
        return [kept.manifest for kept in self.all()]

    def of(self, service: str, name: str | None) -> Kept:
        """The backup of this name, or the last good one; NoBackup says which there are."""
        mine = [kept for kept in self.all() if kept.manifest.service == service]
        wanted = name
        if wanted is None:
            good = last_good(kept.manifest for kept in mine).get(service)
            wanted = None if good is None else good.id
        for kept in mine:
            if kept.manifest.id == wanted:
                return kept
        known = ", ".join(kept.manifest.id for kept in mine) or "none"
        what = f"no backup {name!r}" if name else "no good backup"
        raise NoBackup(f"{service} has {what} in {self.directory}", hint=f"there are: {known}")

    def record(self, kept: Kept, **changed: object) -> Manifest:
        """Change what is recorded of a backup."""
        manifest = kept.manifest.model_copy(update=changed)
        _write(kept.folder / _MANIFEST, manifest)
        return manifest

    def remove(self, manifest: Manifest) -> None:
        """Remove a backup; cut off half-way, it is none any more."""
        place = self.directory / manifest.service / manifest.id
        going = place.with_name(f"{_PARTIAL}{manifest.id}-going")
        place.rename(going)
        shutil.rmtree(going, ignore_errors=True)


def newest(directory: Path) -> dict[str, Manifest]:
    """The last good backup of each service; empty without the folder."""
    return last_good(Store(directory=directory).manifests())


def _read(path: Path) -> Kept | None:
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None  # Not ours, or removed by now: no backup.
    named_so = (manifest.service, manifest.id) == (path.parent.parent.name, path.parent.name)
    return Kept(folder=path.parent, manifest=manifest) if named_so else None


def _recorded(path: Path, holds: str) -> BackupFile:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return BackupFile(name=path.name, holds=holds, size=path.stat().st_size, sha256=_sha256(path))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, manifest: Manifest) -> None:
    new = path.with_name(f"{path.name}.new")
    with new.open("w") as file:
        file.write(manifest.model_dump_json(indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
