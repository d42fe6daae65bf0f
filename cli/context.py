"""What every command shares: its options, the profile it works in, and who may change it."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

import typer

from cli.completion import slots, stacks
from cli.lock import exclusive
from cli.profile import GPU, Profile, local_profile, production_profile

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document for scripts.")]
Production = Annotated[
    bool,
    typer.Option(
        "--production",
        envvar="AGENT_DOCKER_PRODUCTION",
        help="Work on the real account and backend of this shell, not on the local profile.",
    ),
]
StackName = Annotated[
    str, typer.Argument(help="The stack, e.g. gpu.", metavar="STACK", autocompletion=stacks)
]
SlotName = Annotated[
    str, typer.Argument(help="The slot, e.g. gpu-7k2x.", metavar="SLOT", autocompletion=slots)
]
Slots = Annotated[
    list[str] | None,
    typer.Argument(help="Slots; none means all.", metavar="[SLOT]...", autocompletion=slots),
]


def chosen(*, production: bool, stack: str = GPU) -> Profile:
    """The profile that the command was asked to work in."""
    return production_profile(stack, os.environ) if production else local_profile(os.environ)


@contextmanager
def changing(command: str, *, production: bool, stack: str = GPU) -> Generator[Profile]:
    """As `chosen`, for a command that changes the stack: one at a time on the local profile.

    In production the stack's own lock keeps people and services apart.
    """
    profile = chosen(production=production, stack=stack)
    if profile.files is None:
        yield profile
        return
    with exclusive(profile.files, command):
        yield profile
