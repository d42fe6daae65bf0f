"""Quantities as Kubernetes reads them."""

from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossa.quantities import quantity, written


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("2", "2"),
        ("+2", "2"),
        ("0.5", "0.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("500m", "0.5"),
        ("100u", "0.0001"),
        ("1n", "1e-9"),
        ("1k", "1000"),
        ("512Mi", "536870912"),
        ("1.5Gi", "1610612736"),
        ("1G", "1000000000"),
        ("1E", "1e18"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("1E-2", "0.01"),
        ("1Ti", "1099511627776"),
    ],
)
def test_quantities(text: str, amount: str) -> None:
    assert quantity(text) == Decimal(amount)


@pytest.mark.parametrize(
    "text",
    [
        *["", "lots", "1 Gi", "1gi", "1KI", "1K", "m", "1e", "1e999", "--1", "1.2.3", "1Mi5", "٣"],
        *["0", "0Gi", "-1", "9Ei", "1" * 41, "1\n"],
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"quantity|more than 0"):
        quantity(text)


@given(st.text(max_size=50))
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert quantity(text) > 0


@given(st.floats(min_value=1e-9, max_value=1e15) | st.integers(1, 10**18))
def test_numbers_are_written_so_that_they_read_back(number: float) -> None:
    text = written(number)
    assert "e" not in text.lower()
    assert len(text) > 40 or quantity(text) == Decimal(repr(number))
