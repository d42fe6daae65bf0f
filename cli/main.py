"""The `agent-docker` command."""

import os
from typing import Annotated

import typer

from cli import doctor, gpu, init, local, observe
from cli.context import Json, Production, StackName, chosen, mistakes
from cli.profile import LocalFiles
from cli.progress import progress
from cli.views import out, show_fleet, show_json, talk
from contracts.program import PROGRAM_VERSION

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="An agent platform's infrastructure: bring it up locally, or run it for real.",
)
app.add_typer(gpu.app, name="gpu")


def run() -> None:
    """The entry point: a user's mistake ends with one message and no traceback."""
    with mistakes():
        app()


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"agent-docker {PROGRAM_VERSION}")
        raise typer.Exit


@app.callback()
def main(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Exit codes: 0 done, 1 failed, 2 wrong settings or usage, 3 locked, 4 refused, 5 Vast.ai."""


@app.command()
def up(
    *,
    vast_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the local Vast.ai; 0 takes any.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Bring the local profile up: engine, local cloud, `pulumi up`, healthy machines.

    Harmless when it is up. Never reaches anything beyond this machine.
    """
    files = LocalFiles.of(os.environ)
    with progress() as shown:
        view = local.up(files, os.environ, shown, vast_port=vast_port)
    if as_json:
        show_json({**view.model_dump(mode="json"), "phases": shown.phases})
        return
    show_fleet(view)
    talk.print("it runs on: `make status` looks again, `make down` ends it")


@app.command()
def down() -> None:
    """End everything of the local profile: its machines, its stack, its cloud."""
    with progress() as shown:
        ran = local.down(LocalFiles.of(os.environ), os.environ, shown)
    talk.print("the local profile is down" if ran else "nothing was running")


@app.command()
def status(*, production: Production = False, as_json: Json = False) -> None:
    """Show slots, machines, prices and which endpoints answer; 1 unless all is well."""
    profile = chosen(production=production)
    with progress() as shown:
        shown.say("looking at the stack and the machines")
        view = observe.observe(profile.fleet(shown.on_event), profile.kind)
    if as_json:
        show_json({**view.model_dump(mode="json"), "healthy": view.healthy})
    else:
        show_fleet(view)
    if not view.healthy:
        raise typer.Exit(1)


@app.command(name="init")
def init_stack(stack: StackName) -> None:
    """Write a random owner id into the stack's settings; without it nothing is rented."""
    init.init(stack)


@app.command()
def recover(stack: StackName, *, production: Production = False, as_json: Json = False) -> None:
    """Bring account and stack back together after a crash; loses and doubles nothing."""
    profile = chosen(production=production, stack=stack)
    with progress() as shown:
        found = profile.fleet(shown.on_event).recover()
    if as_json:
        show_json(found.__dict__)
        return
    for owner in found.unlocked:
        out.print(f"removed the lock of {owner}: it is dead")
    for what, items in (
        ("adopted", found.adopted),
        ("rented again", found.lost),
        ("ended beyond the slots", found.ended),
        ("cleared a cut-off create of", found.cleared),
    ):
        if items:
            out.print(f"{what}: {', '.join(map(str, items))}")
    out.print(f"the fleet is whole: {', '.join(found.slots) or 'no slots'}")


@app.command(name="doctor")
def doctor_command(*, as_json: Json = False) -> None:
    """Say what was found, where, and what to do about what is missing; 1 if anything is."""
    checks = doctor.examine(os.environ)
    if as_json:
        show_json([check.__dict__ for check in checks])
    else:
        doctor.show(checks)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)
