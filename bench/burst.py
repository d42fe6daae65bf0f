"""From a decision to the machines it asks for: bursts on the real autoscaler. `make bench-burst`.

A burst takes the fleet from 1 to 5. It counts from the moment that the decision's record names
until the emulator has all 4 new contracts, in real seconds. Beside it stands the platform plan's
loop on the same emulator: one step an interval, and none before the last machine has answered.
"""

import argparse
import os
import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from statistics import quantiles
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from bench import figures
from bench.autoscalers import Running, World, autoscaler, until, world

_SLOTS = 5
# A slot for each 100 waiting.
_JOBS = 450
_TARGET_SECONDS = 5.0
_CREATE_SECONDS = 4.5
_LIMITED_TARGET = 1.2 * (_SLOTS - 1) * _CREATE_SECONDS
_PLAN_THRESHOLD = 100
_PLAN_POLL_SECONDS = 10.0
_WAIT_SECONDS = 180.0
_QUICK: dict[str, Any] = {
    "checkIntervalMs": 2_000,
    "healthIntervalSeconds": 0.5,
    "drainDeadlineSeconds": 5,
}
# Looking takes turns as well; at half a second it would keep everything else from its own.
_PACED = _QUICK | {"checkIntervalMs": 10_000, "healthIntervalSeconds": 5}
console = Console()


def main() -> None:
    """Run the series that were asked for, print them, and write their numbers."""
    parser = argparse.ArgumentParser(prog="python -m bench.burst", description=__doc__)
    parser.add_argument("--bursts", type=int, default=20, help="without Vast.ai's limits")
    parser.add_argument("--limited", type=int, default=3, help="under Vast.ai's limits")
    parser.add_argument("--boot-seconds", type=float, default=2.0, help="how long a boot takes")
    parser.add_argument(
        "--interval", type=float, default=60.0, help="the plan's, s; 0 leaves its loop out"
    )
    options = parser.parse_args()
    boot = ["--boot-seconds", str(options.boot_seconds)]
    table = Table(title="from the decision to 4 new contracts, s", title_justify="left")
    for heading in ("", "runs", "p50", "p95", "max", "target"):
        table.add_column(heading, justify="right" if heading else "left")
    numbers: dict[str, float] = {"bursts": options.bursts}
    with world(*boot) as around:
        around.fleet.stack.deploy(around.fleet.stack.target.settings)
        with autoscaler(around, **_QUICK) as running:
            placed = [burst(around, running) for _ in range(options.bursts)]
        row = _add(table, "no limits", placed, _TARGET_SECONDS)
        numbers |= dict(zip(("place_p50_s", "place_p95_s", "place_max_s"), row, strict=True))
        if options.interval:
            seconds = plan(around, options.interval)
            _add(table, f"the plan's loop, every {options.interval:.0f} s", [seconds], None)
            numbers["plan_s"] = round(seconds, 1)
    if options.limited:
        numbers |= limited(table, boot, options.limited)
    console.print(table)
    console.print(
        f"boots of {options.boot_seconds:g} s; load average {os.getloadavg()[0]:.1f} on "
        f"{os.cpu_count()} cores"
    )
    console.print(f"written to {os.path.relpath(figures.write('burst', numbers))}")


def limited(table: Table, boot: Sequence[str], bursts: int) -> dict[str, float]:
    """The same where a create may come every 4.5 s and a hasty one is refused."""
    with world(*boot, "--rate-limits", paced=True) as around:
        around.fleet.stack.deploy(around.fleet.stack.target.settings)
        with autoscaler(around, **_PACED) as running:
            placed = [burst(around, running) for _ in range(bursts)]
        refused = int(around.cloud()["endpoints"]["create"]["refused"])
    _, p95, _ = _add(table, "Vast.ai's limits", placed, _LIMITED_TARGET)
    console.print(f"{refused} creates refused for haste (target: 0)")
    return {"place_limited_p95_s": p95, "limited_bursts": bursts, "refused_creates": refused}


def burst(around: World, running: Running) -> float:
    """One burst, from 1 slot and back to 1; the seconds from the decision to the last contract."""
    until(lambda: _is_small(around, running), "a fleet of 1", seconds=_WAIT_SECONDS)
    before, begun = set(around.live()), time.time()
    around.push(_JOBS)
    around.follow()
    placed = until(lambda: _placed(around, before), "4 contracts", seconds=_WAIT_SECONDS)
    around.empty()
    around.fix(1)
    decided = min(
        at
        for record in running.told("decision")
        if record["wanted"] == _SLOTS and (at := _epoch(record["at"])) >= begun
    )
    until(lambda: _is_small(around, running), "a fleet of 1 again", seconds=_WAIT_SECONDS)
    return placed - decided


def plan(around: World, interval: float) -> float:
    """The plan's loop, driven through the same operations; as `burst`, seconds to contract 5."""
    before = set(around.live())
    around.push(_JOBS)
    begun = time.time()
    due = begun
    while (last := _placed(around, before)) is None:
        time.sleep(max(0.0, due - time.time()))
        due = max(due + interval, time.time())
        live = around.live()
        if int(around.redis.llen("inference")) > _PLAN_THRESHOLD and len(live) < _SLOTS:
            applied = around.fleet.resize(len(live) + 1)
            urls = [record.endpoint for record in around.fleet.instances(applied.state)]
            until(
                partial(_all_answer, urls),
                "a boot",
                seconds=_WAIT_SECONDS,
                poll=_PLAN_POLL_SECONDS,
            )
    around.empty()
    return last - begun


def _all_answer(urls: Sequence[str]) -> bool:
    return all(map(_answers, urls))


def _placed(around: World, before: set[int]) -> float | None:
    """When the last new contract was made, once all are there."""
    now, state = time.time(), around.cloud()
    new = [row for row in state["rentals"] if row["live"] and row["id"] not in before]
    if len(new) < _SLOTS - len(before):
        return None
    # By the emulator's own clock, which nobody sets.
    return float(now - min(state["now"] - row["created_at"] for row in new))


def _is_small(around: World, running: Running) -> bool:
    status = running.status()
    settled = len(status.get("slots", ())) == 1 and not status.get("operation")
    return settled and not status.get("problems") and len(around.live()) == 1


def _answers(endpoint: str) -> bool:
    try:
        return httpx.get(f"{endpoint}/api/version", timeout=3, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _add(
    table: Table, name: str, seconds: Sequence[float], target: float | None
) -> tuple[float, float, float]:
    """A row of p50, p95 and the longest."""
    cuts = quantiles(seconds, n=100, method="inclusive") if len(seconds) > 1 else [*seconds] * 99
    numbers = (round(cuts[49], 2), round(cuts[94], 2), round(max(seconds), 2))
    wanted = "" if target is None else f"p95 ≤ {target:.1f}"
    table.add_row(name, str(len(seconds)), *(f"{n:.2f}" for n in numbers), wanted)
    return numbers


if __name__ == "__main__":
    main()
