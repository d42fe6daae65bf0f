"""Where benchmarks leave their numbers for others to read: `build/figures/<name>.json`."""

import json
from collections.abc import Mapping
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent.parent / "build" / "figures"


def merge(name: str, numbers: Mapping[str, float]) -> Path:
    """As `write`, keeping other numbers that are there already."""
    path = _FOLDER / f"{name}.json"
    old: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
    return write(name, {**old, **numbers})


def write(name: str, numbers: Mapping[str, float]) -> Path:
    """Write flat `numbers` as `<name>.json`; the path."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    path = _FOLDER / f"{name}.json"
    path.write_text(json.dumps(dict(numbers), indent=1) + "\n")
    return path
