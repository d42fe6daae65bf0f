"""Where the local profile keeps its things."""

import contextlib
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from providers.vastai.credentials import DUMMY_PREFIX

ROOT = Path(__file__).resolve().parent.parent
FOLDER_VARIABLE = "AGENT_DOCKER_LOCAL_DIR"
# Gone with the cloud whose machines they describe.
_OF_ONE_CLOUD = ("backend", "operations", "run", "tmp")


@dataclass(frozen=True, kw_only=True)
class LocalFiles:
    """The local profile's folder: private, ignored by git."""

    folder: Path

    @classmethod
    def of(cls, env: Mapping[str, str]) -> "LocalFiles":
        """`AGENT_DOCKER_LOCAL_DIR`, else `.local` in the checkout."""
        chosen = env.get(FOLDER_VARIABLE)
        return cls(folder=Path(chosen).resolve() if chosen else ROOT / ".local")

    def prepare(self) -> None:
        """Make the folders and the random secrets, once."""
        for name in ("agents", "home", "nas", "nas-backend", *_OF_ONE_CLOUD):
            (self.folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, value in (
            ("passphrase", secrets.token_urlsafe(24)),
            ("vast-key", DUMMY_PREFIX + secrets.token_hex(16)),
            ("tailnet-key", DUMMY_PREFIX + secrets.token_hex(16)),
            ("owner", fresh_owner()),
        ):
            if not (self.folder / name).exists():
                # Whole or not at all: an empty passphrase would be one for ever.
                write_whole(self.folder / name, value)

    def read(self, name: str) -> str:
        """The content of one of the random files."""
        return (self.folder / name).read_text().strip()

    def cloud(self) -> dict[str, Any] | None:
        """What the local cloud said when it started, and its process; None when it never did."""
        try:
            said: dict[str, Any] = json.loads(self.cloud_file.read_text())
        except (OSError, ValueError):
            return None
        return said

    @property
    def cloud_file(self) -> Path:
        """Where `cloud` is written."""
        return self.folder / "cloud.json"

    @property
    def backend(self) -> Path:
        """The stack's state, locks and history."""
        return self.folder / "backend"

    @property
    def nas_backend(self) -> Path:
        """State, locks and history of the nas stack, whose data outlives a local cloud."""
        return self.folder / "nas-backend"

    def agents_backend(self, kubeconfig: str | None) -> Path:
        """State, locks and history of the agents on a cluster; None is the one that `up` starts.

        One for each cluster: what is recorded of one says nothing of another.
        """
        if kubeconfig is None:
            return self.folder / "agents-backend"
        digest = hashlib.sha256(str(Path(kubeconfig).resolve()).encode()).hexdigest()
        return self.folder / f"agents-backend-{digest[:12]}"

    @property
    def agents_backends(self) -> list[Path]:
        """The backends of all clusters that were named; each has a file that names its cluster."""
        return sorted(self.folder.glob("agents-backend-*"))

    @property
    def cluster(self) -> Path:
        """The data of the control plane that `up` starts."""
        return self.folder / "cluster"

    @property
    def operations(self) -> Path:
        """Intents, records and work folders of operations."""
        return self.folder / "operations"

    @property
    def before(self) -> Path:
        """What ran before the `up` that is at work."""
        return self.folder / "before"

    @property
    def checkpoint(self) -> Path | None:
        """The gpu stack's state file; None before its first update."""
        return next((self.backend / ".pulumi" / "stacks").rglob("gpu.json"), None)

    @property
    def of_one_cloud(self) -> list[Path]:
        """The folders that are forgotten with a cloud."""
        return [*(self.folder / name for name in _OF_ONE_CLOUD), self.before]


def fresh_owner() -> str:
    """A random owner that YAML reads as text: never digits only, nor a number such as 1e5."""
    while True:
        owner = secrets.token_hex(6)
        if owner[0].isalpha():
            return owner


def write_whole(path: Path, text: str, mode: int = 0o600) -> None:
    """Write `path` so that it is never seen, nor left, half written."""
    descriptor, fresh = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(fresh).chmod(mode)
        Path(fresh).replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            Path(fresh).unlink()
        if isinstance(error, OSError):
            # A full disk is told of by a descriptor, which has no name.
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
