"""What `agent-docker backup list` shows."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from pydantic import AwareDatetime

from cli.views import View, out, show_rows
from contracts.backups import BackupSettings, Manifest
from operations.backups.retention import by_service, check_is_due, hours, kept


class BackupView(View):
    """One backup. `keptBy` names the rules that keep it; without any the next run removes it."""

    service: str
    backup: str
    taken: AwareDatetime
    age_hours: float
    size: int
    image: str
    verified: AwareDatetime | None
    failed: str | None
    kept_by: tuple[str, ...]


def rows_of(
    manifests: Iterable[Manifest], now: datetime, settings: BackupSettings
) -> list[BackupView]:
    """Every backup, by service, newest first."""
    return [
        _row(one, now, rules)
        for mine in by_service(manifests).values()
        for rules in [kept(mine, settings)]
        for one in mine
    ]


def _row(one: Manifest, now: datetime, rules: Mapping[str, tuple[str, ...]]) -> BackupView:
    return BackupView(
        service=one.service,
        backup=one.id,
        taken=one.taken,
        age_hours=round((now - one.taken).total_seconds() / 3600, 2),
        size=one.size,
        image=one.image,
        verified=one.verified,
        failed=one.failed,
        kept_by=rules.get(one.id, ()),
    )


def due(
    manifests: Iterable[Manifest], names: Iterable[str], now: datetime, settings: BackupSettings
) -> list[str]:
    """Services of these whose last restore test is too long ago."""
    mine = by_service(manifests)
    return [name for name in names if check_is_due(mine.get(name, []), now, settings)]


def show_backups(rows: Sequence[BackupView], late: Sequence[str], untested: Sequence[str]) -> None:
    """The backups as a table, then what is wrong."""
    show_rows(
        "backups",
        [
            {
                "service": row.service,
                "backup": row.backup,
                "age": _age(row),
                "size": _size(row.size),
                "verified": _verified(row),
                "kept by": ", ".join(row.kept_by) or "-",
            }
            for row in rows
        ],
    )
    for why in late:
        out.print(f"[red]stale[/red] {why}: run `agent-docker backup run`")
    for name in untested:
        out.print(f"[yellow]untested[/yellow] {name}: run `agent-docker backup verify {name}`")


def _age(row: BackupView) -> str:
    return hours(timedelta(hours=row.age_hours))


def _verified(row: BackupView) -> str:
    if row.failed is not None:
        return "[red]failed[/red]"
    return "-" if row.verified is None else f"{row.verified:%Y-%m-%d %H:%M}"


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:  # noqa: PLR2004 - a step of units
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
