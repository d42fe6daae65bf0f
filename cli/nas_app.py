"""The group `agent-docker nas` and its commands."""

import typer

from cli import nas, nas_edit

app = typer.Typer(
    no_args_is_help=True,
    help="The NAS: its always-on services, and how the internet reaches them.",
    epilog="Examples: agent-docker nas up · agent-docker nas status --json · "
    "agent-docker nas rollback redis",
)
for name, command, example in (
    ("up", nas.up, "nas up · agent-docker nas up --production --json"),
    ("status", nas.status, "nas status --json"),
    ("logs", nas.logs, "nas logs redis --tail 20 · agent-docker nas logs redis -f"),
    ("restart", nas.restart, "nas restart redis"),
    ("rollback", nas.rollback, "nas rollback redis · … --image redis:7.4.4-alpine"),
    ("retry", nas.retry, "nas retry redis"),
    ("down", nas.down, "nas down"),
    ("add", nas_edit.add, "nas add notes --image example.com/notes:1.4 --port 3020 --host notes"),
    ("update", nas_edit.update, "nas update redis --image redis:7.4.6-alpine"),
    ("remove", nas_edit.remove, "nas remove notes"),
):
    app.command(name=name, epilog=f"Example: agent-docker {example}")(command)
_images = typer.Typer(no_args_is_help=True, help="Images of the services.")
_images.command(name="lock", epilog="Example: agent-docker nas images lock --production")(
    nas_edit.lock
)
app.add_typer(_images, name="images")


@_images.callback()
def _only() -> None:
    """Keep `lock` a command of its own, though it is the only one."""
