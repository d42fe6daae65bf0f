"""What the nas stack costs: ours beside a minimal program, and beside Compose. `make bench-nas`.

It brings a Docker daemon of its own up, with all services in it, so it needs root and docker.io.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from bench import figures, nas_compose
from bench.cpu import Cost, measure
from bench.stacks import stack
from operations.target import workspace
from tests.docker.daemon import running_docker
from tests.docker.nas_world import NasWorld, nas_world
from tools import engine

ROOT = Path(__file__).resolve().parent.parent
_TARGET = 1.5
# What each program imports.
_IMPORTS = {
    "pulumi alone": "import pulumi",
    "stacks.nas": "import stacks.nas",
}
console = Console()


@dataclass(frozen=True, kw_only=True)
class _Running:
    """The whole stack, up; what its first `up` took, and a folder to run `pulumi` in."""

    world: NasWorld
    first_s: float
    work: Path
    env: Mapping[str, str]

    def pulumi_up(self) -> Cost:
        """A plain `pulumi up` that has nothing to do."""
        command = ["up", "--yes", "--skip-preview", "--stack", "nas"]
        return measure([str(engine.ensure().pulumi), *command], cwd=self.work, env=self.env)

    def resources(self) -> int:
        """How many resources the stack has, without itself and its providers."""
        path = next((self.world.folder / "backend/.pulumi/stacks").rglob("nas.json"))
        rows: list[dict[str, Any]] = json.loads(path.read_text())["checkpoint"]["latest"][
            "resources"
        ]
        return sum(not row["type"].startswith("pulumi:") for row in rows)


def main() -> int:
    """Run the benchmarks, print them, and add the numbers to those of the nas story."""
    parser = argparse.ArgumentParser(prog="python -m bench.nas", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="no-op runs of each side")
    options = parser.parse_args()
    imports(options.runs)
    try:
        with _running() as running:
            numbers = noop(running, options.runs)
            beside_compose(running)
    except pytest.skip.Exception as missing:
        console.print(f"the stack was not measured: {missing}")
        return 1
    console.print(f"written to {os.path.relpath(figures.merge('nas', numbers))}")
    return 0


def imports(runs: int) -> None:
    """Seconds of a program that only imports."""
    table = _table("imports", "", "CPU s", "wall s")
    for name, text in _IMPORTS.items():
        command = [sys.executable, "-c", text]
        cost = _median([measure(command, cwd=ROOT, env=os.environ) for _ in range(runs)])
        table.add_row(name, f"{cost.cpu:.2f}", f"{cost.wall:.2f}")
    console.print(table)


def noop(running: _Running, runs: int) -> dict[str, float]:
    """No-op `pulumi up` of the whole stack beside as many trivial dynamic resources."""
    count = running.resources()
    # It asks no cloud: the address is never called.
    with stack("http://127.0.0.1:1", minimal=count) as minimal:
        minimal.up()
        running.pulumi_up()
        pairs = [(running.pulumi_up(), minimal.up()) for _ in range(runs)]
    ours, least = (_median([pair[side] for pair in pairs]) for side in (0, 1))
    table = _table(f"no-op pulumi up, {count} resources", "", "CPU s", "wall s")
    table.add_row("nas stack", f"{ours.cpu:.2f}", f"{ours.wall:.2f}")
    table.add_row("minimal program", f"{least.cpu:.2f}", f"{least.wall:.2f}")
    ratio = ours.cpu / least.cpu
    title = f"ratio (target: CPU at most {_TARGET})"
    table.add_row(title, f"{ratio:.2f}", f"{ours.wall / least.wall:.2f}")
    console.print(table)
    return {"noop_cpu_ratio": round(ratio, 3)}


def beside_compose(running: _Running) -> None:
    """From nothing to healthy: `nas up` beside `docker compose up --wait`."""
    compose = nas_compose.command(running.world.docker)
    if compose is None:
        console.print(
            f"from nothing to healthy: nas up {running.first_s:.1f} s; "
            "Compose is not installed, so there is nothing beside it"
        )
        return
    running.world.nas.destroy()
    seconds = nas_compose.up(compose, running.world)
    console.print(
        f"from nothing to healthy: nas up {running.first_s:.1f} s, "
        f"{' '.join(compose[:2])} up {seconds:.1f} s"
    )


@contextmanager
def _running() -> Generator[_Running]:
    with (
        tempfile.TemporaryDirectory(prefix="agent-docker-bench-") as folder,
        running_docker() as docker,
        nas_world(docker, Path(folder), prefix="bench-", address="127.66.0.5") as world,
    ):
        begun = time.monotonic()
        world.up()
        first = time.monotonic() - begun
        with workspace(world.target) as (work, env):
            pulumi = str(engine.ensure().pulumi)
            # The settings of that `up`, with the salt of its secrets.
            measure([pulumi, "config", "refresh", "--stack", "nas"], cwd=work, env=env)
            yield _Running(world=world, first_s=first, work=work, env=env)


def _median(costs: list[Cost]) -> Cost:
    return Cost(cpu=median(c.cpu for c in costs), wall=median(c.wall for c in costs), code=0)


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="right" if heading else "left")
    return table


if __name__ == "__main__":
    sys.exit(main())
