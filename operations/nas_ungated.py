"""Which image each service ran before updates that no gate has let pass yet, and since when."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from providers.vastai.pacing import replace_text


class Left(BaseModel):
    """What updates left that no gate has judged.

    `begun` is when the first of them began, by the daemon's clock. `updates` are the numbers of
    updates at which the stack is still as this machine left it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    begun: datetime
    updates: tuple[int, ...] = ()
    images: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Ungated:
    """A small file that outlives the process: it may die between an update and its check.

    It counts until somebody else updates the stack: what that one found is not known here.
    """

    folder: Path
    stack: str

    @property
    def _path(self) -> Path:
        return self.folder / f"{self.stack}-ungated.json"

    def begin(self, images: Mapping[str, str], *, updates: int, now: datetime) -> Left | None:
        """Before an update of a stack that has had `updates`: `images` run now.

        What an earlier one left unchecked wins, and is returned: a service that is new since then
        has never worked.
        """
        left = self.kept(updates)
        self.restore(left or Left(begun=now, images=images))
        self.goes_on(updates)
        return left

    def kept(self, updates: int) -> Left | None:
        """What is left of a stack that has had `updates`; forgotten when somebody else had one."""
        left = self.left()
        if left is None or updates not in left.updates:
            self.clear()
            return None
        return left

    def goes_on(self, updates: int) -> None:
        """An update begins when the stack has had `updates`."""
        # One more too: of a process that dies, the update may have been recorded or not. Somebody
        # else's first update after that cannot be told from its own.
        self._number(updates, updates + 1)

    def ended(self, updates: int) -> None:
        """The update ended, not well, but this process knows: the stack has had `updates`."""
        self._number(updates)

    def left(self) -> Left | None:
        """What is in the file; None when every update was checked."""
        try:
            return Left.model_validate_json(self._path.read_text())
        except (OSError, ValueError):
            return None

    def images(self) -> Mapping[str, str]:
        """The images before."""
        left = self.left()
        return left.images if left else {}

    def restore(self, left: Left | None) -> None:
        """Have just `left` in the file."""
        if left is None:
            self.clear()
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_text(self._path, left.model_dump_json())

    def clear(self) -> None:
        """A gate has judged, or there is nothing to go back to."""
        self._path.unlink(missing_ok=True)

    def _number(self, *updates: int) -> None:
        left = self.left()
        if left is not None:
            self.restore(left.model_copy(update={"updates": updates}))
