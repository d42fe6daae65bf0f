"""Which image each service ran before updates that no gate has let pass yet."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from providers.vastai.pacing import replace_text


@dataclass(frozen=True, kw_only=True)
class Ungated:
    """A small file that outlives the process: it may die between an update and its check."""

    folder: Path
    stack: str

    @property
    def _path(self) -> Path:
        return self.folder / f"{self.stack}-ungated.json"

    def begin(self, images: Mapping[str, str]) -> None:
        """Before an update: `images` run now; what an earlier one left unchecked wins."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_text(self._path, json.dumps({**images, **self.images()}))

    def images(self) -> dict[str, str]:
        """The images before; empty when every update was checked."""
        try:
            found: dict[str, str] = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return found

    def clear(self) -> None:
        """A gate has judged."""
        self._path.unlink(missing_ok=True)
