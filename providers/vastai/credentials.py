"""The Vast.ai key and address: read from the environment at call time, never stored."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from contracts.errors import SettingsError
from contracts.program import OFFLINE_VARIABLE

DEFAULT_URL = "https://console.vast.ai"
KEY_VARIABLE = "VASTAI_API_KEY"
KEY_ALIAS = "VAST_API_KEY"
TAILNET_KEY_VARIABLE = "TAILSCALE_AUTH_KEY"
URL_VARIABLE = "VAST_URL"
PACE_VARIABLE = "AGENT_DOCKER_VAST_PACE"
# Keys of the local profile start so; they must never be sent to a real account's address.
DUMMY_PREFIX = "local-"


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Who calls, and where. The key has no place in `repr`."""

    key: str = field(repr=False)
    url: str = DEFAULT_URL
    paced: bool = True

    @classmethod
    def read(cls, env: Mapping[str, str]) -> "Credentials":
        """The credentials in `env`; SettingsError when absent, contradictory or unsafe."""
        url = env.get(URL_VARIABLE, "").strip() or DEFAULT_URL
        key = _one_key(env)
        if not _is_sound(url):
            raise SettingsError(
                f"{URL_VARIABLE} must be https://<host>, or http:// on loopback, got {url}"
            )
        local, dummy = _is_loopback(url), key.startswith(DUMMY_PREFIX)
        if dummy and not local:
            raise SettingsError(
                f"a local dummy key must not be sent to {url}",
                hint=f"set {KEY_VARIABLE} to the account's key",
            )
        if env.get(OFFLINE_VARIABLE) == "1" and not (dummy and local):
            raise SettingsError(
                f"the local profile reaches loopback with a `{DUMMY_PREFIX}` key only, got {url}",
                hint="this protects the real account; leave the local profile to use it",
            )
        unpaced = env.get(PACE_VARIABLE) == "off"
        if unpaced and not local:
            raise SettingsError(
                f"{PACE_VARIABLE}=off is for loopback only, {URL_VARIABLE} is {url}"
            )
        return cls(key=key, url=url.rstrip("/"), paced=not unpaced)


def _one_key(env: Mapping[str, str]) -> str:
    first, second = env.get(KEY_VARIABLE, "").strip(), env.get(KEY_ALIAS, "").strip()
    if first and second and first != second:
        raise SettingsError(
            f"{KEY_VARIABLE} and {KEY_ALIAS} hold different keys", hint="unset one of them"
        )
    key = first or second
    if not key:
        raise SettingsError(
            f"{KEY_VARIABLE} is not set", hint=f"export {KEY_VARIABLE}=<key of the Vast.ai account>"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError(f"{KEY_VARIABLE} holds characters that no key does")
    return key


def _is_sound(url: str) -> bool:
    """Whether the key may travel there: encrypted, or within this machine."""
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    safe = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(url))
    return named and safe and not parts.username


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def tailnet_key(env: Mapping[str, str]) -> str:
    """The tailnet's key: it travels in the rental's environment and is stored nowhere."""
    key = env.get(TAILNET_KEY_VARIABLE, "").strip()
    if not key:
        raise SettingsError(
            f"{TAILNET_KEY_VARIABLE} is not set: a machine could not join the tailnet",
            hint="export an ephemeral, pre-authorized, tagged key",
        )
    return key
