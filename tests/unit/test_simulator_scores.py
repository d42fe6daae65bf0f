"""What surrounds the simulation: traces, contenders, scores, and the command."""

import gzip
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from rich.console import Console

from autoscaler.model import Limits, Member, Memory, Observed, Phase, Reading
from bench import figures
from bench.fleet import __main__ as command
from bench.fleet import contenders, scores
from bench.fleet.contenders import plan
from bench.fleet.scores import Score
from bench.fleet.traces import DAY, Trace, read
from bench.fleet.world import Outcome, World

SCORE = Score(
    slo=90.0,
    p50=1.0,
    p95=2.0,
    p99=3.0,
    hours=10.0,
    dollars=3.5,
    actions=4,
    flaps=1,
    restarted=0,
    replaced=0,
    cancelled=0,
)


def write(path: Path, rows: list[tuple[float, int, int]]) -> None:
    lines = ["arrival_s,input_tokens,output_tokens", *(f"{a},{i},{o}" for a, i, o in rows)]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))


# Traces.


def test_a_trace_is_read_cut_and_thinned(tmp_path: Path) -> None:
    write(tmp_path / "small_1d.csv.gz", [(0.5, 10, 20), (DAY, 11, 21), (DAY + 5, 12, 22)])
    trace = read(tmp_path / "small_1d.csv.gz")
    assert trace == Trace(
        name="small_1d",
        arrivals=(0.5, DAY, DAY + 5),
        tokens=((10, 20), (11, 21), (12, 22)),
    )
    assert trace.days(0, 0).arrivals == (0.5,)
    assert trace.days(1, 3).arrivals == (0, 5)
    assert trace.days(1, 1).tokens == ((11, 21), (12, 22))
    assert trace.days(4, 5).arrivals == ()
    assert trace.thinned(2).arrivals == (0.5, DAY + 5)


# Contenders.


def fleet(*phases: Phase) -> tuple[Member, ...]:
    return tuple(
        Member(slot=f"gpu-{number}", phase=phase, age=100.0 - number)
        for number, phase in enumerate(phases)
    )


@pytest.mark.parametrize(
    ("depth", "phases", "slots", "victims"),
    [
        (101, [Phase.READY], 2, ()),
        (100, [Phase.READY], 1, ()),
        (101, [Phase.READY, Phase.STARTING], 2, ()),
        (9, [Phase.READY, Phase.STARTING], 2, ()),
        (9, [Phase.READY, Phase.READY], 1, ("gpu-1",)),
        (10, [Phase.READY, Phase.READY], 2, ()),
        (9, [Phase.READY], 1, ()),
        (500, [Phase.READY] * 5, 5, ()),
        (None, [Phase.READY], 1, ()),
    ],
)
def test_the_algorithm_of_the_plan(
    depth: int | None, phases: list[Phase], slots: int, victims: tuple[str, ...]
) -> None:
    queue = None if depth is None else Reading(depth=depth, at=0.0)
    seen = Observed(at=0.0, queue=queue, members=fleet(*phases))
    decision = plan(seen, Memory(), Limits(minimum=1, maximum=5))
    assert (decision.slots, decision.victims) == (slots, victims)


def test_the_plan_kills_and_the_others_drain() -> None:
    assert contenders.original().world(World()) == replace(World(), drain_deadline=0.0)
    assert contenders.threshold("auto").world(World()) == World()


def test_a_blind_contender_sees_no_utilization() -> None:
    auto = contenders.threshold("auto")
    assert contenders.blind(auto).world(World()) == replace(World(), reports=False)
    assert contenders.blind(auto).key == f"{auto.key}_blind"


@pytest.mark.parametrize("found", [contenders.headline(), contenders.grid()])
def test_contenders_have_names_of_their_own(found: tuple[contenders.Contender, ...]) -> None:
    assert len({each.key for each in found}) == len(found)
    assert sum(each.fixed for each in found) == 5
    assert contenders.threshold("auto").key == "auto_100_10_300_s"


# Scores.


def test_a_score() -> None:
    outcome = Outcome(
        waits=(0.0, 60.0, 61.0, 3.0),
        finished=(1, 1, 1, 1),
        rentals=((0.0, 3600.0), (1800.0, 3600.0)),
        moves=((1800.0, 1), (2000.0, -1)),
        restarted=2,
        replaced=3,
        cancelled=4,
    )
    assert scores.score(outcome, 0.4) == Score(
        slo=75.0,
        p50=3.0,
        p95=61.0,
        p99=61.0,
        hours=1.5,
        dollars=pytest.approx(0.6),
        actions=2,
        flaps=1,
        restarted=2,
        replaced=3,
        cancelled=4,
    )


