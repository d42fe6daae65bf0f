"""Services of the NAS: the document `agent-docker:services`, one record a service."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self, cast

from pydantic import Field, RootModel, field_validator, model_validator

from contracts.images import require_versioned
from contracts.settings import Strict

ServiceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
HostLabel = r"^[a-z0-9]+(-+[a-z0-9]+)*$"
Port = Annotated[int, Field(ge=1, le=65535)]
Capability = Annotated[str, Field(pattern=r"^(CAP_)?[A-Z]+(_[A-Z]+)*$")]
# Where a service finds its files; nothing else may be mounted there.
FILES_FOLDER = "/run/secrets"
# A secret that the ingress makes; all others are settings.
TUNNEL_TOKEN = "tunnel-token"  # noqa: S105 - its name
_SECRET = re.compile(r"\$\{([a-z][a-z0-9-]*)\}")
_SQL_NAME = r"^[a-z_][a-z0-9_]{0,62}$"
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CLIENTS: Mapping[str, tuple[str, ...]] = {
    "wget": ("wget", "-q", "-O", "/dev/null", "{url}"),
    "curl": ("curl", "-fsS", "-o", "/dev/null", "{url}"),
    "node": (
        "node",
        "-e",
        "fetch('{url}').then(r=>process.exit(r.ok?0:1),()=>process.exit(1))",
    ),
    "python": ("python3", "-c", "import urllib.request as u;u.urlopen('{url}',timeout=4)"),
}


class Health(Strict):
    """How Docker asks a container whether it works: by HTTP from inside, or by a command."""

    http: str | None = Field(
        default=None, pattern=r"^/", description="Path that answers 2xx on the service's port."
    )
    client: Literal["wget", "curl", "node", "python"] = Field(
        default="wget", description="What the image has to ask with."
    )
    command: tuple[str, ...] = Field(
        default=(), description="Instead: Docker's test, `[CMD, …]` or `[CMD-SHELL, …]`."
    )
    interval_seconds: int = Field(default=10, ge=1, le=3600, description="Between two checks.")
    timeout_seconds: int = Field(default=5, ge=1, le=600, description="Longest check.")
    retries: int = Field(default=3, ge=1, le=100, description="Failures until unhealthy.")
    start_period_seconds: int = Field(
        default=30, ge=0, le=3600, description="Failures at the start that do not count."
    )

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.http is None) == (not self.command):
            raise ValueError("must have either `http` or `command`")
        if self.command and self.command[0] not in {"CMD", "CMD-SHELL"}:
            raise ValueError(f"command must begin with CMD or CMD-SHELL, got {self.command[0]!r}")
        return self

    def test(self, port: int | None) -> tuple[str, ...]:
        """Docker's `test` of a service on `port`."""
        if self.command:
            return self.command
        # 127.0.0.1: `localhost` may mean ::1, where nothing listens.
        url = f"http://127.0.0.1:{port}{self.http}"
        return ("CMD", *(part.replace("{url}", url) for part in _CLIENTS[self.client]))


class Volume(Strict):
    """Data that outlives the container."""

    name: str = Field(
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,100}$",
        description="Docker's name of the volume; one that exists is taken over with its data.",
    )
    path: str = Field(pattern=r"^/", description="Where the service finds it.")


class PostgresSchema(Strict):
    """What a Postgres service has in it before anyone uses it."""

    role: str = Field(pattern=_SQL_NAME, description="Its superuser: POSTGRES_USER.")
    database: str = Field(pattern=_SQL_NAME, description="Its first database: POSTGRES_DB.")
    password: str = Field(
        pattern=r"^[a-z][a-z0-9-]*$",
        description="Name of the secret that is the role's password; set anew when it changes.",
    )
    databases: tuple[Annotated[str, Field(pattern=_SQL_NAME)], ...] = Field(
        default=(), description="More databases."
    )
    extensions: tuple[Annotated[str, Field(pattern=_SQL_NAME)], ...] = Field(
        default=(), description="Extensions in every database, e.g. `vector`."
    )


class Host(Strict):
    """The service's name on the internet."""

    name: str = Field(
        pattern=HostLabel, max_length=63, description="Label below the zone, e.g. `api`."
    )
    public: bool = Field(
        default=False, description="Nobody has to log in; otherwise Cloudflare Access asks."
    )


