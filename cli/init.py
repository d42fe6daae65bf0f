"""Giving a stack its owner id: what makes its machines recognisable as its own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.files import fresh_owner
from cli.settings import Editable, settings_file
from contracts.errors import SettingsError
from contracts.labels import OWNER_PATTERN
from contracts.program import PROJECT

KEY = f"{PROJECT}:owner"


@dataclass(frozen=True, kw_only=True)
class Given:
    """The stack's owner; `written` when it had none before."""

    path: Path
    owner: str
    written: bool


def init(stack: str, env: Mapping[str, str]) -> Given:
    """Write `agent-docker:owner` into `Pulumi.<stack>.yaml`, keeping its comments.

    An owner that is there stays: another one would make every machine a stranger.
    """
    path = settings_file(stack, env)
    settings = Editable(path)
    config = settings.config
    owner: object = config.get(KEY)
    if owner is not None:
        if not isinstance(owner, str) or not re.fullmatch(OWNER_PATTERN, owner):
            raise SettingsError(
                f"{path}: {KEY} must match {OWNER_PATTERN}, got {owner!r}",
                hint="machines carry it: put back the one that was there, or remove the line",
            )
        return Given(path=path, owner=owner, written=False)
    fresh = fresh_owner()
    config.insert(0, KEY, fresh)
    settings.write()
    return Given(path=path, owner=fresh, written=True)
