"""What `agent-docker nas status` shows."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.markup import escape

from cli.views import View, out, show_rows
from contracts.images import tag_of
from contracts.nas import Held
from contracts.outputs import ServiceOutput
from operations.daemon import Seen
from operations.gate import Verdict

# Of a digest: `sha256:` and its first digits.
_DIGEST = 19


class ServiceView(View):
    """One service: what is declared, what runs, and what a check of this moment says."""

    service: str
    port: int | None
    declared: str
    image: str
    image_id: str | None
    state: str
    healthy: bool
    reason: str
    uptime_seconds: float | None
    restarts: int
    host: str | None
    public: bool
    held_back: str | None
    another_image: bool = False
    last_backup: datetime | None = None


class NasView(View):
    """All services."""

    profile: str
    stack: str
    services: tuple[ServiceView, ...]

    @property
    def healthy(self) -> bool:
        """Whether every service works as declared."""
        return all(
            one.healthy and one.held_back is None and not one.another_image for one in self.services
        )


def view_of(
    profile: str,
    stack: str,
    services: Sequence[ServiceOutput],
    seen: Mapping[str, Seen],
    verdicts: Mapping[str, Verdict],
    held: Mapping[str, Held],
    now: datetime,
) -> NasView:
    """Everything about each service, in the order of the settings."""
    rows = [
        _row(one, seen.get(one.container), verdicts[one.name], held.get(one.name), now)
        for one in services
    ]
    return NasView(profile=profile, stack=stack, services=tuple(rows))


def with_backups(view: NasView, taken: Mapping[str, datetime]) -> NasView:
    """The same, with the time of each service's last good backup."""
    rows = [one.model_copy(update={"last_backup": taken.get(one.service)}) for one in view.services]
    return view.model_copy(update={"services": tuple(rows)})


def with_images(view: NasView, images: Mapping[str, str]) -> NasView:
    """The same, with who runs another image; `images` are the daemon's ids by reference."""
    rows = [
        # As after an update that could not pull it: the container before goes on.
        one.model_copy(update={"another_image": one.image_id not in {None, images.get(one.image)}})
        for one in view.services
    ]
    return view.model_copy(update={"services": tuple(rows)})


def _row(
    one: ServiceOutput, seen: Seen | None, verdict: Verdict, held: Held | None, now: datetime
) -> ServiceView:
    runs = seen is not None and seen.runs and seen.started is not None
    started = seen.started if seen is not None and runs else None
    return ServiceView(
        service=one.name,
        port=one.port,
        declared=one.declared,
        image=one.image,
        image_id=seen.image_id if seen else None,
        state=seen.status if seen else "missing",
        healthy=verdict.well,
        reason=verdict.reason,
        uptime_seconds=None if started is None else round((now - started).total_seconds(), 1),
        restarts=seen.restarts if seen else 0,
        host=one.host,
        public=one.public,
        held_back=held.reason if held else None,
    )


def show_nas(view: NasView) -> None:
    """The services as a table, then what is wrong with each that does not work."""
    show_rows(
        f"stack {view.stack} ({view.profile})",
        [
            {
                "service": one.service,
                "port": one.port,
                "declared": _declared(one),
                "runs": _runs(one),
                "works": "yes" if one.healthy else "[red]no[/red]",
                "up": _duration(one.uptime_seconds),
                "host": None if one.host is None else f"{one.host}{'' if one.public else ' 🔒'}",
                "last backup": one.last_backup and f"{one.last_backup:%Y-%m-%d %H:%M}",
            }
            for one in view.services
        ],
    )
    well = sum(one.healthy for one in view.services)
    out.print(f"{well} of {len(view.services)} services work")
    for one in view.services:
        if not one.healthy:
            out.print(f"[red]{one.service}[/red]: {escape(one.reason)}")
        if one.held_back is not None:
            out.print(
                f"[yellow]{one.service}[/yellow] is held back: {tag_of(one.image)} runs instead of "
                f"{tag_of(one.declared)}: {escape(one.held_back)}"
            )
        if one.another_image:
            out.print(
                f"[red]{one.service}[/red] runs another image than declared: "
                f"{escape(one.image)} is not what its container was made of"
            )


def _declared(one: ServiceView) -> str:
    """The version, and the digest that it is locked to."""
    version = tag_of(one.declared)
    locked = (one.declared if one.held_back else one.image).partition("@")[2][:_DIGEST]
    return version if locked in {"", version} else f"{version} {locked}"


def _runs(one: ServiceView) -> str:
    if one.image_id is None:
        return "-"
    digest = one.image_id.removeprefix("sha256:")[:12]
    if one.another_image:
        return f"[red]{digest}[/red]"
    return f"[yellow]{tag_of(one.image)}[/yellow]" if one.held_back else digest


def _duration(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def now() -> datetime:
    """The time, UTC."""
    return datetime.now(UTC)
