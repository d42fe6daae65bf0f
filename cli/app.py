"""The `agent-docker` command and those of its commands that are not about one machine."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cli import (
    agents_app,
    agents_local,
    autoscaler,
    backup,
    doctor,
    gpu,
    gpu_changes,
    init,
    local,
    nas_app,
    nas_local,
    observe,
    services,
)
from cli.agents_profile import Kubeconfig
from cli.context import Json, Production, StackName, changing, chosen
from cli.files import LocalFiles
from cli.progress import progress
from cli.views import out, show_fleet, show_json, talk
from contracts.program import PROGRAM_VERSION

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="An agent platform's infrastructure: bring it up locally, or run it for real.",
)
gpu_app = typer.Typer(
    no_args_is_help=True,
    help="The GPU fleet: offers, machines, logs, changes.",
    epilog="Examples: agent-docker gpu offers --refused · agent-docker gpu scale 3 · "
    "agent-docker gpu replace gpu-7k2x",
)
for command, example in (
    (gpu.offers, "gpu offers --limit 5 · agent-docker gpu offers --refused --json"),
    (gpu.instances, "gpu instances --json"),
    (gpu.logs, "gpu logs gpu-7k2x --tail 20"),
    (gpu_changes.scale, "gpu scale 3 · agent-docker gpu scale 1 --victim gpu-7k2x"),
    (gpu_changes.replace, "gpu replace gpu-7k2x"),
    (gpu_changes.roll, "gpu roll · agent-docker gpu roll gpu-7k2x --deadline 30"),
    (gpu_changes.register, "gpu register · agent-docker gpu register gpu-7k2x"),
    (gpu_changes.drain, "gpu drain gpu-7k2x --deadline 30"),
):
    gpu_app.command(epilog=f"Examples: agent-docker {example}")(command)
app.add_typer(gpu_app, name="gpu")
autoscaler_app = typer.Typer(
    no_args_is_help=True,
    help="The autoscaler: look at it, pause it, fix a count, see why it decided.",
    epilog="Examples: agent-docker autoscaler status · agent-docker autoscaler fix 3 · "
    "agent-docker autoscaler decisions --limit 5",
)
for name, act in (
    ("run", autoscaler.run),
    ("status", autoscaler.status),
    ("pause", autoscaler.pause),
    ("resume", autoscaler.resume),
    ("fix", autoscaler.fix),
    ("dry-run", autoscaler.dry_run),
    ("decisions", autoscaler.decisions),
):
    autoscaler_app.command(name=name)(act)
app.add_typer(autoscaler_app, name="autoscaler")
app.add_typer(nas_app.app, name="nas")
app.add_typer(agents_app.app, name="agents")
backup_app = typer.Typer(
    no_args_is_help=True,
    help="Backups of the NAS's services: take, list, restore, prove.",
    epilog="Examples: agent-docker backup run · agent-docker backup verify postgres",
)
for name, keep in (
    ("run", backup.run),
    ("list", backup.list_),
    ("restore", backup.restore),
    ("verify", backup.verify),
):
    backup_app.command(name=name)(keep)
app.add_typer(backup_app, name="backup")

EXIT_CODES = (
    "Exit codes: 0 done; 1 failed, or not all is well; 2 wrong settings or arguments; 3 another "
    "command or update is at work; 4 refused, nothing was changed; 5 Vast.ai; 6 agent-router; "
    "128 + n stopped by signal n (130: Ctrl-C)."
)


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"agent-docker {PROGRAM_VERSION}")
        raise typer.Exit


@app.callback(
    epilog="Examples: agent-docker up · agent-docker status --json · agent-docker gpu scale 3 · "
    f"agent-docker down\n\n{EXIT_CODES}"
)
def main(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Bring an agent platform's infrastructure up locally, or run it for real.

    Data goes to standard output, progress and errors to standard error.
    """


