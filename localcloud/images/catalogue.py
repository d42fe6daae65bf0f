"""The six kinds of stand-in: users, paths and health tests of the real images."""

from collections.abc import Mapping

from localcloud.images.recipe import (
    Folder,
    Kind,
    Link,
    Owner,
    Part,
    Postgres,
    Programs,
    Recipe,
    Shipped,
    Standin,
    Text,
)

# Services of the platform whose image is not one of its own.
_KINDS: Mapping[str, Kind] = {
    "minio": "s3",
    "postgres": "postgres",
    "redis": "redis",
    "agent-brain": "qdrant",
    "cloudflared": "cloudflared",
}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
QDRANT = MINIO = Owner(1000, 1000)
REDIS = Owner(999, 1000)
POSTGRES = Owner(999, 999)
STANDIN = "/usr/bin/standin"

_USERS = """\
root:x:0:0:root:/:/usr/sbin/nologin
postgres:x:999:999:postgres:/var/lib/postgresql:/usr/sbin/nologin
app:x:1000:1000:app:/:/usr/sbin/nologin
nonroot:x:65532:65532:nonroot:/:/usr/sbin/nologin
"""
_GROUPS = "root:x:0:\npostgres:x:999:\napp:x:1000:\nnonroot:x:65532:\n"

# What every image has; a merged /usr, as the machines that programs are taken from have it.
_BASE: tuple[Part, ...] = (
    *(Link(f"/{name}", f"usr/{name}") for name in ("bin", "sbin", "lib", "lib64")),
    *(Folder(f"/usr/{name}") for name in ("bin", "sbin", "lib", "lib64")),
    *(Folder(f"/{name}") for name in ("dev", "etc", "proc", "run", "sys")),
    Folder("/tmp", mode=0o1777),  # noqa: S108 - a folder of the image
    Link("/var/run", "/run"),
    Text("/etc/passwd", _USERS),
    Text("/etc/group", _GROUPS),
    Text("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
    Text("/etc/stand-in", "This image is a stand-in, made by agent-docker without a registry.\n"),
)
_SHELL = Programs(("dash", "grep", "head", "cat"), "dash, grep and coreutils")
_AS_SH = Link("/usr/bin/sh", "dash")


def kind_of(service: str) -> Kind:
    """The kind of stand-in that a service of the platform can have."""
    return _KINDS.get(service, "service")


def catalogue() -> Mapping[Kind, Recipe]:
    """Return every kind with its recipe."""
    found = (_service(), _qdrant(), _s3(), _cloudflared(), _redis(), _postgres())
    return {recipe.kind: recipe for recipe in found}


def _service() -> Recipe:
    return Recipe(
        kind="service",
        what="one of the platform's own services",
        # In this order: without Go, busybox brings a wget of its own.
        parts=(*_BASE, Link("/usr/bin/wget", "standin"), Standin()),
        entrypoint=(STANDIN, "serve"),
        env={"PATH": PATH},
    )


def _qdrant() -> Recipe:
    return Recipe(
        kind="qdrant",
        what="Qdrant",
        parts=(
            *_BASE,
            Standin(),
            # The health test talks through bash's /dev/tcp: the real image has no client.
            Programs(("bash", "head", "grep"), "bash, coreutils and grep"),
            Link("/usr/bin/sh", "bash"),
            Folder("/qdrant", QDRANT),
            Folder("/qdrant/storage", QDRANT),
            Folder("/qdrant/snapshots", QDRANT),
        ),
        entrypoint=(STANDIN, "qdrant"),
        env={"PATH": PATH},
        user="1000:1000",
        expose=(6333, 6334),
        workdir="/qdrant",
    )


def _s3() -> Recipe:
    return Recipe(
        kind="s3",
        what="MinIO",
        parts=(
            *_BASE,
            Standin(),
            Link("/usr/bin/minio", "standin"),
            Link("/usr/bin/mc", "standin"),
            Link("/usr/bin/curl", "standin"),
            Folder("/data", MINIO),
        ),
        entrypoint=(STANDIN, "s3"),
        command=("server", "/data"),
        env={"PATH": PATH},
        user="1000:1000",
        expose=(9000,),
        volumes=("/data",),
    )


def _cloudflared() -> Recipe:
    program = "/usr/local/bin/cloudflared"
    return Recipe(
        kind="cloudflared",
        what="cloudflared",
        parts=(*_BASE, Standin(program)),
        entrypoint=("cloudflared", "--no-autoupdate"),
        command=("version",),
        env={"PATH": PATH},
    )


def _redis() -> Recipe:
    return Recipe(
        kind="redis",
        what="Redis",
        parts=(
            *_BASE,
            _SHELL,
            _AS_SH,
            Programs(("redis-server", "redis-cli"), "redis-server"),
            Shipped("/usr/local/bin/docker-entrypoint.sh", "redis.sh", 0o755),
            Folder("/data", REDIS),
        ),
        entrypoint=("docker-entrypoint.sh",),
        command=("redis-server",),
        env={"PATH": PATH},
        user="999:1000",
        expose=(6379,),
        volumes=("/data",),
        workdir="/data",
    )


def _postgres() -> Recipe:
    data = "/var/lib/postgresql/data"
    return Recipe(
        kind="postgres",
        what="PostgreSQL with pgvector",
        parts=(
            *_BASE,
            _SHELL,
            _AS_SH,
            Programs(("find", "rm"), "findutils and coreutils"),
            Postgres(("vector.control", "vector--0.0.0.sql")),
            Shipped("/usr/local/bin/docker-entrypoint.sh", "postgres.sh", 0o755),
            Folder("/docker-entrypoint-initdb.d"),
            Folder("/run/postgresql", POSTGRES),
            Folder("/var/lib/postgresql", POSTGRES),
            Folder(data, POSTGRES, 0o700),
        ),
        entrypoint=("docker-entrypoint.sh",),
        command=("postgres",),
        env={"LANG": "C.UTF-8", "PATH": PATH, "PGDATA": data},
        user="999:999",
        expose=(5432,),
        volumes=(data,),
    )
