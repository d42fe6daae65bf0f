"""What agents cost: 100 in one stack beside kubectl, and 20 stacks at once. `make bench-agents`.

The cluster is a control plane of our own with nodes that are not real: pods are ready as soon as
they are scheduled, so what is measured is what a deploy itself takes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import figures
from contracts.agents import AgentsSettings
from contracts.errors import AgentDockerError
from localcloud.plugins.folders import VARIABLE
from ossa.agents import resolve_all
from ossa.objects import agent_objects, namespace_objects
from tests.kubernetes.agents_world import AgentsWorld, manifest
from tools import cluster as control_plane
from tools.cluster import Cluster

_RATIO = 2.5
_NOOP_S = 6.0
_AT_ONCE = 20
console = Console()


def main() -> int:
    """Run it, print what it came to and write the figures; 1 when a stack of its own failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.agents", description=__doc__)
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--parallel", type=int, default=_AT_ONCE, help="stacks at once")
    options = parser.parse_args()
    with (
        control_plane.cluster(on_progress=console.print) as cluster,
        tempfile.TemporaryDirectory(prefix="agent-docker-bench-") as folder,
    ):
        world = AgentsWorld(cluster=cluster, folder=Path(folder))
        console.print(f"kubectl: {options.agents} agents")
        kubectl_s = kubectl(cluster, Path(folder), options.agents)
        console.print(f"one stack: {options.agents} agents")
        rows = deployments(options.agents, "bench")
        up_s = _seconds(lambda: world.up(*rows))
        noop_s = _seconds(lambda: world.up(*rows))
        world.stack().destroy(remove=True)
        console.print(f"{options.parallel} stacks at once")
        parallel_s, failures = at_once(world, options.parallel)
    ratio = up_s / kubectl_s
    console.print(
        f"up {up_s:.1f} s, kubectl {kubectl_s:.1f} s: {ratio:.2f} of it (at most {_RATIO})"
    )
    console.print(f"second up, nothing to do: {noop_s:.1f} s (at most {_NOOP_S})")
    console.print(f"{options.parallel} stacks at once: {parallel_s:.1f} s, {failures} failures")
    numbers: dict[str, Any] = {
        "agents": options.agents,
        "up_s": round(up_s, 2),
        "kubectl_s": round(kubectl_s, 2),
        "noop_s": round(noop_s, 2),
        "parallel_20_s": round(parallel_s, 2),
        "parallel_failures": failures,
        "plugin": "official" if os.environ.get(VARIABLE) == "0" else "offline",
    }
    console.print(f"written to {os.path.relpath(figures.write('agents', numbers))}")
    return int(failures > 0)


def deployments(count: int, namespace: str) -> list[dict[str, Any]]:
    """So many agents of our own, as settings have them."""
    names = [f"agent-{number:03}" for number in range(count)]
    return [
        {"manifest": f"{name}.yaml", "document": manifest(name), "namespace": namespace}
        for name in names
    ]


def kubectl(cluster: Cluster, folder: Path, count: int) -> float:
    """Seconds of `apply` and `rollout status` of the same objects; they are gone afterwards."""
    namespace = "bench-kubectl"
    rows = [{**row, "image": "example.com/agent:1.0"} for row in deployments(count, namespace)]
    settings = AgentsSettings.model_validate({"deployments": rows})
    agents = resolve_all(settings, lambda _path: b"", where="bench")
    own = settings.namespace(namespace)
    objects = [*namespace_objects(namespace, own, stack="bench")]
    for agent in agents:
        objects += agent_objects(agent, rollout_seconds=settings.rollout_seconds)
    file = folder / "objects.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    begun = time.monotonic()
    _kubectl(cluster, ["apply", "--filename", str(file)])
    named = [f"deployment/{agent.name}" for agent in agents]
    _kubectl(cluster, ["rollout", "status", "--namespace", namespace, *named])
    taken = time.monotonic() - begun
    _kubectl(cluster, ["delete", "namespace", namespace])
    return taken


def at_once(world: AgentsWorld, count: int) -> tuple[float, int]:
    """Seconds until so many stacks of their own are up, and how many of them failed."""

    def one(number: int) -> bool:
        try:
            world.deploy("bench-parallel", f"agent-{number:03}")
        except AgentDockerError as error:
            console.print(f"agent-{number:03}: {error.message}", markup=False)
            return False
        return True

    begun = time.monotonic()
    with ThreadPoolExecutor(count) as workers:
        done = list(workers.map(one, range(count)))
    return time.monotonic() - begun, done.count(False)


def _kubectl(cluster: Cluster, arguments: Sequence[str]) -> None:
    command = [str(cluster.kubectl), f"--kubeconfig={cluster.kubeconfig}", *arguments]
    env = {"PATH": os.defpath, "HOME": str(cluster.data)}
    done = subprocess.run(  # noqa: S603 - our own benchmark
        command, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"kubectl {arguments[0]}: {done.stderr}")


def _seconds(call: Any) -> float:  # noqa: ANN401 - whatever it returns
    begun = time.monotonic()
    call()
    return time.monotonic() - begun


if __name__ == "__main__":
    sys.exit(main())
