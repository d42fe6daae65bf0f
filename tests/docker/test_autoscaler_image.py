"""The autoscaler's image: built by its own Dockerfile, run as production runs it."""

import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.autoscalers import World, world
from tests.docker.daemon import Docker, until

ROOT = Path(__file__).resolve().parents[2]
USER = 10001
STATE = "/var/lib/agent-docker"
# What docs/autoscaler.md tells to run it with, but for the network: the local cloud is on loopback.
HARDENED = (
    *("--init", "--read-only", "--cap-drop", "ALL"),
    *("--tmpfs", "/tmp:mode=1777"),  # noqa: S108 - inside
    *("--security-opt", "no-new-privileges", "--hostname", "autoscaler"),
    *("--stop-timeout", "150", "--network", "host"),
)
WAIT_SECONDS = 90.0


@pytest.fixture
def around(tmp_path: Path) -> Iterator[World]:
    """A deployed fleet whose files the container's user owns."""
    with world() as made:
        made.fleet.stack.deploy(made.fleet.stack.target.settings)
        secret = tmp_path / "passphrase"
        shutil.copy(made.folder / "passphrase", secret)
        for path in (secret, *made.folder.glob("backend/**/*"), made.folder / "backend"):
            os.chown(path, USER, USER)
        yield made


@contextmanager
def container(docker: Docker, image: str, around: World, secret: Path) -> Iterator[str]:
    """The image at work on that fleet."""
    # Its health check asks this port, which on the machine's own network is everybody's.
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", 9464)), "something else serves on port 9464"
    settings = around.folder / "settings.yaml"
    document = {
        "router": around.router,
        "signal": {"kind": "redis-list", "queue": "inference"},
        "healthIntervalSeconds": 0.5,
        "checkIntervalMs": 1000,
        "listen": "127.0.0.1:9464",
    }
    settings.write_text(json.dumps(document))
    settings.chmod(0o644)
    variables = {
        "REDIS_URL": around.redis_url,
        "PULUMI_BACKEND_URL": "file:///backend",
        "PULUMI_CONFIG_PASSPHRASE_FILE": "/run/passphrase",
        "AGENT_DOCKER_AUTOSCALER_FILE": "/run/settings.yaml",
        # The stand-in for Pulumi's language host asks for these; Pulumi's own does not.
        "AGENT_DOCKER_OFFLINE": "1",
        "AGENT_DOCKER_PYTHON": "/opt/agent-docker/bin/python",
        **{name: around.env[name] for name in ("VAST_URL", "VASTAI_API_KEY", "TAILSCALE_AUTH_KEY")},
        "AGENT_DOCKER_VAST_PACE": "off",
    }
    mounts = {around.folder / "backend": "/backend", secret: "/run/passphrase:ro"}
    mounts[settings] = "/run/settings.yaml:ro"
    name = docker(
        "run",
        "--detach",
        *HARDENED,
        *("--health-interval", "1s", "--volume", f"state-{os.getpid()}:{STATE}"),
        *(part for host, inside in mounts.items() for part in ("--volume", f"{host}:{inside}")),
        *(part for key, value in variables.items() for part in ("--env", f"{key}={value}")),
        image,
    ).strip()
    try:
        yield name
    except BaseException as error:
        error.add_note(docker("logs", "--tail", "40", name, ok=False))
        raise
    finally:
        docker("rm", "--force", name)


def status() -> dict[str, Any]:
    try:
        found: dict[str, Any] = httpx.get("http://127.0.0.1:9464/status", trust_env=False).json()
    except httpx.HTTPError:
        return {}
    return found


def phases() -> list[str]:
    return [slot["phase"] for slot in status().get("slots", ())]


def test_it_works_and_stops_as_production_runs_it(
    docker: Docker, image: str, around: World, tmp_path: Path
) -> None:
    with container(docker, image, around, tmp_path / "passphrase") as name:
        healthy = lambda: docker.inspect(name)["State"]["Health"]["Status"] == "healthy"  # noqa: E731
        until(healthy, WAIT_SECONDS, "healthy")
        until(lambda: phases() == ["ready"], WAIT_SECONDS, "one ready machine")

        # The engine, its language host and the provider work in there, on a root that is read-only.
        around.fix(2)
        until(lambda: phases() == ["ready"] * 2, WAIT_SECONDS, "two ready machines")
        assert len(around.live()) == 2
        users = docker("exec", name, "id", "-u").strip()
        assert users == str(USER)
        states = docker("top", name, "-eo", "pid,stat,cmd").splitlines()[1:]
        assert [line for line in states if line.split()[1].startswith("Z")] == []

        # It is stopped in the middle of an update: that comes to its end and is recorded.
        around.fix(3)
        until(lambda: status().get("operation") == "update", WAIT_SECONDS, "an update")
        docker("stop", name)
        state = docker.inspect(name)["State"]
        assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
        recorded = around.fleet.known().state
        assert len(around.live()) == len(recorded.machines)

        # The volume and the lock's host name outlive the container's processes.
        docker("start", name)
        until(lambda: phases() == ["ready"] * 3, WAIT_SECONDS, "three ready machines")
        assert status()["problems"] == {}
        assert len(around.live()) == 3


def test_nothing_but_the_program_is_in_it(docker: Docker, image: str) -> None:
    listed = docker("run", "--rm", "--network", "none", "--entrypoint", "find", image, "/app")
    top = {line.removeprefix("/app/").split("/")[0] for line in listed.split() if line != "/app"}
    top.remove("__pycache__")  # of `__main__.py`
    packages = {"autoscaler", "components", "contracts", "operations", "providers", "stacks"}
    assert top == {"LICENSE", "__main__.py", *packages}
    told = json.dumps(docker.inspect(image)) + docker("history", "--no-trunc", image)
    assert not re.search(r"key|passphrase|token|secret", told, re.IGNORECASE)


def test_its_promises(docker: Docker, image: str) -> None:
    config = docker.inspect(image)["Config"]
    assert config["User"] == f"{USER}:{USER}"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Volumes"] == {STATE: {}}
    assert config["ExposedPorts"] == {"9464/tcp": {}}
    assert config["Entrypoint"] == ["python", "-m", "autoscaler"]
    assert config["Healthcheck"]["Test"][:2] == ["CMD", "python"]
