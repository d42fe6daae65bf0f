"""Records of what happened, numbered from 0; of which the last are kept."""

import time
from collections import deque
from itertools import islice

Json = dict[str, object]
KEPT = 10_000


class Journal:
    """Numbered records; old ones are forgotten, numbers never reused."""

    def __init__(self, kept: int = KEPT) -> None:
        self._rows: deque[Json] = deque(maxlen=kept)
        self._next = 0

    def add(self, **facts: object) -> None:
        """Append a record."""
        self._rows.append({"n": self._next, **facts})
        self._next += 1

    def event(self, kind: str, **facts: object) -> None:
        """Append a record of something that happens now."""
        self.add(at=time.time(), event=kind, **facts)

    def since(self, first: int) -> tuple[list[Json], int]:
        """Return the records numbered `first` and later that are kept, and the next number."""
        oldest = self._next - len(self._rows)
        return list(islice(self._rows, max(0, first - oldest), None)), self._next
