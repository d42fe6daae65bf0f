"""Bounds what a file backend keeps of a stack's past updates.

Each update leaves a copy of the whole state, for ever. Other backends have rules of their own for
that (docs/autoscaler.md); what is written here is ordinary files, and only those of one stack.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from contracts.program import PROJECT

BACKEND_VARIABLE = "PULUMI_BACKEND_URL"
# A second copy of each state, that nothing reads: the history holds it already.
NO_BACKUPS = {"PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true"}
KEPT_UPDATES = 100


def prune(env: Mapping[str, str], stack: str, *, kept: int = KEPT_UPDATES) -> int:
    """Remove all but the last `kept` updates from the history; how many files went.

    Never fails an operation that has succeeded: what cannot be removed stays until the next time.
    """
    folder = _folder(env.get(BACKEND_VARIABLE, ""), stack)
    if folder is None:
        return 0
    files = sorted(folder.glob(f"{stack}-*"))
    updates = sorted({_number(path) for path in files})
    gone = set(updates[:-kept])
    removed = 0
    for path in files:
        if _number(path) in gone:
            with contextlib.suppress(OSError):
                path.unlink()
                removed += 1
    return removed


def _number(path: Path) -> int:
    """The time in `gpu-1764022951123456789.history.json`; 0 for a name of another form."""
    digits = path.name.partition(".")[0].rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0


def _folder(backend: str, stack: str) -> Path | None:
    parts = urlsplit(backend)
    if parts.scheme != "file":
        return None
    root = Path(unquote(f"{parts.netloc}{parts.path}")).expanduser()
    return root / ".pulumi" / "history" / PROJECT / stack
