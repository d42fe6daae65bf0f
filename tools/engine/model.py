"""What an engine is: the pinned version, the platform's name, and where one was found."""

import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# The same number as `pulumi==` in pyproject.toml and `require` in go.mod: pinned together.
PINNED = "3.259.0"
LANGUAGE_HOST = "pulumi-language-python"
OFFLINE_PLUGINS = Path(__file__).parent / "plugins"

Source = Literal["path", "release", "go"]

_ARCHITECTURES = {"x86_64": "x64", "amd64": "x64", "arm64": "arm64", "aarch64": "arm64"}
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(-\S+)?")


@dataclass(frozen=True)
class Engine:
    """A verified `pulumi` and the folders that one child process needs on its PATH for plugins."""

    pulumi: Path
    source: Source
    version: str
    plugin_dirs: tuple[Path, ...]


def engine_at(pulumi: Path, source: Source, version: str) -> Engine:
    """Describe a verified binary: its own folder if the official language host is there too.

    A package manager may link `pulumi` alone into a common folder, so the link is followed.
    """
    for folder in (pulumi.parent, pulumi.resolve().parent):
        if (folder / LANGUAGE_HOST).exists():
            return Engine(pulumi, source, version, (folder,))
    return Engine(pulumi, source, version, (OFFLINE_PLUGINS,))


def platform_name() -> str:
    """Return this machine as Pulumi's releases name it, such as linux-x64."""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}-{_ARCHITECTURES.get(machine, machine)}"


def is_acceptable(version: str) -> bool:
    """Tell whether `version` is the pinned one or newer within its major."""
    found, pinned = _VERSION.fullmatch(version), _VERSION.fullmatch(PINNED)
    if found is None or pinned is None:
        return False
    have, want = _numbers(found), _numbers(pinned)
    if have == want:
        return found[4] is None  # a pre-release of the pinned version comes before it
    return have[0] == want[0] and have > want


def _numbers(version: re.Match[str]) -> tuple[int, int, int]:
    return int(version[1]), int(version[2]), int(version[3])
