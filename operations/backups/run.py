"""Taking, restoring and testing backups of services on one daemon."""

import contextlib
import secrets
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from contracts.backups import BackupKind, BackupSettings, Manifest, backup_id, mismatches
from operations import docker_client
from operations.backups.box import Box, connected
from operations.backups.errors import BackupFailed, Ended, HoldsData, NotVerified, Unfit
from operations.backups.kinds import Kind, Scratch, Site, Subject
from operations.backups.postgres import Postgres
from operations.backups.qdrant import Qdrant
from operations.backups.redis import Redis
from operations.backups.retention import kept
from operations.backups.store import Kept, Store
from operations.lease import lease

_LEASE = "backups"
_SCRATCH_OF = "agent-docker.scratch-of"
_READY_SECONDS = 300.0
_SHOWN = 5


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Backups:
    """Backups in the settings' directory of services on the daemon at `url`."""

    url: str
    settings: BackupSettings
    say: Callable[[str], None] = field(default=lambda _text: None)
    clock: Callable[[], datetime] = _now

    @property
    def store(self) -> Store:
        """Where they lie."""
        return Store(directory=directory(self.settings))

    def take(self, subject: Subject) -> Manifest:
        """Back the service up, then remove what no rule keeps any more."""
        with self._alone(), self._site(subject) as site:
            taken, record = self.clock(), site.box.inspect()
            with self.store.draft(subject.service, taken) as draft:
                found = kind_of(subject.kind).back_up(site, draft)
                manifest = Manifest(
                    id=backup_id(taken),
                    service=subject.service,
                    kind=subject.kind,
                    image=subject.image,
                    image_id=record["Image"],
                    taken=taken,
                    files=(),
                    facts=dict(found.facts),
                    tools=dict(found.tools),
                )
                made = self.store.commit(draft, manifest).manifest
            self._prune(subject.service)
            return made

    def restore(self, subject: Subject, backup: Kept, *, overwrite: bool = False) -> list[str]:
        """Put the backup into the running service; HoldsData when that has data of its own.

        What differs from the backup afterwards: its users may be at work again already.
        No store tells when its data was last changed, so all data may be newer than the backup.
        """
        backup.check()
        kind = kind_of(backup.manifest.kind)
        with self._alone(), self._site(subject, starting=kind) as site:
            held = [f"{n} {what}" for what, n in kind.count(site).items() if n]
            if held and not overwrite:
                raise HoldsData(
                    f"{subject.service} holds data that may be newer than the backup of "
                    f"{backup.manifest.taken:%Y-%m-%d %H:%M} UTC: {', '.join(held[:_SHOWN])}",
                    hint="back it up first, then restore with --overwrite",
                )
            kind.restore(site, backup)
            found = kind.count(site)
            # What the backup does not know may have stayed.
            known = {what: n for what, n in found.items() if what in backup.manifest.facts}
            return mismatches(backup.manifest.facts, known)

    def verify(self, subject: Subject, backup: Kept) -> Manifest:
        """Restore into a container that is gone afterwards; NotVerified says what differs.

        Only that marks the backup. Any other failure says nothing of it.
        """
        with self._alone():
            try:
                backup.check()
                with self._scratch(subject, backup) as site:
                    kind = kind_of(backup.manifest.kind)
                    _require_none(backup, mismatches(backup.manifest.facts, kind.count(site)))
                    _require_none(backup, kind.faults(site, backup))
            except NotVerified as error:
                self.store.record(backup, failed=error.message, verified=None)
                raise
            return self.store.record(backup, failed=None, verified=self.clock())

    def _prune(self, service: str) -> None:
        mine = [one for one in self.store.manifests() if one.service == service]
        stay = kept(mine, self.settings)
        for one in mine:
            if one.id not in stay:
                self.store.remove(one)

    @contextlib.contextmanager
    def _alone(self) -> Generator[None]:
        with lease(self.store.directory, _LEASE):
            yield

    @contextlib.contextmanager
    def _site(self, subject: Subject, *, starting: Kind | None = None) -> Generator[Site]:
        """The running service; with its kind, one that was stopped is started."""
        with connected(self.url) as api:
            box = Box(api=api, name=subject.container, service=subject.service)
            site = Site(box=box, subject=subject, url=self.url, say=self.say)
            if not box.inspect()["State"]["Running"]:
                if starting is None:
                    raise BackupFailed(
                        f"{subject.service}: its container does not run",
                        hint=f"`agent-docker nas restart {subject.service}` starts it",
                    )
                # A restore that was cut off may have left it so.
                self.say(f"{subject.service}: starting it, because it was stopped")
                _start(starting, site)
            yield site

    @contextlib.contextmanager
    def _scratch(self, subject: Subject, backup: Kept) -> Generator[Site]:
        kind = kind_of(backup.manifest.kind)
        with connected(self.url) as api:
            _remove_scratches(api, subject.container)
            name = f"{subject.container}-restore-test-{secrets.token_hex(4)}"
            self.say(f"{subject.service}: starting {name}")
            box = Box(api=api, name=name, service=subject.service)
            site = Site(box=box, subject=subject, url=self.url, say=self.say)
            try:
                how = kind.scratch(subject)
                _create(api, name, subject, backup, how)
                yield _filled(kind, site, backup, how)
            finally:
                _remove_scratches(api, subject.container)