class Service(Strict):
    """One container that is always on."""

    image: str = Field(description="Image with a version, e.g. `redis:7.4.1-alpine`.")
    port: Port | None = Field(default=None, description="Port that it listens on.")
    owner: str = Field(default="infrastructure", description="Who answers for it; a label.")
    command: tuple[str, ...] = Field(default=(), description="Instead of the image's command.")
    env: dict[str, str] = Field(
        default_factory=dict, description="Environment; anyone on the NAS can read it."
    )
    files: dict[str, str] = Field(
        default_factory=dict,
        description=f"Files below `{FILES_FOLDER}` by name; `${{name}}` in them is a secret.",
    )
    volumes: tuple[Volume, ...] = Field(default=(), description="Its data.")
    health: Health = Field(description="How it is asked whether it works.")
    host: Host | None = Field(default=None, description="Its name on the internet, if any.")
    depends_on: tuple[ServiceName, ...] = Field(
        default=(), description="Services that are started before it."
    )
    memory_mb: int = Field(default=256, ge=16, description="Most memory, MiB; no swap beyond it.")
    shm_mb: int | None = Field(default=None, ge=1, description="Shared memory, MiB.")
    cpus: float | None = Field(default=None, gt=0, le=256, description="Most cores.")
    user: str | None = Field(
        default="10001:10001",
        pattern=r"^\d+(:\d+)?$",
        description="Numeric user, and group; `null` means the image's own.",
    )
    read_only: bool = Field(default=True, description="The image's own files cannot be changed.")
    tmpfs: tuple[str, ...] = Field(
        default=("/tmp",),  # noqa: S108 - inside
        description="Folders in memory: `/path` or `/path:options`.",
    )
    capabilities: tuple[Capability, ...] = Field(
        default=(),
        description="Kernel capabilities it keeps, e.g. `CHOWN` or `CAP_CHOWN`; all others go.",
    )
    stop_grace_seconds: int = Field(
        default=10, ge=0, le=600, description="What it is given to end by itself."
    )
    init: bool = Field(default=False, description="Run it below an init process.")
    hostname: str | None = Field(
        default=None,
        pattern=HostLabel,
        description="Its own host name, where that must not change.",
    )
    postgres: PostgresSchema | None = Field(
        default=None, description="Of a Postgres: what must be in it."
    )
    backup: Literal["postgres", "redis", "qdrant", "s3"] | None = Field(
        default=None, description="How its data is backed up."
    )

    @field_validator("image")
    @classmethod
    def _image_names_a_version(cls, image: str) -> str:
        return require_versioned(image)

    @field_validator("host", mode="before")
    @classmethod
    def _host_may_be_a_name(cls, host: object) -> object:
        return {"name": host} if isinstance(host, str) else host

    @field_validator("env")
    @classmethod
    def _env_has_names(cls, env: dict[str, str]) -> dict[str, str]:
        for name in env:
            if not _ENV_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no variable's name")
        return env

    @field_validator("files")
    @classmethod
    def _files_are_templates(cls, files: dict[str, str]) -> dict[str, str]:
        for name, text in files.items():
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
                raise ValueError(f"{name!r} is no file's name: letters, digits, `.`, `_`, `-`")
            if not text:
                raise ValueError(f"{name} is empty, and Docker's provider writes no such file")
            if "${" in _SECRET.sub("", text):
                raise ValueError(f"{name}: a secret is written ${{name}}, in lower case")
        return files

    @field_validator("capabilities")
    @classmethod
    def _capabilities_are_single_ones(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if {"ALL", "CAP_ALL"}.intersection(names):
            raise ValueError("ALL would keep every capability: name those that it needs")
        return names

    @field_validator("volumes")
    @classmethod
    def _volumes_leave_the_files_alone(cls, volumes: tuple[Volume, ...]) -> tuple[Volume, ...]:
        paths = [volume.path.rstrip("/") for volume in volumes]
        if len(set(paths)) < len(paths):
            raise ValueError("two volumes have the same path")
        for path in paths:
            if path == FILES_FOLDER or path.startswith(f"{FILES_FOLDER}/"):
                raise ValueError(f"{FILES_FOLDER} is where `files` are, got {path!r}")
        return volumes

    @model_validator(mode="after")
    def _port_is_there(self) -> Self:
        if self.port is None and self.health.http is not None:
            raise ValueError("health.http needs a `port`")
        if self.port is None and self.host is not None:
            raise ValueError("host needs a `port`")
        return self

    @property
    def secrets(self) -> frozenset[str]:
        """Names of the secrets that it needs."""
        found = [name for text in self.files.values() for name in _SECRET.findall(text)]
        return frozenset(found if self.postgres is None else [*found, self.postgres.password])

    @property
    def kept_capabilities(self) -> tuple[str, ...]:
        """Its capabilities as daemons spell and sort them."""
        return tuple(sorted({f"CAP_{name.removeprefix('CAP_')}" for name in self.capabilities}))

    def rendered(self, secrets: Mapping[str, str]) -> dict[str, str]:
        """Its files with their secrets filled in; KeyError for one that `secrets` lacks."""
        return {
            name: _SECRET.sub(lambda found: secrets[found[1]], text)
            for name, text in self.files.items()
        }


def files_name(service: str) -> str:
    """What the volume of a service's files is called, and the container that writes them."""
    return f"{service}-files"


class Services(RootModel[dict[ServiceName, Service]]):
    """Every service by its name, in the order of the settings.

    They are written as a list: the engine hands mappings on in the order of the alphabet.
    """

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, given: object) -> object:
        if not isinstance(given, list):
            raise ValueError(f"must be a list of services, got {given!r}")  # noqa: TRY004
        found: dict[str, object] = {}
        for number, record in enumerate(cast("list[object]", given)):
            row = dict(cast("Mapping[str, object]", record)) if isinstance(record, dict) else {}
            name = row.pop("name", None)
            if not isinstance(name, str):
                raise ValueError(f"entry {number + 1} has no `name`")  # noqa: TRY004
            if name in found:
                raise ValueError(f"two services are called {name!r}")
            found[name] = row
        return found

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        wrong = [
            *_twice("port", {n: s.port for n, s in self.root.items()}),
            *_twice("host.name", {n: s.host and s.host.name for n, s in self.root.items()}),
            *_twice(
                "volumes.name",
                {f"{n} {v.path}": v.name for n, s in self.root.items() for v in s.volumes},
            ),
            *self._unknown(),
            *self._taken_by_files(),
        ]
        if wrong:
            raise ValueError("; ".join(wrong))
        self.ordered()
        return self

    def _unknown(self) -> list[str]:
        return [
            f"{name}.dependsOn: there is no service {other!r}"
            for name, service in self.root.items()
            for other in service.depends_on
            if other not in self.root
        ]

    def _taken_by_files(self) -> list[str]:
        taken = {files_name(name): name for name, service in self.root.items() if service.files}
        volumes = [(name, v.name) for name, service in self.root.items() for v in service.volumes]
        return [
            *(
                f"{name}.volumes: {volume!r} is the volume of {taken[volume]}'s `files`: "
                "call it otherwise"
                for name, volume in volumes
                if volume in taken
            ),
            *(
                f"{name}: {taken[name]}'s `files` are written by a container of this name: "
                "call the service otherwise"
                for name in self.root
                if name in taken
            ),
        ]

    def ordered(self) -> tuple[str, ...]:
        """Names such that each comes after all it depends on; ValueError names a cycle."""
        done: list[str] = []
        for name in self.root:
            self._visit(name, (), done)
        return tuple(done)

    def _visit(self, name: str, path: tuple[str, ...], done: list[str]) -> None:
        if name in done:
            return
        if name in path:
            cycle = " → ".join((*path[path.index(name) :], name))
            raise ValueError(f"dependsOn goes round in a circle: {cycle}")
        for other in self.root[name].depends_on:
            self._visit(other, (*path, name), done)
        done.append(name)

    @property
    def secrets(self) -> frozenset[str]:
        """Names of all secrets that the settings must have."""
        found = (name for service in self.root.values() for name in service.secrets)
        return frozenset(found) - {TUNNEL_TOKEN}


def _twice(what: str, values: Mapping[str, object]) -> list[str]:
    seen: dict[object, str] = {}
    wrong: list[str] = []
    for name, value in values.items():
        if value is not None and value in seen:
            wrong.append(f"{name}.{what}: {seen[value]} has {value!r} already")
        seen.setdefault(value, name)
    return wrong