@app.command(epilog="Examples: agent-docker up · agent-docker up --json --vast-port 8801")
def up(
    *,
    vast_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the local Vast.ai; 0 takes any.")
    ] = 0,
    with_autoscaler: Annotated[
        bool,
        typer.Option(
            "--autoscaler/--no-autoscaler",
            help="Run the autoscaler, with a queue and agent-router's stand-in.",
        ),
    ] = True,
    with_nas: Annotated[
        bool,
        typer.Option("--nas/--no-nas", help="Run the NAS's services on this machine's Docker."),
    ] = True,
    with_agents: Annotated[
        bool, typer.Option("--agents/--no-agents", help="Run the agents on a cluster.")
    ] = True,
    kubeconfig: Kubeconfig = None,
    as_json: Json = False,
) -> None:
    """Bring the local profile up: engine, local cloud, machines, autoscaler, NAS, agents.

    Harmless when it is up. Never reaches anything beyond this machine.

    Stopped or failed, it leaves what ran before.
    """
    with progress() as shown:
        view = local.up(
            LocalFiles.of(os.environ),
            os.environ,
            shown,
            vast_port=vast_port,
            autoscaler=with_autoscaler,
        )
        files = LocalFiles.of(os.environ)
        services_up = nas_local.up(files, os.environ, shown) if with_nas else None
        agents_up = agents_local.up(files, os.environ, shown, kubeconfig) if with_agents else None
    if as_json:
        nas_told = None if services_up is None else [one.name for one in services_up.services]
        whole = view.model_dump(mode="json")
        show_json({**whole, "nas": nas_told, "agents": agents_up, "phases": shown.phases})
        return
    show_fleet(view)
    if services_up is not None:
        out.print(f"{len(services_up.services)} services of the NAS work")
    if agents_up is not None:
        out.print(f"{len(agents_up)} agents are up: {', '.join(agents_up)}")
    talk.print(
        "it runs on: `make status` looks again, "
        + ("`make demo` sends a burst of jobs, " if with_autoscaler else "")
        + "`make down` ends it"
    )


@app.command(epilog="Examples: agent-docker demo · agent-docker demo --jobs 200 --json")
def demo(
    *,
    jobs: Annotated[int, typer.Option(min=1, max=5000, help="Jobs in the burst.")] = 500,
    figures: Annotated[
        Path | None, typer.Option(help="Write the figures to this JSON file too.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Push a burst of jobs on the local profile and watch the fleet follow it up and down.

    Brings the local profile up first if it is down.
    """
    from cli import demo as show  # noqa: PLC0415 - only this command needs it

    files = LocalFiles.of(os.environ)
    if services.running(files, services.AUTOSCALER) is None:
        with progress() as shown:
            local.up(files, os.environ, shown, vast_port=0, autoscaler=True)
    run = show.Demo(world=show.World.of(files), jobs=jobs)
    summary = run.run()
    if figures is not None:
        show.write_figures(figures, summary)
    if as_json:
        show_json({**summary, "decisions": run.decisions})
    else:
        show.show(summary, run.decisions)
    if summary["jobs_lost"] or summary["jobs_on_draining"]:
        raise typer.Exit(1)


@app.command()
def down(*, as_json: Json = False) -> None:
    """End everything of the local profile: its machines, its stack, its cloud."""
    with progress() as shown:
        files = LocalFiles.of(os.environ)
        ran = agents_local.down(files, os.environ, shown)
        ran = nas_local.down(files, os.environ, shown) or ran
        ran = local.down(files, os.environ, shown) or ran
    if as_json:
        show_json({"ran": ran})
    else:
        talk.print("the local profile is down" if ran else "nothing was running")


@app.command(epilog="Examples: agent-docker status · agent-docker status --production --json")
def status(*, production: Production = False, as_json: Json = False) -> None:
    """Show slots, machines, prices and which endpoints answer; 1 unless all is well."""
    profile = chosen(production=production)
    with progress() as shown:
        shown.say("looking at the stack and the machines")
        view = observe.observe(profile.fleet(shown.on_event), profile.kind)
        seen = autoscaler.glance(profile)
    if as_json:
        show_json({**view.model_dump(mode="json"), "healthy": view.healthy, "autoscaler": seen})
    else:
        show_fleet(view)
        if seen is not None:
            autoscaler.show_glance(seen)
    if not view.healthy:
        raise typer.Exit(1)


@app.command(name="init", epilog="Example: agent-docker init gpu")
def init_stack(stack: StackName, *, as_json: Json = False) -> None:
    """Write a random owner id into the stack's settings; without it nothing is rented."""
    given = init.init(stack, os.environ)
    if as_json:
        show_json({"stack": stack, "owner": given.owner, "written": given.written})
    elif given.written:
        out.print(f"wrote {init.KEY}: {given.owner} to {given.path}", soft_wrap=True)
        talk.print("commit it: it is no secret, and the machines are known by it")
    else:
        out.print(f"{given.path} has its owner already: {given.owner}", soft_wrap=True)


@app.command(epilog="Examples: agent-docker recover gpu · agent-docker recover gpu --production")
def recover(stack: StackName, *, production: Production = False, as_json: Json = False) -> None:
    """Bring account and stack back together after a crash; loses and doubles nothing."""
    with changing("recover", production=production, stack=stack) as profile, progress() as shown:
        shown.say("looking at the account and the stack")
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
    if any(check.state == "missing" for check in checks):
        raise typer.Exit(1)
