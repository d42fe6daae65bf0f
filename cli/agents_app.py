"""The group `agent-docker agents` and its commands."""

import typer

from cli import agents, agents_stack

app = typer.Typer(
    no_args_is_help=True,
    help="OSSA agents on Kubernetes: check manifests, deploy them, look after them.",
    epilog="Examples: agent-docker agents validate *.ossa.yaml · "
    "agent-docker agents deploy critic.ossa.yaml --image example.com/critic:1.4 -n agents",
)
for name, command, example in (
    ("validate", agents.validate, "agents validate agents/*.yaml --strict --json"),
    ("render", agents.render, "agents render critic.yaml --image example.com/critic:1.4"),
    ("deploy", agents_stack.deploy, "agents deploy critic.yaml --image example.com/critic:1.4"),
    ("list", agents_stack.list_, "agents list --json"),
    ("status", agents_stack.status, "agents status critic"),
    ("scale", agents_stack.scale, "agents scale critic 3 · … scale critic 2 --max 6"),
    ("rollback", agents_stack.rollback, "agents rollback critic · … --back 2"),
    ("logs", agents_stack.logs, "agents logs critic -f"),
    ("delete", agents_stack.delete, "agents delete critic"),
):
    app.command(name=name, epilog=f"Example: agent-docker {example}")(command)
