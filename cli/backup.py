"""`agent-docker backup …`: backups of the NAS's stateful services, and proof that they work."""

from datetime import timedelta
from typing import Annotated, Any

import typer

from cli.backup_profile import BackupWorld, backup_world
from cli.backup_views import due, rows_of, show_backups
from cli.context import Json, Production
from cli.ending import complain
from cli.progress import Progress, progress
from cli.views import out, show_json
from contracts.backups import Manifest
from contracts.errors import AgentDockerError
from operations.backups.retention import stale

_SERVICES = typer.Argument(help="Services; none means all that have data.", metavar="[SERVICE]...")
Services = Annotated[list[str] | None, _SERVICES]
Service = Annotated[str, typer.Argument(help="The service, e.g. postgres.", metavar="SERVICE")]
Backup = Annotated[
    str | None, typer.Argument(help="Which; by default its last good one.", metavar="[BACKUP]")
]


def run(
    services: Services = None, *, production: Production = False, as_json: Json = False
) -> None:
    """Back up services, then remove what the retention rules keep no longer.

    One that fails does not keep the others from it; exits with 1 then.
    """
    with progress() as shown:
        world = backup_world(shown, production=production)
        found = {name: _taken(world, name, shown) for name in services or world.names()}
    made = {name: one for name, one in found.items() if isinstance(one, Manifest)}
    if as_json:
        show_json({name: _plain(one) for name, one in found.items()})
    else:
        out.print(f"{len(made)} of {len(found)} services are backed up in {world.directory}")
    if len(made) < len(found):
        raise typer.Exit(1)


def list_(*, production: Production = False, as_json: Json = False) -> None:
    """Show every backup: its age and size, when it was tested, and which rule keeps it.

    Exits with 1 when a service with data has no good backup that is young enough.
    """
    with progress() as shown:
        world = backup_world(shown, production=production)
    found, now = world.store.manifests(), world.now
    late = [why for name in world.names() if (why := stale(found, name, now, world.settings))]
    rows = rows_of(found, now, world.settings)
    untested = due(found, world.names(), now, world.settings)
    if as_json:
        show_json(
            {
                "backups": [row.model_dump(mode="json") for row in rows],
                "stale": late,
                "untested": untested,
            }
        )
    else:
        show_backups(rows, late, untested)
    if late:
        raise typer.Exit(1)


def restore(
    service: Service,
    backup: Backup = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Although the service holds data of its own.")
    ] = False,
    production: Production = False,
) -> None:
    """Put a backup into the running service.

    Refused while the service holds any data, which may be newer: see --overwrite.
    """
    with progress() as shown:
        world = backup_world(shown, production=production)
        subject, kept = world.subject(service), world.store.of(service, backup)
    taken = f"{kept.manifest.taken:%Y-%m-%d %H:%M} UTC"
    if not yes:
        typer.confirm(f"Put {service} back to its data of {taken}?", abort=True)
    with progress() as shown:
        differs = world.backups(shown).restore(subject, kept, overwrite=overwrite)
    out.print(f"{service} has its data of {taken} again")
    for text in differs:
        out.print(f"[yellow]differs by now[/yellow] {text}")


def verify(
    service: Service,
    backup: Backup = None,
    *,
    production: Production = False,
    as_json: Json = False,
) -> None:
    """Restore a backup into a scratch container, compare it, and record the outcome."""
    with progress() as shown:
        world = backup_world(shown, production=production)
        subject, kept = world.subject(service), world.store.of(service, backup)
        begun = world.now
        manifest = world.backups(shown).verify(subject, kept)
    if as_json:
        show_json(manifest)
        return
    seconds = (world.clock() - begun) / timedelta(seconds=1)
    out.print(f"{service}: {manifest.id} was restored and is whole ({seconds:.0f} s)")
    for what, fact in manifest.facts.items():
        out.print(f"  {fact} {what}", markup=False)


def _taken(world: BackupWorld, name: str, shown: Progress) -> Manifest | AgentDockerError:
    try:
        made = world.backups(shown).take(world.subject(name))
    except AgentDockerError as error:
        shown.tell(f"[red]✗[/red] {name}")
        complain(error.message, error.hint)
        return error
    shown.tell(f"[green]✓[/green] {name} [dim]{made.id}[/dim]")
    return made


def _plain(one: Manifest | AgentDockerError) -> dict[str, Any]:
    if isinstance(one, Manifest):
        return one.model_dump(mode="json")
    return {"error": {"message": one.message, "hint": one.hint}}
