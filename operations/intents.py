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
    """The slots an update aimed at, those it gave up, and the `base` it started from.

    `destroy` is the end of the whole fleet, `remove` that of its stack too.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    slots: SlotSet
    victims: tuple[str, ...] = ()
    base: SlotSet | None = None
    destroy: bool = False
    remove: bool = False

    def stands(self, recorded: SlotSet | None) -> bool:
        """Whether nobody has updated the stack since: its `recorded` slots are old or new ones.

        After a later update to other slots an intent would rent again what was given up since.
        """
        if recorded is None and self.destroy:
            return True
        now = recorded.slots if recorded else None
        return now in {self.base.slots if self.base else None, self.slots.slots}


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
    _sync(folder)


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


def _sync(folder: Path) -> None:
    # The new name itself must survive too.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
