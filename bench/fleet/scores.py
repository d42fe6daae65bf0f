"""What a run was worth: waits, machines, money; and tables of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean

from rich import box
from rich.table import Table

from bench.fleet.world import Outcome

SLO_SECONDS = 60.0
FLAP_SECONDS = 900.0
_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class Score:
    """One run in numbers.

    `slo` is the percentage of requests that waited at most `SLO_SECONDS`; `p50` to `p99` are
    waits in seconds, `hours` those of all machines. `actions` counts machines rented or given up
    by a decision, `flaps` those of them that undo one of the last `FLAP_SECONDS`.
    """

    slo: float
    p50: float
    p95: float
    p99: float
    hours: float
    dollars: float
    actions: float
    flaps: float
    restarted: float
    replaced: float
    cancelled: float


_HEADINGS = {
    "slo": ("SLO %", 2),
    "p50": ("p50 s", 1),
    "p95": ("p95 s", 1),
    "p99": ("p99 s", 1),
    "hours": ("inst-h", 1),
    "dollars": ("$", 2),
    "actions": ("actions", 0),
    "flaps": ("flaps", 0),
    "restarted": ("restarted", 0),
    "replaced": ("replaced", 0),
}


def score(outcome: Outcome, price: float) -> Score:
    """The numbers of one run at `price` $ per machine-hour."""
    waits = sorted(outcome.waits)
    hours = sum(end - begin for begin, end in outcome.rentals) / _HOUR
    return Score(
        slo=100 * sum(wait <= SLO_SECONDS for wait in waits) / max(len(waits), 1),
        p50=percentile(waits, 50),
        p95=percentile(waits, 95),
        p99=percentile(waits, 99),
        hours=hours,
        dollars=hours * price,
        actions=len(outcome.moves),
        flaps=flaps(outcome.moves),
        restarted=outcome.restarted,
        replaced=outcome.replaced,
        cancelled=outcome.cancelled,
    )


def percentile(ordered: Sequence[float], percent: int) -> float:
    """The nearest rank in `ordered`; 0 of nothing."""
    if not ordered:
        return 0.0
    return ordered[max(-(-len(ordered) * percent // 100) - 1, 0)]


def flaps(moves: Sequence[tuple[float, int]]) -> int:
    """How many of `moves` came within `FLAP_SECONDS` of the last opposite one."""
    last: dict[int, float] = {}
    count = 0
    for at, direction in moves:
        opposite = last.get(-direction)
        count += opposite is not None and at - opposite <= FLAP_SECONDS
        last[direction] = at
    return count


def figures(name: str, scores: Sequence[Score]) -> dict[str, float]:
    """Mean, least and most of each number, as `name.number`."""
    columns = _columns(scores)
    found: dict[str, float] = {}
    for column, values in columns.items():
        found[f"{name}.{column}"] = round(mean(values), 3)
        if len(values) > 1:
            found[f"{name}.{column}_min"] = round(min(values), 3)
            found[f"{name}.{column}_max"] = round(max(values), 3)
    return found


def table(title: str, rows: Mapping[str, Sequence[Score]], *, markdown: bool = False) -> Table:
    """Means over the runs of each row; where they differ, SLO and hours with their range."""
    shown = Table(
        title=None if markdown else title,
        title_justify="left",
        box=box.MARKDOWN if markdown else box.HEAVY_HEAD,
    )
    shown.add_column("policy", no_wrap=True)
    for heading, _ in _HEADINGS.values():
        shown.add_column(heading, justify="right", no_wrap=True)
    for name, scores in rows.items():
        columns = _columns(scores)
        shown.add_row(name, *(_cell(column, columns[column]) for column in _HEADINGS))
    return shown


def _columns(scores: Sequence[Score]) -> dict[str, list[float]]:
    rows: list[dict[str, float]] = [asdict(each) for each in scores]
    return {column: [row[column] for row in rows] for column in rows[0]}


def _cell(column: str, values: Sequence[float]) -> str:
    digits = _HEADINGS[column][1]
    text = f"{mean(values):.{digits}f}"
    if column in {"slo", "hours"} and max(values) > min(values):
        text += f" ({min(values):.{digits}f}–{max(values):.{digits}f})"  # noqa: RUF001 - a range
    return text
