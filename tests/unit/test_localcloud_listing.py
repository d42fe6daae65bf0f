"""The v1 listing's pages, filters and tokens."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.vastai.rentals.listing import list_page, page_size
from localcloud.vastai.wire import ApiError, Json

ROWS: list[Json] = [
    {"id": number, "label": f"slot-{number % 7}" if number % 3 else None, "num_gpus": 1}
    for number in range(1, 61)
]


def pages(**query: object) -> list[list[Json]]:
    """Follow the tokens to the end."""
    fixed = {name: json.dumps(value) for name, value in query.items()}
    found: list[list[Json]] = []
    token: object = None
    while True:
        page = list_page(ROWS, {**fixed, **({"after_token": str(token)} if token else {})})
        instances = page["instances"]
        assert isinstance(instances, list)
        found.append(instances)
        token = page["next_token"]
        if not token:
            return found


def test_pages_of_25() -> None:
    assert [len(page) for page in pages()] == [25, 25, 10]
    assert [row for page in pages() for row in page] == ROWS


@settings(deadline=None)
@given(
    st.sampled_from(["id", "label"]),
    st.sampled_from(["asc", "desc"]),
    st.integers(1, 30),
)
def test_every_order_pages_through_every_row_once(column: str, way: str, limit: int) -> None:
    rows = [
        row for page in pages(order_by=[{"col": column, "dir": way}], limit=limit) for row in page
    ]
    assert sorted(row["id"] for row in rows) == list(range(1, 61))
    values = [row[column] for row in rows if row[column] is not None]
    assert values == sorted(values, reverse=way == "desc")
    assert all(row[column] is None for row in rows[len(values) :])


def test_filters_by_label_and_id() -> None:
    [[one]] = pages(select_filters={"id": {"eq": "7"}})
    assert one["id"] == 7
    rows = [
        row for page in pages(select_filters={"label": {"in": ["slot-1", None]}}) for row in page
    ]
    assert {row["label"] for row in rows} == {"slot-1", None}


def test_counts() -> None:
    page = list_page(ROWS, {"select_filters": '{"id": {"lt": 4}}'})
    assert (page["instances_found"], page["total_instances"]) == (3, 3)
    counts = page["label_counts"]
    assert isinstance(counts, dict)
    assert counts[""] == 20


def test_columns() -> None:
    assert pages(select_cols=["id", "nonsense"], limit=1)[0] == [{"id": 1, "nonsense": None}]
    assert pages(select_cols=["*"], limit=1)[0] == ROWS[:1]


def test_limits_are_at_most_25_and_5_when_not_positive() -> None:
    assert [page_size(text) for text in (None, "3", "25", "26", "0", "-1")] == [25, 3, 25, 25, 5, 5]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"limit": "many"}, "invalid_request"),
        ({"select_filters": "{"}, "invalid_request"),
        ({"select_filters": "[]"}, "invalid_args"),
        ({"select_filters": '{"num_gpus": {"eq": 1}}'}, "invalid_request"),
        ({"select_filters": '{"nonsense": {"eq": 1}}'}, "invalid_request"),
        ({"after_token": "%%%"}, "invalid_token"),
        ({"after_token": "e30="}, "invalid_token"),
        ({"after_token": "W10="}, "invalid_token"),
    ],
)
def test_bad_queries(query: dict[str, str], code: str) -> None:
    with pytest.raises(ApiError) as refusal:
        list_page(ROWS, query)
    assert (refusal.value.status, refusal.value.code) == (400, code)


def test_no_rows() -> None:
    page = list_page([], {"select_filters": '{"label": {"eq": "x"}}'})
    assert (page["instances"], page["next_token"]) == ([], None)
