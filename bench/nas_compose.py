"""The same services as a Compose file: what people have who have no stack."""

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from contracts.services import FILES_FOLDER, TUNNEL_TOKEN, Service
from operations.nas_records import documents_of
from tests.docker.daemon import Docker
from tests.docker.nas_world import NasWorld

_TMP = "rw,noexec,nosuid,size=64m"


def command(docker: Docker) -> list[str] | None:
    """How Compose is called here: Docker's plugin, else the command of its own; None without."""
    if "compose" in docker("compose", "version", ok=False).splitlines()[0].lower().split():
        return [docker.command, "compose"]
    alone = shutil.which("docker-compose")
    return [alone] if alone else None


def up(compose: list[str], world: NasWorld) -> float:
    """Bring the world's services up with Compose and remove them; seconds until all are healthy."""
    folder = world.folder / "compose"
    folder.mkdir()
    file = folder / "compose.yaml"
    with file.open("w") as text:
        YAML(typ="safe").dump(document(world, folder), text)
    begun = time.monotonic()
    _run([*compose, "--file", str(file), "up", "--detach", "--wait"], world.docker)
    seconds = time.monotonic() - begun
    _run([*compose, "--file", str(file), "down", "--volumes"], world.docker)
    return seconds


def document(world: NasWorld, folder: Path) -> dict[str, Any]:
    """The Compose file; what services read as files is written below `folder`."""
    documents = documents_of(world.settings, None, where="bench")
    # Compose makes no tunnel: any well-formed token does for a connector that stands in.
    secrets = {**world.secrets, TUNNEL_TOKEN: "eyJhIjoiYTEiLCJ0IjoidC0xIiwicyI6ImMyVmpjbVYwIn0="}
    services = documents.services.root
    volumes = {volume.name for service in services.values() for volume in service.volumes}
    address = str(documents.nas.publish)
    return {
        "name": "bench-compose",
        "services": {
            name: _service(service, address, _files(folder / name, service, secrets))
            for name, service in services.items()
        },
        "volumes": {name: {} for name in sorted(volumes)},
    }


def _files(folder: Path, service: Service, secrets: dict[str, str]) -> list[str]:
    """The service's files, written to `folder`, as a volume."""
    if not service.files:
        return []
    folder.mkdir()
    for name, text in service.rendered(secrets).items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o444)
    return [f"{folder}:{FILES_FOLDER}:ro"]


def _service(service: Service, address: str, files: list[str]) -> dict[str, Any]:
    health, port = service.health, service.port
    given: dict[str, Any] = {
        "image": service.image,
        "command": list(service.command),
        "environment": ({} if port is None else {"PORT": str(port)}) | dict(service.env),
        "ports": [] if port is None else [f"{address}:{port}:{port}"],
        "volumes": [*files, *(f"{volume.name}:{volume.path}" for volume in service.volumes)],
        "tmpfs": [path if ":" in path else f"{path}:{_TMP}" for path in service.tmpfs],
        "depends_on": list(service.depends_on),
        "user": service.user,
        "read_only": service.read_only,
        "cap_drop": ["ALL"],
        "cap_add": list(service.capabilities),
        "mem_limit": f"{service.memory_mb}m",
        "restart": "unless-stopped",
        "healthcheck": {
            # A variable of the container's, not one of Compose's.
            "test": [part.replace("$", "$$") for part in health.test(port)],
            "interval": f"{health.interval_seconds}s",
            "timeout": f"{health.timeout_seconds}s",
            "retries": health.retries,
            "start_period": f"{health.start_period_seconds}s",
        },
    }
    return {key: value for key, value in given.items() if value not in (None, [], {})}


def _run(command: list[str], docker: Docker) -> None:
    env = {"PATH": os.defpath, "HOME": "/nonexistent", "DOCKER_HOST": docker.host}
    subprocess.run(command, env=env, capture_output=True, check=True)  # noqa: S603 - our own
