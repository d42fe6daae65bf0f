"""What the engine costs: ours beside a minimal program, and how it grows. `make bench-engine`.

Every comparison is made in one run, alternating the two sides; single figures are medians.
"""

import argparse
import os
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import figures
from bench.cpu import Cost
from bench.stacks import KEY, BenchStack, stack
from localcloud.vastai.server import RunningCloud, running_cloud
from operations.jobs import OPERATIONS_AT_ONCE

_FLEET: dict[str, Any] = {
    "image": "ollama/ollama:0.12.6",
    "tailnet": "tailnet.test",
    "max": 100,
    "shards": 1,
    "selection": {"maxPricePerHour": 3.0},
}
_CREATE_SECONDS = 2.0
_VAST_CREATE_SECONDS = 4.5
console = Console()


def main() -> None:
    """Run the benchmarks that were asked for, print them, and write their numbers."""
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="no-op runs of each side")
    parser.add_argument("--quick", action="store_true", help="leave out the paced 20 creates")
    options = parser.parse_args()
    numbers = noop(options.runs) | growth() | sharded()
    if not options.quick:
        numbers |= limited()
    path = figures.write("engine", numbers)
    console.print(f"written to {os.path.relpath(path)}")


def noop(runs: int) -> dict[str, float]:
    """No-op `pulumi up` of 5 machines beside 5 trivial dynamic resources."""
    with (
        running_cloud(key=KEY) as cloud,
        stack(cloud.url) as ours,
        stack(cloud.url, minimal=5) as minimal,
    ):
        ours.settings(_FLEET | {"desired": 5, "max": 5})
        ours.up()
        minimal.up()
        pairs = [(ours.up(), minimal.up()) for _ in range(runs)]
    table = _table("no-op pulumi up, 5 resources", "", "CPU s", "wall s")
    ratios: dict[str, float] = {}
    medians = [_median([pair[side] for pair in pairs]) for side in (0, 1)]
    for name, cost in zip(("agent-docker", "minimal program"), medians, strict=True):
        table.add_row(name, f"{cost.cpu:.2f}", f"{cost.wall:.2f}")
    ratios["noop_cpu_ratio"] = round(medians[0].cpu / medians[1].cpu, 3)
    ratios["noop_wall_ratio"] = round(medians[0].wall / medians[1].wall, 3)
    table.add_row("ratio (target: CPU at most 1.25)", *(f"{r:.2f}" for r in ratios.values()))
    console.print(table)
    return ratios


def growth() -> dict[str, float]:
    """First `up` and no-op `up` of 1, 10 and 100 machines: CPU, wall, state."""
    table = _table("growth", "machines", "up CPU s", "up wall s", "no-op CPU s", "state bytes")
    numbers: dict[str, float] = {}
    for count in (1, 10, 100):
        with running_cloud(key=KEY, offers=400) as cloud, stack(cloud.url) as ours:
            ours.settings(_FLEET | {"desired": count})
            first, idle, size = ours.up(), ours.up(), ours.state_bytes()
            _expect(ours, cloud, count)
        cells = (f"{first.cpu:.2f}", f"{first.wall:.1f}", f"{idle.cpu:.2f}", f"{size:,}")
        table.add_row(str(count), *cells)
        numbers[f"cpu_s_{count}"] = round(first.cpu, 2)
        numbers[f"state_bytes_{count}"] = size
    console.print(table)
    return numbers


def sharded() -> dict[str, float]:
    """100 machines by shards, when a create is answered in 2 s and nothing is limited."""
    with (
        running_cloud(key=KEY, offers=400, create_seconds=_CREATE_SECONDS) as cloud,
        stack(cloud.url) as ours,
    ):
        ours.settings(_FLEET | {"desired": 100, "shards": 4})
        cost = ours.up("--parallel", str(OPERATIONS_AT_ONCE))
        _expect(ours, cloud, 100)
    console.print(
        f"100 machines, 4 shards, 2 s a create: {cost.wall:.1f} s wall, {cost.cpu:.1f} s CPU "
        "(target: at most 45 s wall)"
    )
    return {"create_100_s": round(cost.wall, 1)}


def limited() -> dict[str, float]:
    """20 machines under Vast.ai's limits: the pace is kept, and not slower than it must be."""
    count = 20
    with (
        running_cloud(key=KEY, offers=400, rate_limits=True) as cloud,
        stack(cloud.url, paced=True) as ours,
    ):
        ours.settings(_FLEET | {"desired": count, "shards": 2})
        cost = ours.up()
        _expect(ours, cloud, count)
        refused = cloud.run(lambda state: state.counters.refused["create"])
    bound = 1.2 * count * _VAST_CREATE_SECONDS
    console.print(
        f"{count} machines under Vast.ai's limits: {cost.wall:.1f} s (target: at most "
        f"{bound:.0f} s), {refused} creates refused for haste (target: 0)"
    )
    return {"create_20_limited_s": round(cost.wall, 1), "refused_creates": refused}


def _expect(ours: BenchStack, cloud: RunningCloud, count: int) -> None:
    live = cloud.run(lambda state: sum(1 for _ in state.live()))
    if not live == ours.slots() == count:
        raise RuntimeError(f"{live} machines live, {ours.slots()} are recorded, not {count}")


def _median(costs: list[Cost]) -> Cost:
    return Cost(cpu=median(c.cpu for c in costs), wall=median(c.wall for c in costs), code=0)


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="right" if heading else "left")
    return table


if __name__ == "__main__":
    main()
