"""Facts of the program itself that both halves name."""

PROJECT = "agent-docker"
# Recorded as a stack output: a service older than the program that wrote a stack holds.
PROGRAM_VERSION = "0.1.0"
OFFLINE_VARIABLE = "AGENT_DOCKER_OFFLINE"
CONTAINER_TYPE = "docker:index/container:Container"
INSTANCE_TYPE = "pulumi-python:dynamic/vastai:Instance"


def recover_command(stack: str, *, offline: bool) -> str:
    """The command a refusal names, for the profile the program runs in."""
    return f"agent-docker recover {stack}{'' if offline else ' --production'}"
