"""Where benchmarks leave their numbers for others to read: `build/figures/<name>.json`."""

import json
from collections.abc import Mapping
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent.parent / "build" / "figures"


def write(name: str, numbers: Mapping[str, float]) -> Path:
    """Write flat `numbers` as `<name>.json`; the path."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    path = _FOLDER / f"{name}.json"
    path.write_text(json.dumps(dict(numbers), indent=1) + "\n")
    return path
