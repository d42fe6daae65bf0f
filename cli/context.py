"""What every command shares: the profile it works in, and how it ends."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from cli.profile import GPU, Profile, local_profile, production_profile
from cli.views import talk
from contracts.errors import AgentDockerError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document for scripts.")]
Production = Annotated[
    bool,
    typer.Option(
        "--production",
        envvar="AGENT_DOCKER_PRODUCTION",
        help="Work on the real account and backend of this shell, not on the local profile.",
    ),
]
StackName = Annotated[str, typer.Argument(help="The stack, e.g. gpu.", metavar="STACK")]
SlotName = Annotated[str, typer.Argument(help="The slot, e.g. gpu-7k2x.", metavar="SLOT")]
INTERRUPTED = 130


def chosen(*, production: bool, stack: str = GPU) -> Profile:
    """The profile that the command was asked to work in."""
    return production_profile(stack, os.environ) if production else local_profile(os.environ)


@contextmanager
def mistakes() -> Iterator[None]:
    """A user's mistake ends with its message, its hint and its exit code; never a traceback."""
    try:
        yield
    except AgentDockerError as error:
        complain(error.message, error.hint)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        talk.print("interrupted")
        sys.exit(INTERRUPTED)
    except Exception as error:
        # The engine's tools stand alone and have a base of their own with the same two fields.
        if not hasattr(error, "hint"):
            raise
        complain(str(getattr(error, "message", error)), str(error.hint))
        sys.exit(1)


def complain(message: str, hint: str | None) -> None:
    """An error as every command prints it."""
    talk.print("[red]error:[/red] ", end="")
    talk.print(message, markup=False)
    if hint:
        talk.print("[cyan]hint:[/cyan] ", end="")
        talk.print(hint, markup=False)
