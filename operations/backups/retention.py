"""Which backups stay, and which are too old. No files, no clock."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from contracts.backups import BackupSettings, Manifest

NEWEST = "newest"
VERIFIED = "verified"


def kept(manifests: Iterable[Manifest], settings: BackupSettings) -> dict[str, tuple[str, ...]]:
    """The rules that keep each backup of one service, by id; one that none keeps is not there.

    The newest stays whatever the rules say, and so does the last one that passed a restore test.
    One that failed such a test keeps nothing else from staying.
    """
    ordered = sorted(manifests, key=lambda one: one.taken, reverse=True)
    good = [one for one in ordered if one.failed is None]
    rules: dict[str, list[str]] = {one.id: [NEWEST] for one in ordered[:1] + good[:1]}
    for one in [one for one in good if one.verified is not None][:1]:
        rules.setdefault(one.id, []).append(VERIFIED)
    for rule, count, period in (
        ("daily", settings.keep_daily, _day),
        ("weekly", settings.keep_weekly, _week),
        ("monthly", settings.keep_monthly, _month),
    ):
        for one in _last_of_each(good, period)[:count]:
            rules.setdefault(one.id, []).append(rule)
    return {name: tuple(found) for name, found in rules.items()}


def _last_of_each(
    ordered: Iterable[Manifest], period: Callable[[datetime], tuple[int, ...]]
) -> list[Manifest]:
    found: dict[tuple[int, ...], Manifest] = {}
    for one in ordered:
        found.setdefault(period(one.taken), one)
    return list(found.values())


def _day(taken: datetime) -> tuple[int, ...]:
    return (taken.year, taken.month, taken.day)


def _week(taken: datetime) -> tuple[int, ...]:
    return tuple(taken.isocalendar()[:2])


def _month(taken: datetime) -> tuple[int, ...]:
    return (taken.year, taken.month)


def last_good(manifests: Iterable[Manifest]) -> dict[str, Manifest]:
    """The newest backup of each service that has not failed a restore test."""
    found: dict[str, Manifest] = {}
    for one in sorted(manifests, key=lambda one: one.taken):
        if one.failed is None:
            found[one.service] = one
    return found


def stale(
    manifests: Iterable[Manifest], service: str, now: datetime, settings: BackupSettings
) -> str | None:
    """Why the last good backup of `service` is too old for it to be replaced; None when it is not.

    One that is dated after `now` says nothing: a clock was wrong.
    """
    one = last_good(m for m in manifests if m.taken <= now).get(service)
    if one is None:
        return f"{service} has no good backup"
    age = now - one.taken
    if age <= timedelta(hours=settings.max_age_hours):
        return None
    return (
        f"the last good backup of {service} is {hours(age)} old, "
        f"{settings.max_age_hours:g} h are allowed"
    )


def check_is_due(manifests: Iterable[Manifest], now: datetime, settings: BackupSettings) -> bool:
    """Whether no backup of these passed a restore test within the time that the settings give."""
    times = [one.verified for one in manifests if one.verified is not None]
    return not times or now - max(times) > timedelta(days=settings.verify_every_days)


def hours(age: timedelta) -> str:
    """An age as a person reads it."""
    whole = age.total_seconds() / 3600
    return f"{whole / 24:.0f} d" if whole >= 48 else f"{whole:.1f} h"  # noqa: PLR2004 - two days


def by_service(manifests: Iterable[Manifest]) -> Mapping[str, list[Manifest]]:
    """Every service's backups, newest first."""
    found: dict[str, list[Manifest]] = {}
    for one in sorted(manifests, key=lambda one: one.taken, reverse=True):
        found.setdefault(one.service, []).append(one)
    return found
