"""The stacks' settings files, read before anything is started."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from cli.files import ROOT, write_whole
from contracts.errors import SettingsError
from contracts.fleet import FleetSettings
from contracts.program import PROJECT
from contracts.settings import parse

FOLDER_VARIABLE = "AGENT_DOCKER_SETTINGS_DIR"


def settings_file(stack: str, env: Mapping[str, str]) -> Path:
    """`Pulumi.<stack>.yaml` in `AGENT_DOCKER_SETTINGS_DIR`, else in the checkout; it exists."""
    folder = Path(env.get(FOLDER_VARIABLE) or ROOT).resolve()
    path = folder / f"Pulumi.{stack}.yaml"
    if not path.is_file():
        known = sorted(f.name.removeprefix("Pulumi.")[:-5] for f in folder.glob("Pulumi.*.yaml"))
        raise SettingsError(
            f"{path} does not exist", hint=f"the stacks are: {', '.join(known) or 'none'}"
        )
    return path


def read_yaml(path: Path, yaml: YAML | None = None) -> Any:  # noqa: ANN401 - any YAML
    """The document in `path`; SettingsError where it is no mapping of settings."""
    try:
        document = (yaml or YAML(typ="safe")).load(path)
    except (YAMLError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        raise SettingsError(f"{path} is not YAML: {said}") from None
    for name, part in (("it", document), ("config", _config(document))):
        if part is not None and not isinstance(part, Mapping):
            raise SettingsError(f"{path}: {name} must be a mapping, got {part!r}")
    return document


class Editable:
    """A stack's settings file that is changed in place: comments, order and quotes stay."""

    def __init__(self, path: Path) -> None:
        self._yaml = YAML()
        self._yaml.preserve_quotes = True
        self._yaml.width = 4096  # Long lines of the file stay as they are.
        self._yaml.indent(mapping=2, sequence=4, offset=2)
        self.path = path
        # Of ruamel's own kinds, which keep comments.
        self.document: Any = read_yaml(path, self._yaml) or CommentedMap()

    @property
    def config(self) -> Any:  # noqa: ANN401 - ruamel's own kind of mapping
        """The settings; an empty mapping is put in where there is none."""
        if self.document.get("config") is None:
            self.document["config"] = CommentedMap()
        return self.document["config"]

    @property
    def text(self) -> str:
        """The file as it would be written."""
        text = io.StringIO()
        self._yaml.dump(self.document, text)
        return text.getvalue()

    def write(self) -> None:
        """Write the file whole, with the mode that it has."""
        write_whole(self.path, self.text, mode=self.path.stat().st_mode & 0o777)


def stack_settings(stack: str, env: Mapping[str, str]) -> dict[str, Any]:
    """The settings in the stack's file, keys without the project's name."""
    config: Mapping[str, Any] = _config(read_yaml(settings_file(stack, env))) or {}
    return {str(key).removeprefix(f"{PROJECT}:"): value for key, value in config.items()}


def fleet_settings(settings: Mapping[str, Any], where: str) -> FleetSettings:
    """The fleet in `settings`, checked; every mistake is named by its path."""
    if settings.get("fleet") is None:
        raise SettingsError(f"{where}: {PROJECT}:fleet is required", hint="see docs/settings.md")
    return parse(FleetSettings, settings["fleet"], where=where, key="fleet")


def _config(document: object) -> Any:  # noqa: ANN401 - any YAML
    return cast("Mapping[str, Any]", document).get("config") if _is_mapping(document) else None


def _is_mapping(document: object) -> bool:
    return isinstance(document, Mapping)
