"""Services with data on a real daemon: real PostgreSQL and Redis, stand-ins of Qdrant and S3."""

import contextlib
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from docker import DockerClient
from docker.models.containers import Container
from minio import Minio

from contracts.backups import BackupKind, BackupSettings
from localcloud.images import ensure
from operations.backups.kinds import Subject
from operations.backups.run import Backups
from tests.docker.daemon import Docker
from tests.docker.nas_images import NANOSECONDS, SECRETS, healthy

CANARY = "canary-backup-5e1c9a"
NETWORK = "backups"
IMAGES: dict[str, BackupKind] = {
    "local/postgres:16.1": "postgres",
    "local/redis:7.2": "redis",
    "local/qdrant:1.15": "qdrant",
    "local/minio:2025.9": "s3",
}
IMAGE = {kind: image for image, kind in IMAGES.items()}
FILES = {
    "redis.conf": f"requirepass {CANARY}\nappendonly yes\ndir /data\n",
    "redis-password": CANARY,
    "minio-password": CANARY,
    "postgres-password": CANARY,
}
_REDIS_TEST = f'REDISCLI_AUTH="$(cat {SECRETS}/redis-password)" redis-cli ping | grep -q PONG'
_QDRANT_TEST = (
    "exec 3<>/dev/tcp/127.0.0.1/6333; printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3;"
    " head -n1 <&3 | grep -q ' 200'"
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the shipped settings run it, as far as its data matters."""

    port: int
    user: str
    test: list[str]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    command: tuple[str, ...] = ()
    tmpfs: tuple[str, ...] = ()


RECIPES: dict[BackupKind, Recipe] = {
    "postgres": Recipe(
        port=5432,
        user="999:999",
        test=["CMD-SHELL", 'pg_isready -q -h 127.0.0.1 -U "$POSTGRES_USER" -d "$POSTGRES_DB"'],
        env={
            "POSTGRES_USER": "agent",
            "POSTGRES_DB": "agent_platform",
            "POSTGRES_PASSWORD_FILE": f"{SECRETS}/postgres-password",
        },
        tmpfs=("/var/run/postgresql:rw,uid=999,gid=999", "/tmp:rw"),  # noqa: S108 - a container's
    ),
    "redis": Recipe(
        port=6379,
        user="999:1000",
        test=["CMD-SHELL", _REDIS_TEST],
        command=("redis-server", f"{SECRETS}/redis.conf"),
    ),
    "qdrant": Recipe(port=6333, user="1000:1000", test=["CMD", "bash", "-c", _QDRANT_TEST]),
    "s3": Recipe(
        port=9000,
        user="1000:1000",
        test=["CMD", "curl", "-fsS", "http://127.0.0.1:9000/minio/health/live"],
        env={
            "MINIO_ROOT_USER": "agent-platform",
            "MINIO_ROOT_PASSWORD_FILE": f"{SECRETS}/minio-password",
        },
        command=("server", "/data"),
    ),
}


class World:
    """One daemon, its services, and a folder for their backups."""

    def __init__(self, docker: Docker, client: DockerClient, secrets: Path) -> None:
        self.docker = docker
        self.client = client
        self._secrets = secrets

    def backups(self, folder: Path, **settings: object) -> Backups:
        given = {"directory": str(folder), **settings}
        return Backups(url=self.docker.host, settings=BackupSettings.model_validate(given))

    @contextlib.contextmanager
    def service(self, kind: BackupKind) -> Iterator["Service"]:
        recipe, name = RECIPES[kind], f"backup-{kind}"
        container = self.client.containers.create(
            IMAGE[kind],
            list(recipe.command) or None,
            name=name,
            environment=dict(recipe.env),
            user=recipe.user,
            read_only=kind in {"postgres", "redis"},
            cap_drop=["ALL"],
            network=NETWORK,
            ports={f"{recipe.port}/tcp": ("127.0.0.1", None)},
            tmpfs=dict(text.split(":", 1) for text in recipe.tmpfs),
            volumes={str(self._secrets): {"bind": SECRETS, "mode": "ro"}},
            healthcheck={
                "test": recipe.test,
                "interval": NANOSECONDS // 4,
                "timeout": 5 * NANOSECONDS,
                "start_period": 30 * NANOSECONDS,
                "retries": 3,
            },
        )
        try:
            container.start()
            healthy(container)
            yield DATA[kind](self, container, kind)
        finally:
            container.remove(force=True, v=True)

    def left(self) -> list[str]:
        """Containers of restore tests."""
        return self.docker("ps", "-a", "-q", "--filter", "name=restore-test").split()


class Service(ABC):
    """A running service whose data can be written, lost and looked at."""

    def __init__(self, world: World, container: Container, kind: BackupKind) -> None:
        self.world, self.container, self.kind = world, container, kind
        recipe = RECIPES[kind]
        self.subject = Subject(
            service=kind,
            kind=kind,
            container=f"backup-{kind}",
            image=IMAGE[kind],
            port=recipe.port,
            env=recipe.env,
            command=recipe.command,
            user=recipe.user,
        )

    @property
    def place(self) -> str:
        """Where it is now: a new start may publish another port."""
        self.container.reload()
        (bound,) = (found for found in self.container.ports.values() if found)
        return f"127.0.0.1:{bound[0]['HostPort']}"

    def run(self, *command: str) -> str:
        return self.world.docker("exec", self.subject.container, *command).strip()

    @abstractmethod
    def write(self) -> None: ...

    @abstractmethod
    def more(self) -> None:
        """Data that a backup of before does not have."""

    @abstractmethod
    def lose(self) -> None: ...

    @abstractmethod
    def look(self) -> object: ...


class PostgresData(Service):
    def sql(self, text: str, database: str = "agent_platform") -> str:
        return self.run("psql", "-U", "agent", "-d", database, "-Atc", text)

    def write(self) -> None:
        self.sql("CREATE EXTENSION vector")
        self.sql("CREATE TABLE documents (id serial PRIMARY KEY, body text, embedding vector(3))")
        self.sql(
            "INSERT INTO documents (body, embedding) "
            "SELECT repeat('x', i % 50), '[1,2,3]' FROM generate_series(1, 2000) i"
        )
        # Never filled, it cannot be counted.
        self.sql("CREATE MATERIALIZED VIEW later AS SELECT 1 AS a WITH NO DATA")
        self.sql("CREATE ROLE reader NOLOGIN; GRANT SELECT ON documents TO reader")
        self.sql('CREATE DATABASE "other db"', "postgres")
        self.sql("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)", "other db")

    def more(self) -> None:
        self.sql("INSERT INTO documents (body) VALUES ('newer')")

    def lose(self) -> None:
        self.sql("DROP TABLE documents; DROP EXTENSION vector")
        self.sql("DROP ROLE reader")
        self.sql('DROP DATABASE "other db"', "postgres")

    def look(self) -> object:
        return (
            self.sql("SELECT count(*), sum(length(body)), min(embedding::text) FROM documents"),
            self.sql("SELECT has_table_privilege('reader', 'documents', 'SELECT')"),
            self.sql("SELECT sum(a) FROM t", "other db"),
        )


class RedisData(Service):
    def cli(self, *command: str) -> str:
        login = f'REDISCLI_AUTH="$(cat {SECRETS}/redis-password)" exec redis-cli "$@"'
        return self.run("sh", "-c", login, "sh", *command)

    def write(self) -> None:
        self.cli("SET", "name", "value")
        self.cli("RPUSH", "queue", "a", "b", "c")
        self.cli("SET", "soon", "gone", "EX", "3600")

    def more(self) -> None:
        self.cli("SET", "newer", "1")

    def lose(self) -> None:
        self.cli("FLUSHALL")

    def look(self) -> object:
        keys = sorted(self.cli("KEYS", "*").splitlines())
        return keys, self.cli("GET", "name"), self.cli("LRANGE", "queue", "0", "-1")


class QdrantData(Service):
    def ask(self, method: str, path: str, document: object = None) -> Any:  # noqa: ANN401 - JSON
        url = f"http://{self.place}{path}"
        return httpx.request(method, url, json=document, trust_env=False).json().get("result")

    def upsert(self, *ids: int) -> None:
        points = [{"id": n, "vector": [n, 1, 0], "payload": {"n": n}} for n in ids]
        self.ask("PUT", "/collections/docs/points", {"points": points})

    def write(self) -> None:
        self.ask("PUT", "/collections/docs", {"vectors": {"size": 3, "distance": "Cosine"}})
        self.upsert(*range(1, 40))

    def more(self) -> None:
        self.upsert(99)

    def lose(self) -> None:
        self.ask("DELETE", "/collections/docs")

    def look(self) -> object:
        count = self.ask("POST", "/collections/docs/points/count", {"exact": True})
        return count, self.ask("GET", "/collections/docs/points/7")

    def snapshots(self) -> object:
        return self.ask("GET", "/collections/docs/snapshots")


class S3Data(Service):
    @property
    def s3(self) -> Minio:
        return Minio(self.place, "agent-platform", CANARY, secure=False, region="us-east-1")

    def put(self, key: str, content: bytes) -> None:
        self.s3.put_object("files", key, io.BytesIO(content), len(content))

    def write(self) -> None:
        self.s3.make_bucket("files")
        # As a key, the one is a file and a folder at once; no mirror of files could hold both.
        for number, key in enumerate(("a", "a/b", "-rf *", "with space/ü.txt")):
            self.put(key, key.encode() * (number + 1) * 100)

    def more(self) -> None:
        self.put("newer", b"newer")

    def lose(self) -> None:
        client = self.s3
        for one in client.list_objects("files", recursive=True):
            client.remove_object("files", str(one.object_name))
        client.remove_bucket("files")

    def look(self) -> object:
        client = self.s3
        found: dict[str, bytes] = {}
        for one in client.list_objects("files", recursive=True):
            answer = client.get_object("files", str(one.object_name))
            found[str(one.object_name)] = answer.read()
            answer.close()
            answer.release_conn()
        return found


DATA: dict[BackupKind, Callable[[World, Container, BackupKind], Service]] = {
    "postgres": PostgresData,
    "redis": RedisData,
    "qdrant": QdrantData,
    "s3": S3Data,
}


@contextlib.contextmanager
def backup_world(docker: Docker, folder: Path) -> Iterator[World]:
    """Images, a network and the services' files."""
    for name, text in FILES.items():
        (folder / name).write_text(text)
    folder.chmod(0o755)
    client = DockerClient(base_url=docker.host, timeout=120)
    with contextlib.closing(client):
        ensure(client, dict(IMAGES), lambda _text: None)
        network = client.networks.create(NETWORK, driver="bridge")
        try:
            yield World(docker, client, folder)
        finally:
            network.remove()


def rewritten(path: Path, **changed: object) -> None:
    """Change a JSON document."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
