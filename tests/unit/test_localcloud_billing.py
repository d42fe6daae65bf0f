"""The emulator's money: exact, and never running backwards."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.vastai.billing import (
    UNITS_PER_DOLLAR,
    Meter,
    dollar_text,
    dollars,
    micros,
    storage_rate,
)

START = 1_800_000_000.0
RATES = st.integers(0, 100_000_000)
SPANS = st.lists(st.tuples(RATES, st.integers(0, 10_000_000)), max_size=20)


def test_an_hour_at_a_rate_costs_the_rate() -> None:
    meter = Meter(round(START * 1000), rate=micros(0.4321))
    assert dollars(meter.read(START + 3600)) == Decimal("0.4321")


def test_ten_seconds_cost_ten_seconds() -> None:
    meter = Meter(round(START * 1000), rate=micros(0.36))
    assert dollars(meter.read(START + 10)) == Decimal("0.001")


def test_nothing_is_owed_before_the_start() -> None:
    assert Meter(round(START * 1000), rate=5).read(START - 60) == 0


@settings(deadline=None)
@given(SPANS)
def test_a_bill_is_the_sum_of_its_spans(spans: list[tuple[int, int]]) -> None:
    meter, now = Meter(0), 0
    for rate, length in spans:
        meter = meter.switched(rate, now / 1000)
        now += length
    assert meter.read(now / 1000) == sum(rate * length for rate, length in spans)


@settings(deadline=None)
@given(SPANS, st.integers(0, 10_000_000))
def test_reading_changes_nothing(spans: list[tuple[int, int]], pause: int) -> None:
    once, often, now = Meter(0), Meter(0), 0
    for rate, length in spans:
        once = once.switched(rate, now / 1000)
        often = often.switched(rate, now / 1000).switched(rate, now / 1000)
        now += length
        often.read((now + pause) / 1000)
    assert once.read(now / 1000) == often.read(now / 1000)


def test_a_disk_is_priced_by_gigabyte_and_month_of_720_hours() -> None:
    assert storage_rate(micros(0.15), 10) == 2083


def test_small_amounts_are_not_written_in_scientific_notation() -> None:
    assert dollar_text(1) == "0.000000000000"
    assert dollar_text(UNITS_PER_DOLLAR // 1_000_000) == "0.000001000000"