def _require_none(backup: Kept, wrong: list[str]) -> None:
    if wrong:
        raise NotVerified(
            f"{backup.manifest.service}: {backup.manifest.id} was restored, but "
            + "; ".join(wrong[:_SHOWN])
        )


def _start(kind: Kind, site: Site) -> None:
    site.box.start()
    site.box.wait(lambda: kind.ready(site), seconds=_READY_SECONDS, until="it was ready")


def _filled(kind: Kind, site: Site, backup: Kept, how: Scratch) -> Site:
    """What an empty container of the backup's own image cannot take speaks against it."""
    kind.prepare(site, backup)
    try:
        _start(kind, site)
    except Ended as error:
        if error.killed or not how.loads:
            raise
        raise NotVerified(error.message) from None
    try:
        kind.fill(site, backup)
    except Unfit as error:
        raise NotVerified(error.message, hint=error.hint) from None
    return site


def _create(api: Any, name: str, subject: Subject, backup: Kept, how: Scratch) -> None:  # noqa: ANN401
    """The image's id is of this machine alone; elsewhere, or pulled anew, its name finds it."""
    networks: Mapping[str, Any] = {}
    if how.network:
        networks = api.inspect_container(subject.container)["NetworkSettings"]["Networks"]
    make = partial(
        api.create_container,
        command=list(how.command) or None,
        name=name,
        environment=dict(how.env),
        user=subject.user,
        labels={_SCRATCH_OF: subject.container},
        host_config=api.create_host_config(
            network_mode=next(iter(networks), "none"),
            cap_drop=["ALL"],
            cap_add=list(subject.capabilities),
            security_opt=["no-new-privileges:true"],
        ),
    )
    manifest = backup.manifest
    try:
        make(manifest.image_id)
    except docker_client.ImageNotFound:
        try:
            make(manifest.image)
        except docker_client.ImageNotFound:
            raise BackupFailed(
                f"{manifest.service}: the image {manifest.image} of the backup is not there",
                hint=f"`docker pull {manifest.image}` on the daemon's machine",
            ) from None


def _remove_scratches(api: Any, container: str) -> None:  # noqa: ANN401 - the client's
    """Remove it, and what a killed run left."""
    for row in api.containers(all=True, filters={"label": f"{_SCRATCH_OF}={container}"}):
        api.remove_container(row["Id"], force=True, v=True)


def directory(settings: BackupSettings) -> Path:
    """The folder that the settings mean on this machine."""
    return Path(settings.directory).expanduser()


def kind_of(name: BackupKind) -> Kind:
    """What makes backups of this kind."""
    if name == "s3":
        from operations.backups.s3 import S3  # noqa: PLC0415 - its client loads slowly

        return S3()
    kinds: dict[BackupKind, Kind] = {
        "postgres": Postgres(),
        "redis": Redis(),
        "qdrant": Qdrant(),
    }
    return kinds[name]