def test_percentiles_are_nearest_ranks() -> None:
    assert scores.percentile([], 50) == 0.0
    assert scores.percentile([7.0], 99) == 7.0
    values = [float(number) for number in range(1, 101)]
    assert [scores.percentile(values, percent) for percent in (50, 95, 99)] == [50, 95, 99]


@pytest.mark.parametrize(
    ("moves", "flaps"),
    [
        ([], 0),
        ([(0, 1), (60, 1), (120, 1)], 0),
        ([(0, 1), (900, -1)], 1),
        ([(0, 1), (901, -1)], 0),
        ([(0, 1), (60, -1), (120, -1), (180, 1)], 3),
    ],
)
def test_a_flap_undoes_a_move_of_the_last_quarter_of_an_hour(
    moves: list[tuple[float, int]], flaps: int
) -> None:
    assert scores.flaps(moves) == flaps


def test_figures_are_means_with_their_range() -> None:
    found = scores.figures("m.auto", [SCORE, replace(SCORE, slo=80.0)])
    assert (found["m.auto.slo"], found["m.auto.slo_min"], found["m.auto.slo_max"]) == (85, 80, 90)
    assert set(scores.figures("one", [SCORE])) == {f"one.{field}" for field in asdict(SCORE)}


@pytest.mark.parametrize("markdown", [False, True])
def test_a_table_shows_means_and_ranges(markdown: bool) -> None:  # noqa: FBT001
    rows = {"fixed": [SCORE], "auto": [SCORE, replace(SCORE, slo=80.0)]}
    console = Console(width=150, record=True, quiet=False)
    console.print(scores.table("the week", rows, markdown=markdown))
    text = console.export_text()
    assert "85.00 (80.00–90.00)" in text  # noqa: RUF001 - a range
    assert ("the week" in text) is not markdown
    assert ("|---" in text) is markdown


# The command.


@pytest.fixture
def traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(figures, "_FOLDER", tmp_path / "figures")
    week = [(day * DAY + second, 100, 150) for day in range(7) for second in range(0, 900, 9)]
    write(tmp_path / command._WEEK, week)
    write(tmp_path / command._HOUR, [(second, 100, 150) for second in range(900)])
    return tmp_path


def test_a_quick_run_prints_and_writes(traces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["--quick", "--traces", str(traces)])
    out = capsys.readouterr().out
    assert "days 3-4 of servegen_m-large_7d_0" in out
    assert "one of 8 requests of azure2023_conv" in out
    found = json.loads((traces / "figures/fleet-quick.json").read_text())
    assert found["seeds"] == 1
    assert found["m-large.static_5.slo"] == 100.0
    assert found["conv.auto_100_10_300_s.restarted"] == 0


def test_a_whole_run_has_a_run_for_each_seed(
    traces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.main(["--seeds", "2", "--markdown", "--traces", str(traces)])
    assert "| static 1" in capsys.readouterr().out
    found = json.loads((traces / "figures/fleet.json").read_text())
    assert found["seeds"] == 2
    assert "m-large.the_plan_s_algorithm.slo_min" in found


def test_tuning_shows_what_is_worth_its_cost(
    traces: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "grid", contenders.headline)
    command.main(["--tune", "--seeds", "1", "--traces", str(traces)])
    assert "days 0-2 of" in capsys.readouterr().out
    assert not (traces / "figures").exists()


def test_the_frontier_leaves_out_what_costs_more_and_serves_no_better() -> None:
    one, two, three = (contenders.static(count) for count in (1, 2, 3))
    rows = {
        three: [replace(SCORE, hours=30.0, slo=95.0)],
        two: [replace(SCORE, hours=20.0, slo=90.0)],
        one: [replace(SCORE, hours=10.0, slo=90.0)],
    }
    assert list(command.frontier(rows)) == [one, three]


def test_without_traces_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["--traces", str(tmp_path)])
    assert "skipped: servegen_m-large_7d_0.5rps.csv.gz and azure2023_conv" in (
        capsys.readouterr().out.replace("\n", " ")
    )
