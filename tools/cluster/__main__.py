"""`python -m tools.cluster build|start|stop|status|where [--data DIR] [--nodes N] [--json]`."""

import argparse
import json
import sys
from pathlib import Path

import psutil

from tools.cluster import (
    KUBERNETES,
    NODES,
    Binaries,
    Cluster,
    ClusterError,
    build,
    locate,
    processes,
    running,
    start,
    stop,
)
from tools.cluster.layout import Layout

Answer = tuple[str, dict[str, object]]
DATA = Path(__file__).parents[2] / ".local" / "cluster"


def main(arguments: list[str] | None = None) -> int:
    """Print the kubeconfig's path (start, status) or the programs' folder (build, where).

    1 with a reason when there is none. Progress goes to stderr.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.cluster", description=__doc__)
    parser.add_argument("command", choices=["build", "start", "stop", "status", "where"])
    parser.add_argument("--data", type=Path, default=DATA, help="the cluster's own folder")
    parser.add_argument("--nodes", type=int, default=NODES, help="how many nodes, at least")
    parser.add_argument("--json", action="store_true", help="print all fields as one JSON object")
    options = parser.parse_args(arguments)
    try:
        path, fields = _do(options.command, options.data, options.nodes)
    except ClusterError as error:
        _say(f"error: {error}")
        return 1
    sys.stdout.write((json.dumps(fields, indent=2) if options.json else path) + "\n")
    return 0


def _do(command: str, data: Path, nodes: int) -> Answer:
    """Return what to print, plainly and as JSON."""
    if command == "build":
        return _built(build(_say))
    if command == "where":
        binaries = locate()
        if binaries is None:
            raise ClusterError(
                f"Kubernetes {KUBERNETES} has not been built", "python -m tools.cluster build"
            )
        return _built(binaries)
    if command == "start":
        return _runs(start(data, nodes, _say))
    if command == "status":
        found = running(data)
        if found is None:
            raise ClusterError(f"no cluster runs in {data}", "python -m tools.cluster start")
        return _runs(found)
    stop(data)
    return str(data), {"data": str(data), "running": False}


def _built(found: Binaries) -> Answer:
    return str(found.folder), {"binaries": str(found.folder), "version": KUBERNETES}


def _runs(found: Cluster) -> Answer:
    return str(found.kubeconfig), {
        "kubeconfig": str(found.kubeconfig),
        "server": found.server,
        "kubectl": str(found.kubectl),
        "data": str(found.data),
        "running": True,
        "processes": {
            name: {"pid": process.pid, "megabytes": _megabytes(process)}
            for name, process in sorted(processes.found(Layout.of(found.data)).items())
        },
    }


def _megabytes(process: psutil.Process) -> int:
    return int(process.memory_info().rss) >> 20


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
