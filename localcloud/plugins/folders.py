"""Where the local profile's engine finds resource plugins: ours, or official ones on request."""

import os
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "OFFLINE_PLUGINS"
OURS = Path(__file__).resolve().parent / "bin"


def folders(env: Mapping[str, str]) -> list[Path]:
    """The folder of the offline plugins; with OFFLINE_PLUGINS=0 those of PATH that hold any."""
    if env.get(VARIABLE) != "0":
        return [OURS]
    named = [Path(part) for part in env.get("PATH", "").split(os.pathsep) if part]
    return [folder for folder in named if any(folder.glob("pulumi-resource-*"))]
