"""What the shell completes: read from files, so that a Tab costs nothing."""

import json
import os
from collections.abc import Iterator
from typing import Any

from cli.files import LocalFiles
from cli.settings import settings_file
from contracts.errors import SettingsError
from contracts.outputs import SLOTS


def slots(incomplete: str) -> list[str]:
    """Slots of the local stack's last update that begin with `incomplete`."""
    checkpoint = LocalFiles.of(os.environ).checkpoint
    try:
        document: Any = json.loads(checkpoint.read_text()) if checkpoint else {}
        names = list(_names(document["checkpoint"]["latest"]["resources"]))
    except (OSError, ValueError, LookupError, TypeError):
        return []
    return [name for name in names if name.startswith(incomplete)]


def stacks(incomplete: str) -> list[str]:
    """Stacks that have a settings file."""
    try:
        folder = settings_file("gpu", os.environ).parent
    except SettingsError:
        return []
    names = (path.name.removeprefix("Pulumi.")[:-5] for path in folder.glob("Pulumi.*.yaml"))
    return sorted(name for name in names if name.startswith(incomplete))


def agents(incomplete: str) -> list[str]:
    """Agents of the local profile that have a stack of their own, of all clusters."""
    folder = LocalFiles.of(os.environ).folder
    stacks = folder.glob("agents-backend*/.pulumi/stacks/*/agents.*.*.json")
    names = {path.name.removesuffix(".json").split(".")[2] for path in stacks}
    return sorted(name for name in names if name.startswith(incomplete))


def _names(resources: list[dict[str, Any]]) -> Iterator[str]:
    for resource in resources:
        if resource["type"] == "pulumi:pulumi:Stack":
            yield from (slot["name"] for slot in resource["outputs"][SLOTS]["slots"])
