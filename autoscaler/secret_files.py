"""Secrets of a container, read from the files that its environment names."""

from collections.abc import Mapping
from pathlib import Path

from contracts.errors import SettingsError

# What may stand in a file instead; Pulumi has a variable of its own for its passphrase.
FROM_FILES = (
    "VASTAI_API_KEY",
    "VAST_API_KEY",
    "TAILSCALE_AUTH_KEY",
    "REDIS_URL",
    "PULUMI_BACKEND_URL",
    "PULUMI_ACCESS_TOKEN",
)
_SUFFIX = "_FILE"


def with_secret_files(env: Mapping[str, str]) -> dict[str, str]:
    """`env` with the content of the file that `<NAME>_FILE` names as `<NAME>`.

    An environment is shown by `docker inspect`, a file is not. SettingsError when a file cannot be
    read, is empty, or the variable itself is there too.
    """
    found = dict(env)
    for name in FROM_FILES:
        path = found.pop(f"{name}{_SUFFIX}", None)
        if path is None:
            continue
        if env.get(name):
            raise SettingsError(f"{name} and {name}{_SUFFIX} are both set", hint="keep one of them")
        try:
            text = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{name}{_SUFFIX}: {path} cannot be read: {error}") from None
        if not text:
            raise SettingsError(f"{name}{_SUFFIX}: {path} is empty")
        found[name] = text
    return found
