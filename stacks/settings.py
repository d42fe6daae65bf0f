"""Settings of the stack that runs, as contracts; a user's mistake ends without a traceback."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

import pulumi
from pydantic import BaseModel

from contracts import outputs
from contracts.errors import AgentDockerError, SettingsError
from contracts.labels import OWNER_PATTERN
from contracts.program import OFFLINE_VARIABLE, PROJECT
from contracts.settings import parse, require_secrets
from stacks.last_update import LastUpdate

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


def read_secrets(needed: Iterable[str]) -> dict[str, pulumi.Input[str]]:
    """The stack's secrets in clear: what is made of them is marked secret again."""
    text = pulumi.runtime.get_config(f"{PROJECT}:secrets")
    given: Mapping[str, str] = json.loads(text) if text else {}
    require_secrets(needed, given, stack=pulumi.get_stack())
    return {**given}


def offline() -> bool:
    """Whether this is the local profile, which reaches nothing beyond this machine."""
    return os.environ.get(OFFLINE_VARIABLE) == "1"


def owner_id(last: LastUpdate) -> str:
    """The stack's owner id; refuses one that would make the machines it has strangers."""
    owner, stack = pulumi.Config().get("owner"), pulumi.get_stack()
    if not owner:
        raise SettingsError(
            f"Pulumi.{stack}.yaml has no agent-docker:owner, so machines could not be told apart",
            hint=f"run `agent-docker init {stack}` once; it writes a random owner id",
        )
    if not re.fullmatch(OWNER_PATTERN, owner):
        raise SettingsError(f"agent-docker:owner must match {OWNER_PATTERN}, got {owner!r}")
    recorded = last.output(outputs.OWNER)
    if recorded not in {None, owner} and last.output(outputs.INSTANCES):
        raise SettingsError(
            f"agent-docker:owner is {owner!r}, the last update's machines have {recorded!r}",
            hint="put the owner back; a new one begins with an empty fleet (destroy first)",
        )
    return owner
