"""Settings of the stack that runs, as contracts; a user's mistake ends without a traceback."""

import os
from typing import TypeVar

import pulumi
from pydantic import BaseModel

from contracts.errors import AgentDockerError
from contracts.program import OFFLINE_VARIABLE
from contracts.settings import parse

M = TypeVar("M", bound=BaseModel)


def refuse(error: AgentDockerError) -> pulumi.RunError:
    """`error` as Pulumi shows it: message and hint, no traceback."""
    return pulumi.RunError(str(error))


def load(key: str, model: type[M]) -> M | None:
    """The document below `agent-docker:<key>`, or None when the stack has none."""
    document = pulumi.Config().get_object(key)
    if document is None:
        return None
    try:
        return parse(model, document, where=f"Pulumi.{pulumi.get_stack()}.yaml", key=key)
    except AgentDockerError as error:
        raise refuse(error) from None


def required(key: str, model: type[M]) -> M:
    """As `load`, but the document must be there."""
    found = load(key, model)
    if found is None:
        raise pulumi.RunError(f"Pulumi.{pulumi.get_stack()}.yaml: agent-docker:{key} is required")
    return found


def offline() -> bool:
    """Whether this is the local profile, which reaches nothing beyond this machine."""
    return os.environ.get(OFFLINE_VARIABLE) == "1"
