"""What an update was about to do, written down before it begins.

If the process dies, recovery finishes what was asked for instead of guessing; a finished update
removes its intent.
"""

import json
import os
from collections.abc import Collection
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.slots import SlotSet
from operations.state import StackState


class Intent(BaseModel):
    """The slots an update aimed at, those it gave up, and the `base` it started from.

    `updates` is how many updates the stack had had by then. `destroy` is the end of the whole
    fleet, `remove` that of its stack too.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    slots: SlotSet
    victims: tuple[str, ...] = ()
    base: SlotSet | None = None
    updates: int = 0
    destroy: bool = False
    remove: bool = False

    def stands(self, state: StackState) -> bool:
        """Whether nobody has updated the stack since: it is as it was, or as this update made it.

        After a later one an intent would rent again what was given up since, or end what others
        have taken back, though the slots may be the same.
        """
        if state.slots is None and self.destroy:
            return True
        now = state.slots.slots if state.slots else None
        before = self.base.slots if self.base else None
        return (now, state.updates) in {
            (before, self.updates),
            (self.slots.slots, self.updates + 1),
        }

    def sparing(self, names: Collection[str], state: StackState) -> "Intent":
        """The same, but that the machines of the slots `names` stay.

        What was asked of a slot before this update holds on, unless its machine is of this update
        already.
        """
        asked = set(self.slots.names)
        machines = {one.slot: (one.generation, one.revision) for one in state.machines}
        kept = {
            slot.name: slot
            for slot in (state.slots or SlotSet()).slots
            if slot.name in names
            and (
                slot.name not in asked
                or machines.get(slot.name) == (slot.generation, slot.revision)
            )
        }
        slots = {slot.name: slot for slot in self.slots.slots} | kept
        return self.model_copy(
            update={
                "slots": SlotSet(slots=tuple(slots.values()), issued=self.slots.issued),
                "victims": tuple(name for name in self.victims if name not in kept),
            }
        )


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
