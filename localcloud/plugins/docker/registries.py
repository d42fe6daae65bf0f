"""Who we are to the registries, as the provider's settings say."""

import base64
import binascii
import json
from dataclasses import dataclass, field
from pathlib import Path

from localcloud.plugins.model import PluginError
from localcloud.plugins.values import Properties, Values, flag_of, maps_of, text_of

_HUB = "docker.io"


@dataclass(frozen=True)
class Registry:
    """One registry and the account there."""

    address: str
    username: str
    password: str = field(repr=False)

    @property
    def auth(self) -> dict[str, str]:
        """What the daemon wants in order to pull."""
        return {
            "username": self.username,
            "password": self.password,
            "serveraddress": self.address,
        }


def registries(settings: Properties) -> tuple[Registry, ...]:
    """The accounts of `registryAuth`. Raises PluginError for a file that holds none."""
    return tuple(
        _account(entry)
        for entry in maps_of(settings, "registryAuth")
        if not flag_of(entry, "authDisabled")
    )


def host_of(image: str) -> str:
    """The registry that an image's name points at."""
    first, slash, _ = image.partition("/")
    named = slash and ("." in first or ":" in first or first == "localhost")
    return first if named else _HUB


def auth_for(image: str, known: tuple[Registry, ...]) -> dict[str, str] | None:
    """The account for `image`, if one is known."""
    host = host_of(image)
    for registry in known:
        if _plain(registry.address) == host:
            return registry.auth
    return None


def _plain(address: str) -> str:
    host = address.split("://", 1)[-1].split("/", 1)[0]
    return _HUB if host in {"index.docker.io", "registry-1.docker.io"} else host


def _account(entry: Values) -> Registry:
    address = text_of(entry, "address")
    if text_of(entry, "username"):
        return Registry(address, text_of(entry, "username"), text_of(entry, "password"))
    content = text_of(entry, "configFileContent")
    file = Path(text_of(entry, "configFile", "~/.docker/config.json")).expanduser()
    try:
        auths = json.loads(content or file.read_text()).get("auths", {})
        found = next(value for key, value in auths.items() if _plain(key) == _plain(address))
        name, _, password = base64.b64decode(found["auth"]).decode().partition(":")
    except (OSError, ValueError, KeyError, AttributeError, StopIteration, binascii.Error) as error:
        source = "configFileContent" if content else str(file)
        raise PluginError(
            f"registryAuth for {address}: no account in {source}, expected one under `auths`\n"
            "hint: set username and password, or authDisabled"
        ) from error
    return Registry(address, name, password)
