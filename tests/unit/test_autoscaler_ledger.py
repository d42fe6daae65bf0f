"""What the fleet has cost, whatever happens to the one who counts."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.ledger import Ledger, counted, opened, rate
from providers.vastai.models import Instance
from tests.unit.autoscaler_fakes import NOW, instance

HOUR = 3600.0
DAY = "2023-11-14"
MIDNIGHT = datetime(2023, 11, 15, tzinfo=UTC).timestamp()


def fresh(at: float = NOW) -> Ledger:
    return opened(at, nothing_ended=True)


def watched(book: Ledger, live: list[Instance], until: float) -> Ledger:
    """`book` when it was counted every 10 min."""
    at = book.at
    while at < until:
        at = min(at + 600, until)
        book = counted(book, live, at)
    return book


def running(contract: int = 1, **changes: object) -> Instance:
    return instance(contract, **({"dph_total": 0.4, "storage_total_cost": 0.04} | changes))


@pytest.mark.parametrize("status", [None, "created", "loading", "stopped", "exited", "offline"])
def test_while_it_does_not_run_only_storage_is_billed(status: str | None) -> None:
    assert rate(running(actual_status=status)) == 0.04
    assert rate(running(actual_status=status, storage_total_cost=9.0)) == 0.4
    assert rate(running()) == 0.4


def test_a_machine_is_counted_from_its_own_start() -> None:
    book = counted(fresh(), [running(start_date=NOW - HOUR)], NOW)
    assert (book.spent_today, book.total) == (0.4, 0.4)
    later = counted(book, [running()], NOW + HOUR / 2)
    assert later.total == pytest.approx(0.6)


@pytest.mark.parametrize("start", [0.0, NOW + 500])
def test_a_start_that_cannot_be_is_now(start: float) -> None:
    assert counted(fresh(), [running(start_date=start)], NOW).total == 0


def test_what_was_seen_last_is_the_rate_until_now() -> None:
    book = counted(fresh(), [running(actual_status="loading")], NOW)
    book = counted(book, [running()], NOW + HOUR)
    assert book.total == pytest.approx(0.04)
    book = counted(book, [running()], NOW + 2 * HOUR)
    assert book.total == pytest.approx(0.44)


def test_one_that_has_gone_is_counted_up_to_now_and_no_further() -> None:
    book = counted(fresh(), [running(1), running(2)], NOW)
    book = counted(book, [running(2)], NOW + HOUR)
    assert book.total == pytest.approx(0.8)
    book = counted(book, [running(2)], NOW + 2 * HOUR)
    assert book.total == pytest.approx(1.2)


def test_one_that_a_listing_missed_is_not_counted_twice() -> None:
    book = counted(fresh(), [running()], NOW)
    book = counted(book, [running()], NOW + 10 * HOUR)
    book = counted(book, [], NOW + 11 * HOUR)
    book = counted(book, [running()], NOW + 11.5 * HOUR)
    assert book.total == pytest.approx(0.4 * 11.5)


def test_midnight_closes_the_day_and_goes_on() -> None:
    book = counted(fresh(MIDNIGHT - HOUR), [running(start_date=MIDNIGHT - HOUR)], MIDNIGHT - HOUR)
    book = watched(book, [running()], MIDNIGHT + HOUR / 2)
    assert book.day == "2023-11-15"
    assert book.spent_today == pytest.approx(0.2)
    assert book.total == pytest.approx(0.6)


def test_a_day_begins_with_what_ran_before_it() -> None:
    book = counted(fresh(MIDNIGHT + HOUR), [running(start_date=NOW)], MIDNIGHT + HOUR)
    assert book.spent_today == pytest.approx(0.4)


def test_one_that_ended_over_midnight_is_counted_as_on_any_other_hour() -> None:
    start = running(start_date=MIDNIGHT - HOUR)
    book = counted(fresh(MIDNIGHT - HOUR), [start], MIDNIGHT - HOUR)
    book = counted(book, [], MIDNIGHT + HOUR)
    assert book.total == pytest.approx(0.8)
    assert book.spent == pytest.approx(0.4)


def test_after_a_restart_it_goes_on_from_its_file() -> None:
    book = counted(fresh(), [running()], NOW)
    read = Ledger.model_validate_json(book.model_dump_json())
    assert read == book
    assert counted(read, [running()], NOW + HOUR) == counted(book, [running()], NOW + HOUR)


def test_after_a_loss_the_day_is_not_known_and_the_next_is() -> None:
    book = watched(opened(NOW, nothing_ended=False), [running()], MIDNIGHT - 1)
    assert book.spent_today is None
    assert book.spent > 0
    book = counted(book, [running()], MIDNIGHT + 1)
    assert book.spent_today is not None


@pytest.mark.parametrize("known", [True, False])
def test_a_midnight_that_nobody_saw_makes_no_day_known(*, known: bool) -> None:
    """What was rented and ended between yesterday noon and now is in nobody's book."""
    book = counted(opened(NOW, nothing_ended=known), [running()], NOW + 60)
    book = counted(book, [running()], MIDNIGHT + 9 * HOUR)
    assert book.spent_today is None
    # The next one is known again.
    book = watched(book, [running()], MIDNIGHT + 25 * HOUR)
    assert book.spent_today is not None


