"""What an update was about to do, written down before it begins.

If the process dies, recovery finishes what was asked for instead of guessing; a finished update
removes its intent.
"""

import json
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.slots import SlotSet


class Intent(BaseModel):
    """The slots an update aimed at, and those it gave up."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    slots: SlotSet
    victims: tuple[str, ...] = ()


def write(folder: Path, stack: str, intent: Intent) -> None:
    """Record `intent` so that it survives the death of this process, and of the machine."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = _path(folder, stack)
    fresh = path.with_suffix(".new")
    with fresh.open("w") as file:
        file.write(json.dumps(intent.model_dump(mode="json")))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def read(folder: Path, stack: str) -> Intent | None:
    """The intent of an update that did not finish; None when there is none to be read."""
    try:
        return Intent.model_validate_json(_path(folder, stack).read_text())
    except (OSError, ValidationError):
        return None


def clear(folder: Path, stack: str) -> None:
    """The update finished."""
    _path(folder, stack).unlink(missing_ok=True)


def _path(folder: Path, stack: str) -> Path:
    return folder / f"intent-{stack}.json"
