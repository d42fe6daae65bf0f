"""Giving a stack its owner id: what makes its machines recognisable as its own."""

import re
import secrets
from pathlib import Path

from ruamel.yaml import YAML

from cli.profile import ROOT
from cli.views import out
from contracts.errors import SettingsError
from contracts.labels import OWNER_PATTERN
from contracts.program import PROJECT

KEY = f"{PROJECT}:owner"


def init(stack: str, root: Path = ROOT) -> str:
    """Write `agent-docker:owner` into `Pulumi.<stack>.yaml`, keeping its comments; the owner.

    An owner that is there stays: another one would make every machine a stranger.
    """
    path = root / f"Pulumi.{stack}.yaml"
    if not path.exists():
        known = sorted(file.name.split(".")[1] for file in root.glob("Pulumi.*.yaml"))
        raise SettingsError(
            f"{path.name} does not exist", hint=f"the stacks are: {', '.join(known) or 'none'}"
        )
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 100
    document = yaml.load(path)
    config = document.setdefault("config", {})
    owner = config.get(KEY)
    if owner is not None:
        if not re.match(OWNER_PATTERN, str(owner)):
            raise SettingsError(f"{path.name}: {KEY} must match {OWNER_PATTERN}, got {owner!r}")
        out.print(f"{path.name} has its owner already: {owner}")
        return str(owner)
    fresh = secrets.token_hex(6)
    config.insert(0, KEY, fresh)
    with path.open("w") as file:
        yaml.dump(document, file)
    out.print(f"wrote {KEY}: {fresh} to {path.name}; commit it, it is no secret")
    return fresh