@pytest.mark.parametrize("gap", [1000.0, 3 * HOUR, -HOUR])
def test_hours_in_which_another_led_make_the_day_unknown(gap: float) -> None:
    """The other may have spent all of the day's budget meanwhile, and kept it in its own book."""
    start = NOW - 20 * HOUR
    book = watched(fresh(start), [running()], NOW - 6 * HOUR)
    assert book.spent_today is not None
    book = counted(book, [], book.at + gap)
    assert book.spent_today is None
    assert watched(book, [], MIDNIGHT - 1).spent_today is None
    assert watched(book, [], MIDNIGHT + 1).spent_today is not None


def test_a_short_restart_forgets_nothing() -> None:
    book = counted(counted(fresh(), [running()], NOW), [running()], NOW + 900)
    assert book.spent_today == pytest.approx(0.1)


def test_a_clock_that_goes_back_over_midnight_forgets_nothing() -> None:
    before = MIDNIGHT - HOUR
    book = counted(fresh(before), [running(start_date=before)], before)
    book = counted(book, [running()], MIDNIGHT + HOUR)
    spent = book.spent
    book = counted(book, [running()], MIDNIGHT - 60)
    assert book.spent >= spent
    assert book.total == pytest.approx(0.8)


def test_time_that_goes_back_costs_nothing() -> None:
    book = counted(counted(fresh(), [running()], NOW), [running()], NOW + HOUR)
    assert counted(book, [running()], NOW + HOUR / 2).total == book.total


machines = st.lists(
    st.builds(
        running,
        st.integers(1, 4),
        dph_total=st.floats(0, 2),
        actual_status=st.sampled_from(["running", "loading", "exited"]),
        start_date=st.floats(NOW - 90 * HOUR, NOW),
    ),
    max_size=4,
    unique_by=lambda machine: machine.id,
)
waits = st.lists(st.floats(0, 40 * HOUR), min_size=1, max_size=6)


@given(machines, waits)
def test_the_total_adds_up_over_any_split_of_time(
    live: list[Instance], splits: list[float]
) -> None:
    start = counted(fresh(), live, NOW)
    book, at = start, NOW
    for wait in splits:
        at += wait
        after = counted(book, live, at)
        assert after.total >= book.total
        assert after.spent >= 0
        book = after
    whole = counted(start, live, at)
    assert book.total == pytest.approx(whole.total)
    assert book.spent == pytest.approx(whole.spent)


@given(st.lists(st.tuples(machines, st.floats(-50 * HOUR, 50 * HOUR)), max_size=8))
def test_the_total_never_falls(story: list[tuple[list[Instance], float]]) -> None:
    book, at = fresh(), NOW
    for live, wait in story:
        at += wait
        after = counted(book, live, at)
        assert after.total >= book.total
        assert after.spent >= 0
        book = after
