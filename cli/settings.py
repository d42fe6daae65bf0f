"""The stacks' settings files, read before anything is started."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from cli.files import ROOT
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
