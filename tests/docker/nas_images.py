"""Stand-ins under the flags that production uses: what each of them was proven with."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from docker import DockerClient
from docker.models.containers import Container

from localcloud.images import Kind
from tests.docker.daemon import until

REGISTRY = "registry.gitlab.com/blueflyio/agent-platform"
REFERENCES: dict[str, Kind] = {
    f"{REGISTRY}/agent-mesh:1.4.0": "service",
    f"{REGISTRY}/agent-router:2.0.1": "service",
    "qdrant/qdrant:v1.15.4-unprivileged": "qdrant",
    "quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z": "s3",
    "cloudflare/cloudflared:2026.10.0": "cloudflared",
    "redis:7.2-alpine": "redis",
    "pgvector/pgvector:pg16": "postgres",
}
SECRETS = "/run/secrets"
PASSWORD = "not-a-real-password"  # noqa: S105 - as it says
TOKEN = "eyJhIjoiYTEiLCJ0IjoidC0xIiwicyI6ImMyVmpjbVYwIn0="  # noqa: S105 - {"a":"a1","t":"t-1",…}
NANOSECONDS = 1_000_000_000
HEALTHY_SECONDS = 60.0
END_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Running:
    """How a service of the stack runs, as far as its image matters."""

    test: list[str]
    user: str
    port: int | None
    env: dict[str, str] = field(default_factory=dict[str, str])
    command: list[str] | None = None
    tmpfs: dict[str, str] = field(default_factory=dict[str, str])
    data: tuple[str, ...] = ()
    # File in /run/secrets → text.
    secrets: dict[str, str] = field(default_factory=dict[str, str])


_TMP = {"/tmp": "rw,noexec,nosuid,size=64m"}  # noqa: S108 - a container's
_QDRANT_TEST = (
    "exec 3<>/dev/tcp/127.0.0.1/6333; printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3;"
    " head -n1 <&3 | grep -q ' 200'"
)

PRODUCTION: Mapping[Kind, Running] = {
    "service": Running(
        test=["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:3005/health"],
        user="10001:10001",
        port=3005,
        env={"PORT": "3005"},
    ),
    "qdrant": Running(
        test=["CMD", "bash", "-c", _QDRANT_TEST],
        user="1000:1000",
        port=6333,
        env={
            "QDRANT__SERVICE__API_KEY": PASSWORD,
            "QDRANT_INIT_FILE_PATH": "/qdrant/storage/.init",
        },
        data=("/qdrant/storage", "/qdrant/snapshots"),
    ),
    "s3": Running(
        test=["CMD", "curl", "-fsS", "http://127.0.0.1:9000/minio/health/live"],
        user="1000:1000",
        port=9000,
        env={
            "MINIO_ROOT_USER": "root-user",
            "MINIO_ROOT_PASSWORD_FILE": f"{SECRETS}/minio",
            "MC_CONFIG_DIR": "/tmp/.mc",  # noqa: S108 - a container's
        },
        command=["server", "/data", "--console-address", ":9001"],
        tmpfs=_TMP,
        data=("/data",),
        secrets={"minio": PASSWORD},
    ),
    "cloudflared": Running(
        test=["CMD", "cloudflared", "tunnel", "--metrics", "127.0.0.1:20241", "ready"],
        user="65532:65532",
        port=None,
        env={"TUNNEL_METRICS": "127.0.0.1:20241", "TUNNEL_TOKEN_FILE": f"{SECRETS}/token"},
        command=["tunnel", "run"],
        secrets={"token": TOKEN},
    ),
    "redis": Running(
        test=["CMD-SHELL", "redis-cli ping | grep -q PONG"],
        user="999:1000",
        port=6379,
        env={"REDISCLI_AUTH": PASSWORD},
        command=["redis-server", f"{SECRETS}/redis.conf"],
        data=("/data",),
        secrets={
            "redis.conf": f"requirepass {PASSWORD}\nappendonly yes\ndir /data\n"
            "maxmemory 64mb\nmaxmemory-policy noeviction\n"
        },
    ),
    "postgres": Running(
        test=[
            "CMD-SHELL",
            'pg_isready -q -h 127.0.0.1 -U "$POSTGRES_USER" -d "$POSTGRES_DB"',
        ],
        user="999:999",
        port=5432,
        env={
            "POSTGRES_USER": "platform",
            "POSTGRES_DB": "agents",
            "POSTGRES_PASSWORD_FILE": f"{SECRETS}/postgres",
        },
        tmpfs={**_TMP, "/var/run/postgresql": "rw,noexec,nosuid,size=16m,uid=999,gid=999"},
        data=("/var/lib/postgresql/data",),
        secrets={"postgres": PASSWORD + "\n"},
    ),
}


def reference(kind: Kind) -> str:
    return next(text for text, found in REFERENCES.items() if found == kind)


class Nas:
    """A daemon with a network, for containers that are gone afterwards, with their volumes."""

    def __init__(self, client: DockerClient, network: str) -> None:
        self.client = client
        self._network = network

    @contextmanager
    def running(
        self, kind: Kind, secrets: str, volumes: str = "", env: dict[str, str] | None = None
    ) -> Iterator[Container]:
        """A healthy container of this kind; `volumes` names the ones that its data stays in."""
        how = PRODUCTION[kind]
        container = self.client.containers.create(
            reference(kind),
            how.command,
            environment={**how.env, **(env or {})},
            user=how.user,
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            network=self._network,
            ports={f"{how.port}/tcp": ("127.0.0.1", None)} if how.port else {},
            tmpfs=how.tmpfs,
            volumes={
                secrets: {"bind": SECRETS, "mode": "ro"},
                **{
                    f"{volumes}{path.replace('/', '-')}": {"bind": path, "mode": "rw"}
                    for path in (how.data if volumes else ())
                },
            },
            healthcheck={
                "test": how.test,
                "interval": NANOSECONDS // 4,
                "timeout": 5 * NANOSECONDS,
                "start_period": 30 * NANOSECONDS,
                "retries": 3,
            },
        )
        try:
            container.start()
            healthy(container)
            yield container
        finally:
            container.remove(force=True, v=True)


def healthy(container: Container) -> None:
    """Wait for it; a container that ended says why."""

    def is_healthy() -> bool:
        container.reload()
        state: dict[str, Any] = container.attrs["State"]
        assert state["Running"], container.logs().decode()
        return bool(state["Health"]["Status"] == "healthy")

    try:
        until(is_healthy, HEALTHY_SECONDS)
    except AssertionError:
        health = json.dumps(container.attrs["State"]["Health"])
        raise AssertionError(f"{container.logs().decode()}\n{health}") from None


def url(container: Container) -> str:
    """Where the container's one port is on this machine."""
    container.reload()
    (bindings,) = (found for found in container.ports.values() if found)
    return f"http://127.0.0.1:{bindings[0]['HostPort']}"


def run(container: Container, *command: str, ok: bool = True) -> str:
    code, output = container.exec_run(list(command))
    assert (code == 0) is ok, f"{command}: {code}: {output!r}"
    return str(output.decode())


def ended(container: Container, name: str = "SIGTERM") -> tuple[int, float]:
    """Send the signal; the exit code and how long it took."""
    start = time.monotonic()
    container.kill(name)
    code = int(container.wait(timeout=30)["StatusCode"])
    return code, time.monotonic() - start
