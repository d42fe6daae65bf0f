"""The state in a file, so that it survives a restart of the emulator."""

import json
import os
import tempfile
from pathlib import Path

from localcloud.cloudflare.state import State, from_json


def load(path: Path) -> State | None:
    """Return the state that was saved, None without a file; ValueError names a broken one."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None
    try:
        return from_json(json.loads(text))
    except ValueError as error:
        raise ValueError(
            f"{path} holds no state of the Cloudflare emulator: {error}; delete it to start anew"
        ) from None


def save(path: Path, state: State) -> None:
    """Write the state, whole or not at all; it holds secrets, so only its owner may read it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(state.as_json(), file, indent=1)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
