"""The shipped nas stack on a daemon of the tests', with an emulated Cloudflare before it."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from docker import DockerClient

from localcloud.cloudflare.server import RunningCloudflare, running_cloudflare
from localcloud.images import Kind, ensure, kind_of
from localcloud.plugins.folders import folders
from operations.daemon import Daemon, Seen
from operations.gate import Gate
from operations.jobs import Event, MessageEvent
from operations.nas import Nas
from operations.nas_records import documents_of
from operations.process import Limits
from operations.stack import Stack
from operations.target import Target, workspace
from tests.docker.daemon import Docker
from tests.unit.nas_documents import by_name, shipped
from tools import engine

PREFIX = "story-"
# Its ports are on an address of their own: other tests may publish the same ones.
ADDRESS = "127.66.0.1"
GATE_SECONDS = 60.0


def canary(name: str) -> str:
    return f"canary-{name}-7c1f"


@dataclass(kw_only=True)
class NasWorld:
    """One stack, everything around it, and what was said on the way."""

    docker: Docker
    cloudflare: RunningCloudflare
    folder: Path
    settings: dict[str, Any]
    # Secret settings of the first update.
    secrets: dict[str, str]
    # Commands that come before the machine's own.
    commands: Path | None = None
    said: list[str] = field(default_factory=list[str])
    limits: Limits = field(default_factory=Limits)

    @property
    def prefix(self) -> str:
        return str(self.settings["nas"]["prefix"])

    @property
    def target(self) -> Target:
        env = engine.child_environment(
            engine.ensure(),
            python=Path(sys.executable),
            home=self.folder / "home",
            backend_url=f"file://{self.folder}/backend",
            passphrase_file=self.folder / "passphrase",
            plugin_dirs=[*([self.commands] if self.commands else []), *folders(os.environ)],
            extra={
                "TMPDIR": str(self.folder / "tmp"),
                "AGENT_DOCKER_RUN_DIR": str(self.folder / "run"),
                "CLOUDFLARE_BASE_URL": self.cloudflare.url,
                "CLOUDFLARE_API_TOKEN": self.cloudflare.token,
            },
        )
        return Target(
            stack="nas",
            env=env,
            state=self.folder / "state",
            settings=self.settings,
            secrets=(*self.secrets.values(), self.cloudflare.token),
            secret_settings=self.secrets,
        )

    @property
    def nas(self) -> Nas:
        return Nas(
            stack=Stack(target=self.target, on_event=self._listen, limits=self.limits),
            gate=lambda daemon: Gate(daemon=daemon, stack="nas", deadline=GATE_SECONDS),
        )

    @property
    def daemon(self) -> Daemon:
        return Daemon(url=self.docker.host)

    def _listen(self, event: Event) -> None:
        if isinstance(event, MessageEvent):
            self.said.append(event.text)

    def up(self) -> tuple[str, ...]:
        """`agent-docker nas up`: what it changed."""
        return self.nas.up(self.settings).changes

    def output(self, name: str) -> Any:  # noqa: ANN401 - whatever the program exports
        """One of the stack's outputs, in clear."""
        with workspace(self.target) as (work, env):
            command = ("pulumi", "stack", "output", name, "--json", "--show-secrets", "--stack")
            done = subprocess.run(
                [*command, "nas"], cwd=work, env=env, capture_output=True, check=True
            )
        return json.loads(done.stdout)

    def service(self, name: str) -> dict[str, Any]:
        """The service's record in the settings, to be changed in place."""
        return next(row for row in self.settings["services"] if row["name"] == name)

    def seen(self) -> dict[str, Seen]:
        """Every service's container by the service's name."""
        found = self.daemon.look("nas")
        return {name.removeprefix(self.prefix): one for name, one in found.items()}

    def ids(self, *but: str) -> dict[str, str]:
        return {name: one.id for name, one in self.seen().items() if name not in but}

    def image(self, name: str, reference: str) -> None:
        """Have another version of a service's image."""
        client = DockerClient(self.docker.host)
        with contextlib.closing(client):
            ensure(client, {reference: kind_of(name)}, lambda _text: None)

    def broken(self, reference: str) -> None:
        """Have an image whose program ends at once."""
        self.docker("tag", by_name(self.settings)["agent-mesh"]["image"], "local/whole:1")
        lines = (
            "FROM local/whole:1",
            "LABEL agent-docker.stand-in=",
            'ENTRYPOINT ["/usr/bin/standin", "no-such"]',
        )
        context = self.folder / "broken"
        context.mkdir(exist_ok=True)
        (context / "Dockerfile").write_text("\n".join(lines) + "\n")
        self.docker("build", "--tag", reference, str(context))

    def psql(self, sql: str) -> str:
        command = ("psql", "-U", "agent", "-d", "agent_platform", "-Atc", sql)
        return self.docker("exec", f"{self.prefix}postgres", *command).strip()

    def redis(self, *command: str) -> str:
        password = self.secrets["redis-password"]
        env = ("--env", f"REDISCLI_AUTH={password}")
        return self.docker("exec", *env, f"{self.prefix}redis", "redis-cli", *command).strip()

    def cloudflare_state(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(
            f"{self.cloudflare.admin_url}/state", trust_env=False
        ).json()
        return found

    def admin(self, path: str, document: dict[str, Any]) -> None:
        url = f"{self.cloudflare.admin_url}/{path}"
        httpx.post(url, json=document, trust_env=False).raise_for_status()


@contextlib.contextmanager
def nas_world(
    docker: Docker,
    folder: Path,
    *,
    services: Collection[str] = (),
    prefix: str = PREFIX,
    address: str = ADDRESS,
) -> Generator[NasWorld]:
    """The stack's surroundings; all of its containers and volumes are gone afterwards.

    With `services` it has these alone: of the twelve, an `up` takes half a minute. Images that
    the daemon has under their names already are used as they are.
    """
    for name in ("backend", "home", "state", "tmp", "run"):
        (folder / name).mkdir()
    (folder / "passphrase").write_text("only-for-tests")
    with running_cloudflare() as cloudflare:
        settings = shipped()
        settings["services"] = _chosen(settings["services"], services)
        settings["nas"] = {"docker": docker.host, "prefix": prefix, "publish": address}
        settings["ingress"] |= {
            "accountId": cloudflare.account_id,
            "zoneId": cloudflare.zone_id,
        }
        del settings["ingress"]["tunnelId"]
        client = DockerClient(docker.host)
        with contextlib.closing(client):
            kinds: dict[str, Kind] = {
                row["image"]: kind_of(row["name"]) for row in settings["services"]
            }
            ensure(client, kinds, lambda _text: None)
        names = documents_of(settings, None, where="tests").secrets
        world = NasWorld(
            docker=docker,
            cloudflare=cloudflare,
            folder=folder,
            settings=settings,
            secrets={name: canary(name) for name in sorted(names)},
        )
        try:
            yield world
        finally:
            _clear(docker, prefix)


def _chosen(rows: list[dict[str, Any]], names: Collection[str]) -> list[dict[str, Any]]:
    """Services that are run, such that each depends on none that is not."""
    # Unless it is asked for: its image takes minutes to build.
    names = names or {str(row["name"]) for row in rows} - {"autoscaler"}
    kept = [row for row in rows if row["name"] in names]
    there = {row["name"] for row in kept}
    for row in kept:
        # A test waits for each check.
        row["health"] |= {"intervalSeconds": 1}
        row["dependsOn"] = [name for name in row.get("dependsOn", ()) if name in there]
    return kept


def _clear(docker: Docker, prefix: str) -> None:
    for kind, remove in (("ps --all", "rm --force --volumes"), ("volume ls", "volume rm")):
        listing = docker(*kind.split(), "--quiet", "--filter", f"name=^{prefix}")
        for name in listing.split():
            docker(*remove.split(), name, ok=False)
    docker("network", "rm", f"{prefix}agent-platform", ok=False)


def files_below(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every file below `folder` and what is in it."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with contextlib.suppress(OSError):
                yield path, path.read_text(errors="replace")
