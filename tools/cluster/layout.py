"""Where a cluster keeps what in its data folder, and which folders it may call its own."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tools.cluster.errors import NotOurs

_MARK = "agent-docker-cluster"


@dataclass(frozen=True)
class Layout:
    """Paths below one data folder; `data` is absolute."""

    data: Path

    @classmethod
    def of(cls, data: Path) -> "Layout":
        """Describe the folder at `data`, links followed."""
        return cls(data.expanduser().resolve())

    @property
    def lock(self) -> Path:
        """What whoever starts or stops holds; beside the folder, because stopping removes that."""
        return self.data.with_name(f".{self.data.name}.lock")

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.data / "kubeconfig"

    @property
    def tokens(self) -> Path:
        """The API server's list of tokens."""
        return self.data / "tokens.csv"

    @property
    def signing_key(self) -> Path:
        """Signs the tokens of service accounts."""
        return self.data / "service-accounts.key"

    @property
    def certificate(self) -> Path:
        """Which the API server makes for itself."""
        return self.data / "certificates" / "apiserver.crt"

    @property
    def certificate_key(self) -> Path:
        """Written after the certificate."""
        return self.certificate.with_suffix(".key")

    @property
    def port(self) -> Path:
        """Holds the API server's port: kept, so that kubeconfigs outlive a new start."""
        return self.data / "port"

    def component_kubeconfig(self, user: str) -> Path:
        """That of a component."""
        return self.data / f"{user.removeprefix('system:')}.kubeconfig"

    def log(self, part: str) -> Path:
        """What a component says."""
        return self.data / "logs" / f"{part}.log"

    def create(self) -> None:
        """Make the folder, readable by nobody else. Raises NotOurs for one in other use."""
        self.check()
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.data.chmod(0o700)
        (self.data / _MARK).touch()
        (self.data / "logs").mkdir(exist_ok=True)

    def remove(self) -> None:
        """Remove the folder. Raises NotOurs for one in other use."""
        self.check()
        if self.data.exists():
            shutil.rmtree(self.data)

    def check(self) -> None:
        """Raise NotOurs unless the folder is missing, empty or a cluster's."""
        if not self.data.exists() or (self.data / _MARK).exists():
            return
        if not self.data.is_dir() or any(self.data.iterdir()):
            raise NotOurs(
                f"{self.data} is not the folder of a cluster, and not empty",
                "give --data a folder that does not exist yet",
            )
