"""`agent-docker nas …`: the always-on services of the NAS."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

import typer

from cli.context import Json, Production
from cli.files import LocalFiles
from cli.lock import exclusive
from cli.nas_images import ensure_images
from cli.nas_profile import NAS, NasProfile, local_nas, production_nas
from cli.nas_saved import last_backups, unsaved
from cli.nas_views import now, show_nas, view_of, with_backups, with_images
from cli.progress import Progress, progress
from cli.views import out, show_json
from contracts.outputs import ServiceOutput
from operations.gate import Gate
from operations.nas import Deployed
from operations.nas_records import held_in, recorded, service_of

Service = Annotated[str, typer.Argument(help="The service, e.g. redis.", metavar="SERVICE")]
Tail = Annotated[int, typer.Option(min=1, help="Lines shown.")]


def up(*, production: Production = False, as_json: Json = False) -> None:
    """Bring all services up and wait until each works; one that does not is put back.

    Harmless when they are up: nothing is started anew. In production a service whose last good
    backup is too old is not replaced.
    """
    with _changing("nas up", production=production) as (profile, shown):
        documents = profile.documents
        if profile.kind == "local":
            ensure_images(documents, shown)
        with shown.phase("stack", "services are deployed and work"):
            deployed = profile.nas(shown).up(profile.settings, guarded=unsaved(profile, now()))
    _show_deployed(deployed, as_json=as_json)


def status(*, production: Production = False, as_json: Json = False) -> None:
    """Show every service: declared and running image, a check of this moment, uptime, host.

    Exits with 1 unless all work as declared.
    """
    with _reading(production=production) as (profile, shown):
        shown.say("asking every service")
        nas = profile.nas(shown)
        state = nas.stack.snapshot().state
        services = recorded(state)
        daemon = nas.daemon(profile.documents.nas.docker)
        seen = daemon.look(NAS)
        images = daemon.image_ids([one.image for one in services])
        verdicts = Gate(daemon=daemon, stack=NAS).once(services, seen)
    view = view_of(profile.kind, NAS, services, seen, verdicts, held_in(state), now())
    view = with_backups(with_images(view, images), last_backups(profile))
    if as_json:
        show_json(view)
    else:
        show_nas(view)
    if not view.healthy:
        raise typer.Exit(1)


def logs(
    service: Service,
    *,
    tail: Tail = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it writes.")] = False,
    production: Production = False,
) -> None:
    """Show what a service wrote last."""
    with _reading(production=production) as (profile, shown):
        found = _service(profile, shown, service)
        daemon = profile.nas(shown).daemon(profile.documents.nas.docker)
        text = "" if follow else daemon.logs(found.container, tail=tail)
    if not follow:
        out.print(text, markup=False)
        return
    for part in daemon.follow(found.container, tail=tail):
        out.print(part, end="", markup=False)


def restart(service: Service, *, production: Production = False) -> None:
    """Stop a service gently, start it again, and wait until it works."""
    with _changing("nas restart", production=production) as (profile, shown):
        found = _service(profile, shown, service)
        nas, documents = profile.nas(shown), profile.documents
        daemon = nas.daemon(documents.nas.docker)
        shown.say(f"restarting {service}")
        record = documents.services.root.get(service)
        # One that the settings have dropped still runs until the next deploy.
        grace = 10 if record is None else record.stop_grace_seconds
        daemon.restart(found.container, grace=grace)
        nas.require_well([found])
    out.print(f"{service} works again")


def rollback(
    service: Service,
    *,
    image: Annotated[
        str | None, typer.Option(help="This image instead of the one before.", metavar="IMAGE")
    ] = None,
    production: Production = False,
    as_json: Json = False,
) -> None:
    """Put a service back to the image before; it stays there until another one is declared."""
    with _changing("nas rollback", production=production) as (profile, shown):
        deployed = profile.nas(shown).hold(
            service, image=image, reason="put back by hand", guarded=unsaved(profile, now())
        )
    _show_deployed(deployed, as_json=as_json)


def retry(service: Service, *, production: Production = False, as_json: Json = False) -> None:
    """Run the declared image of a service that is held back."""
    with _changing("nas retry", production=production) as (profile, shown):
        deployed = profile.nas(shown).release(service, guarded=unsaved(profile, now()))
    _show_deployed(deployed, as_json=as_json)


def down(
    *,
    yes: Annotated[
        bool, typer.Option("--yes", help="In production, do it without asking.")
    ] = False,
    production: Production = False,
) -> None:
    """Remove containers, network and ingress; the data stays."""
    if production and not yes:
        typer.confirm("Remove all services of the NAS? Their data stays", abort=True)
    with (
        _changing("nas down", production=production) as (profile, shown),
        shown.phase("destroy", "services end, their data stays"),
    ):
        profile.nas(shown).destroy()


@contextmanager
def _reading(*, production: bool) -> Generator[tuple[NasProfile, Progress]]:
    with progress() as shown:
        yield _profile(shown, production=production), shown


@contextmanager
def _changing(command: str, *, production: bool) -> Generator[tuple[NasProfile, Progress]]:
    """One at a time on the local profile; in production the stack's own lock sees to it."""
    files = LocalFiles.of(os.environ)
    with progress() as shown:
        if production:
            yield _profile(shown, production=True), shown
            return
        files.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with exclusive(files, command):
            yield _profile(shown, production=False), shown


def _profile(shown: Progress, *, production: bool) -> NasProfile:
    if production:
        return production_nas(os.environ)
    return local_nas(LocalFiles.of(os.environ), os.environ, shown)


def _service(profile: NasProfile, shown: Progress, name: str) -> ServiceOutput:
    return service_of(profile.nas(shown).services(), name)


def _show_deployed(deployed: Deployed, *, as_json: bool) -> None:
    if as_json:
        show_json(
            {
                "changes": deployed.changes,
                "services": [one.model_dump(mode="json") for one in deployed.services],
                "held": {name: one.model_dump() for name, one in deployed.held.items()},
            }
        )
        return
    changed = f"{len(deployed.changes)} resources changed" if deployed.changes else "no changes"
    out.print(f"{len(deployed.services)} services work, {changed}")
    for name, one in deployed.held.items():
        out.print(f"{name} is held back at {one.image}: {one.reason}", markup=False)
