"""Policies beside fleets of a fixed size, on recorded traces. `python -m bench.fleet`.

`--tune` searches settings on the first three days of the week; the tables are of the other four
days and of an hour of another service. docs/policies.md says what was chosen, and how.
"""

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from rich.console import Console

from bench import figures
from bench.fleet.contenders import Contender, grid, headline
from bench.fleet.scores import Score, score, table
from bench.fleet.scores import figures as numbers
from bench.fleet.simulation import simulate
from bench.fleet.traces import Trace, read
from bench.fleet.world import World

_TRACES = Path(__file__).resolve().parents[3] / "shared/data/traces"
_WEEK = "servegen_m-large_7d_0.5rps.csv.gz"
_HOUR = "azure2023_conv.csv.gz"
# The hour is of a service 14 times too large for five machines; one request of eight is not.
_HOUR_EVERY = 8
_SEEDS = 5
_WORLD = World()
console = Console(width=170)


@dataclass(frozen=True, kw_only=True)
class Course:
    """A trace to run on; `key` begins the names of its figures."""

    key: str
    title: str
    trace: Trace


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what was asked for, print it, and write the numbers."""
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=__doc__)
    parser.add_argument("--traces", type=Path, default=_TRACES, help="folder of the traces")
    parser.add_argument("--seeds", type=int, default=_SEEDS, help="runs of each policy")
    parser.add_argument("--quick", action="store_true", help="one seed and two days")
    parser.add_argument("--tune", action="store_true", help="the settings that are worth it")
    parser.add_argument("--markdown", action="store_true", help="tables for documentation")
    options = parser.parse_args(arguments)
    missing = [name for name in (_WEEK, _HOUR) if not (options.traces / name).is_file()]
    if missing:
        console.print(f"skipped: {' and '.join(missing)} not in {options.traces}")
        return
    seeds = range(1, 2 if options.quick else options.seeds + 1)
    if options.tune:
        _tune(options.traces, seeds, markdown=options.markdown)
        return
    found: dict[str, float] = {"seeds": len(seeds)}
    for course in _courses(options.traces, quick=options.quick):
        rows = {each: compete(each, course.trace, seeds) for each in headline()}
        _show(course.title, rows, markdown=options.markdown)
        for contender, scores in rows.items():
            found |= numbers(f"{course.key}.{contender.key}", scores)
    path = figures.write("fleet-quick" if options.quick else "fleet", found)
    console.print(f"written to {os.path.relpath(path)}")


def compete(contender: Contender, trace: Trace, seeds: Iterable[int]) -> list[Score]:
    """One score per seed; a single one where the seed makes no difference."""
    world = contender.world(_WORLD)
    return [
        score(simulate(trace, contender.policy, contender.limits, world, seed), world.price)
        for seed in (list(seeds)[:1] if contender.fixed else seeds)
    ]


def frontier(rows: Mapping[Contender, Sequence[Score]]) -> dict[Contender, Sequence[Score]]:
    """Those that no other beats: in the order of their cost, each serves better than the last."""
    best, kept = -1.0, dict[Contender, Sequence[Score]]()
    for contender in sorted(rows, key=lambda each: mean(run.hours for run in rows[each])):
        slo = mean(run.slo for run in rows[contender])
        if slo > best:
            best, kept[contender] = slo, rows[contender]
    return kept


def _tune(folder: Path, seeds: Sequence[int], *, markdown: bool) -> None:
    trace = read(folder / _WEEK).days(0, 2)
    rows = {each: compete(each, trace, seeds) for each in grid()}
    _show(f"days 0-2 of {trace.name}: what is worth its cost", frontier(rows), markdown=markdown)


def _courses(folder: Path, *, quick: bool) -> tuple[Course, Course]:
    last = 4 if quick else 6
    week = read(folder / _WEEK).days(3, last)
    hour = read(folder / _HOUR).thinned(_HOUR_EVERY)
    return (
        Course(key="m-large", title=f"days 3-{last} of {week.name}", trace=week),
        Course(key="conv", title=f"one of {_HOUR_EVERY} requests of {hour.name}", trace=hour),
    )


def _show(title: str, rows: Mapping[Contender, Sequence[Score]], *, markdown: bool) -> None:
    runs = max(map(len, rows.values()))
    title = f"{title}: {runs} runs, mean (range)"
    named = {each.name: scores for each, scores in rows.items()}
    console.print(table(title, named, markdown=markdown))


if __name__ == "__main__":
    main()
