"""The command a rented machine runs: start.sh, shortened to what Vast.ai accepts.

Pure text, no Pulumi. The same file always gives the same command: an unchanged script is no diff.
"""

import hashlib
from importlib import resources
from typing import Final

from contracts.errors import AgentDockerError

ENTRYPOINT: Final = "/bin/bash"
# Vast.ai counts args, args_str and onstart together.
MAX_CHARACTERS: Final = 4096

# What the script reads. The first three come with every rental.
AUTH_KEY_VARIABLE: Final = "TAILSCALE_AUTH_KEY"
SLOT_VARIABLE: Final = "AGENT_DOCKER_SLOT"
MODELS_VARIABLE: Final = "AGENT_DOCKER_MODELS"
# Set by Vast.ai in the container: the contract's id, and the same as `C.<id>`.
CONTRACT_VARIABLE: Final = "CONTAINER_ID"
CONTAINER_LABEL_VARIABLE: Final = "VAST_CONTAINERLABEL"
# Settings with a default.
OLLAMA_HOST_VARIABLE: Final = "OLLAMA_HOST"
LISTEN_ALL_VARIABLE: Final = "AGENT_DOCKER_LISTEN_ALL"
HOME_VARIABLE: Final = "AGENT_DOCKER_HOME"
RETRY_DELAY_VARIABLE: Final = "AGENT_DOCKER_RETRY_DELAY"


class StartScriptTooLong(AgentDockerError):
    """The command would be refused by Vast.ai."""


def source() -> str:
    """Return start.sh as it is written."""
    return resources.files("providers.vastai").joinpath("start.sh").read_text(encoding="utf-8")


def shorten(script: str) -> str:
    """Drop comment lines, blank lines and indentation.

    That keeps the meaning only of scripts without here-documents and without strings whose lines
    begin with blanks or `#` that count.
    """
    lines = (line.strip() for line in script.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#"))


def render() -> str:
    """Return the script as it is sent."""
    return shorten(source())


def start_args() -> list[str]:
    """Return the arguments of ENTRYPOINT; with it they are within Vast.ai's limit."""
    return fit(["-c", render()])


def start_command() -> list[str]:
    """Return the whole command, entrypoint first."""
    return [ENTRYPOINT, *start_args()]


def digest() -> str:
    """Return a short name of the script's present text."""
    return hashlib.sha256(render().encode()).hexdigest()[:12]


def fit(args: list[str]) -> list[str]:
    """Return `args` unchanged, or refuse what is longer than Vast.ai takes."""
    size = len(ENTRYPOINT) + sum(map(len, args))
    if size > MAX_CHARACTERS:
        raise StartScriptTooLong(
            f"the start command has {size} characters, Vast.ai takes {MAX_CHARACTERS}",
            hint="shorten start.sh; comments and indentation are free",
        )
    return args
