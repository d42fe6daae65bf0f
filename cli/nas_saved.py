"""What backups say of the services: when they were taken last, and which must not be replaced."""

from collections.abc import Mapping
from datetime import datetime

from cli.backup_profile import backup_settings
from cli.nas_profile import NasProfile
from operations.backups.retention import stale
from operations.backups.run import directory
from operations.backups.store import Store, newest


def last_backups(profile: NasProfile) -> Mapping[str, datetime]:
    """The time of each service's last good backup, where the settings say where backups are."""
    if profile.kind == "production" and profile.documents.backups is None:
        return {}
    found = newest(directory(backup_settings(profile)))
    return {name: one.taken for name, one in found.items()}


def unsaved(profile: NasProfile, now: datetime) -> Mapping[str, str]:
    """Services whose data would be at stake if their container were replaced now, and why.

    Only where backups are asked for; the local profile's data is nobody's.
    """
    settings = profile.documents.backups
    if profile.kind == "local" or settings is None:
        return {}
    kept = Store(directory=directory(settings)).manifests()
    services = profile.documents.services.root
    asked = [name for name, service in services.items() if service.backup is not None]
    found = {name: stale(kept, name, now, settings) for name in asked}
    return {
        name: f"{why}; run `agent-docker backup run {name} --production` first"
        for name, why in found.items()
        if why is not None
    }
