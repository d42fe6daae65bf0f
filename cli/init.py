"""Giving a stack its owner id: what makes its machines recognisable as its own."""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from cli.files import fresh_owner, write_whole
from cli.settings import read_yaml, settings_file
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
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096  # Long lines of the file stay as they are.
    document: Any = read_yaml(path, yaml) or CommentedMap()
    config = _mapping(document, "config")
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
    text = io.StringIO()
    yaml.dump(document, text)
    write_whole(path, text.getvalue(), mode=path.stat().st_mode & 0o777)
    return Given(path=path, owner=fresh, written=True)


def _mapping(document: Any, key: str) -> Any:  # noqa: ANN401 - ruamel's own kind of mapping
    if document.get(key) is None:
        document[key] = CommentedMap()
    return document[key]
