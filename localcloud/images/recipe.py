"""What a stand-in image is made of, as plain data. No files, no network."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["service", "qdrant", "s3", "cloudflared", "redis", "postgres"]

STAND_IN_LABEL = "agent-docker.stand-in"
RECIPE_LABEL = "agent-docker.recipe"


@dataclass(frozen=True)
class Owner:
    """A user and a group, as numbers."""

    uid: int = 0
    gid: int = 0


ROOT = Owner()


@dataclass(frozen=True)
class Folder:
    """An empty folder; a new volume mounted there takes over its owner and mode."""

    path: str
    owner: Owner = ROOT
    mode: int = 0o755


@dataclass(frozen=True)
class Text:
    """A file with this text."""

    path: str
    text: str
    mode: int = 0o644


@dataclass(frozen=True)
class Shipped:
    """A file of this package, from the folder files/."""

    path: str
    name: str
    mode: int = 0o644


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    path: str
    target: str


@dataclass(frozen=True)
class Standin:
    """The program of standin/, or busybox where a service must do without Go."""

    path: str = "/usr/bin/standin"


@dataclass(frozen=True)
class Programs:
    """Programs of this machine with the libraries they load; `package` is what brings them."""

    names: tuple[str, ...]
    package: str


@dataclass(frozen=True)
class Postgres:
    """The newest PostgreSQL server of this machine, with its clients, and files beside its own."""

    extension: tuple[str, ...]


Part = Folder | Text | Shipped | Link | Standin | Programs | Postgres


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One kind of stand-in; `what` names what it takes the place of."""

    kind: Kind
    what: str
    parts: tuple[Part, ...]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict[str, str])
    user: str = "65532:65532"
    expose: tuple[int, ...] = ()
    volumes: tuple[str, ...] = ()
    workdir: str = "/"

    def changes(self) -> list[str]:
        """Return the image's settings as lines of a Dockerfile, of those that an import takes."""
        lines = [f"ENTRYPOINT {json.dumps(self.entrypoint)}"]
        lines += [f"CMD {json.dumps(self.command)}"] if self.command else []
        lines += [f"ENV {name}={json.dumps(value)}" for name, value in sorted(self.env.items())]
        lines += [f"EXPOSE {port}" for port in self.expose]
        lines += [f"VOLUME {json.dumps(self.volumes)}"] if self.volumes else []
        lines += [f"USER {self.user}", f"WORKDIR {self.workdir}"]
        return [*lines, f"LABEL {STAND_IN_LABEL}={self.kind}"]


def digest(layer: bytes, changes: list[str]) -> str:
    """Return what changes when the image would: the label by which an old one is known."""
    found = hashlib.sha256(layer)
    found.update("\n".join(changes).encode())
    return found.hexdigest()
