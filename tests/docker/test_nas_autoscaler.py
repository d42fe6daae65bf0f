"""The autoscaler as the nas stack runs it: the shipped record, its own image, the stack's Redis.

The cloud and the router are emulated on this machine's loopback, the state is in the volume.
"""

import contextlib
import json
from collections.abc import Generator, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from ruamel.yaml import YAML

from bench.autoscalers import World
from bench.autoscalers import world as fleet_world
from contracts.program import INSTANCE_TYPE
from tests.docker.daemon import Docker, until
from tests.docker.door import kept_open
from tests.docker.nas_world import NasWorld, nas_world
from tests.unit.nas_documents import by_name, shipped

PREFIX, ADDRESS = "scaled-", "127.66.0.6"
NAME = f"{PREFIX}autoscaler"
STATE = "/var/lib/agent-docker"
USER = "10001:10001"
OLLAMA = 11434
WAIT_SECONDS = 90.0
KEPT = ("redis", "agent-router", "autoscaler")


@pytest.fixture(scope="module")
def fleet() -> Iterator[World]:
    """A deployed fleet of one machine."""
    with fleet_world() as made:
        made.fleet.stack.deploy(made.fleet.stack.target.settings)
        yield made


@pytest.fixture(scope="module")
def world(
    docker: Docker, image: str, fleet: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NasWorld]:
    docker("tag", image, by_name(shipped())["autoscaler"]["image"])
    folder = tmp_path_factory.mktemp("scaled")
    with nas_world(docker, folder, services=KEPT, prefix=PREFIX, address=ADDRESS) as made:
        del made.settings["ingress"]
        local(made.service("autoscaler"), fleet)
        made.secrets |= {
            "pulumi-backend-url": f"file://{STATE}/backend",
            "pulumi-passphrase": (fleet.folder / "passphrase").read_text(),
            "vastai-api-key": fleet.env["VASTAI_API_KEY"],
            "tailscale-auth-key": fleet.env["TAILSCALE_AUTH_KEY"],
        }
        seed(docker, image, fleet)
        with reachable(made, fleet):
            yield made


def local(record: dict[str, Any], fleet: World) -> None:
    """What the record must have besides for an emulated cloud, and shorter intervals."""
    yaml = YAML(typ="safe")
    settings = yaml.load(record["files"]["autoscaler.yaml"])
    settings |= {
        "router": fleet.router,
        "checkIntervalMs": 500,
        "healthIntervalSeconds": 0.5,
        "stabilizationSeconds": 1,
    }
    record["files"]["autoscaler.yaml"] = json.dumps(settings)
    record["env"] |= {
        "VAST_URL": fleet.env["VAST_URL"],
        "AGENT_DOCKER_VAST_PACE": "off",
        # The stand-in for Pulumi's language host asks for these; Pulumi's own does not.
        "AGENT_DOCKER_OFFLINE": "1",
        "AGENT_DOCKER_PYTHON": "/opt/agent-docker/bin/python",
    }


def seed(docker: Docker, image: str, fleet: World) -> None:
    """Put the state of the fleet into the service's volume."""
    volume = f"{NAME}-state:{STATE}"
    box = docker("create", "--volume", volume, image).strip()
    docker("cp", str(fleet.folder / "backend"), f"{box}:{STATE}/backend")
    docker("rm", box)
    owned = ("--user", "0", "--network", "none", "--entrypoint", "chown")
    docker("run", "--rm", *owned, "--volume", volume, image, "-R", USER, STATE)


@contextlib.contextmanager
def reachable(world: NasWorld, fleet: World) -> Generator[None]:
    """The cloud, its machines and the router are where the container looks for them."""
    ports = [urlsplit(url).port for url in (fleet.env["VAST_URL"], fleet.router)]

    def pid() -> int:
        told = world.docker("inspect", "--format", "{{.State.Pid}}", NAME, ok=False).split()
        return int(told[0]) if told[:1] and told[0].isdigit() else 0

    with kept_open(pid, loopback=[port for port in ports if port], anywhere=[OLLAMA]):
        yield


def status() -> dict[str, Any]:
    try:
        told = httpx.get(f"http://{ADDRESS}:9464/status", trust_env=False, timeout=20)
    except httpx.HTTPError:
        return {}
    found: dict[str, Any] = told.json()
    return found


def phases() -> list[str]:
    return [slot["phase"] for slot in status().get("slots", ())]


def all_ready(count: int) -> None:
    until(lambda: phases() == ["ready"] * count, WAIT_SECONDS, f"{count} ready machines")


def recorded(world: NasWorld) -> set[int]:
    """The contracts in the state that the container keeps."""
    path = f"{STATE}/backend/.pulumi/stacks/agent-docker/gpu.json"
    text = world.docker("exec", NAME, "cat", path)
    rows = json.loads(text)["checkpoint"]["latest"]["resources"]
    return {int(row["outputs"]["contract"]) for row in rows if INSTANCE_TYPE in row["type"]}


def at_rest(world: NasWorld, fleet: World) -> None:
    """One machine works, and the account has what the state says."""
    all_ready(1)
    until(lambda: status().get("operation") is None, WAIT_SECONDS, "no update")
    assert recorded(world) == set(fleet.live())
    assert status()["problems"] == {}


def test_it_comes_up_with_the_services_and_follows_their_queue(
    world: NasWorld, fleet: World
) -> None:
    world.up()
    verdicts = world.nas.gate(world.daemon).once(world.nas.services())
    assert {name: verdict.well for name, verdict in verdicts.items()} == dict.fromkeys(KEPT, True)
    all_ready(1)
    world.redis("lpush", "inference", *(f"job-{number}" for number in range(150)))
    until(lambda: len(phases()) >= 2, WAIT_SECONDS, "a second slot")
    world.redis("del", "inference")
    at_rest(world, fleet)


def test_a_second_up_leaves_it_alone(world: NasWorld) -> None:
    ids = world.ids()
    assert world.up() == ()
    assert world.ids() == ids


def test_an_update_of_it_loses_no_machine(world: NasWorld, fleet: World) -> None:
    others = world.ids("autoscaler")
    record = world.service("autoscaler")
    newer = f"{record['image'].rpartition(':')[0]}:0.1.1"
    world.docker("tag", record["image"], newer)
    record["image"] = newer
    world.redis("lpush", "inference", *(f"job-{number}" for number in range(500)))
    until(lambda: status().get("operation") == "update", WAIT_SECONDS, "an update")
    # It is stopped in the middle of its own: that comes to its end first.
    world.up()
    assert world.ids("autoscaler") == others
    until(lambda: phases().count("ready") > 1, WAIT_SECONDS, "more than one ready machine")
    world.redis("del", "inference")
    at_rest(world, fleet)


def test_its_keys_are_in_files_alone(world: NasWorld) -> None:
    told = json.dumps(world.docker.inspect(NAME)) + world.docker("logs", NAME, ok=False)
    for name in ("vastai-api-key", "tailscale-auth-key", "redis-password"):
        assert world.secrets[name] not in told


def test_the_fleet_outlives_the_stack(world: NasWorld, fleet: World) -> None:
    before = set(fleet.live())
    world.nas.stack.destroy()
    assert world.docker("ps", "--all", "--quiet", "--filter", f"name=^{PREFIX}") == ""
    assert f"{NAME}-state" in world.docker("volume", "ls", "--quiet").split()
    assert set(fleet.live()) == before
