"""What was left unchecked: what wins, what it counts for, and what cannot be read."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from operations.nas_ungated import Left, Ungated

MONDAY, FRIDAY = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 9, tzinfo=UTC)


@pytest.fixture
def ungated(tmp_path: Path) -> Ungated:
    return Ungated(folder=tmp_path / "state", stack="nas")


def test_what_an_earlier_update_left_unchecked_wins(ungated: Ungated) -> None:
    assert ungated.begin({"a": "a:1"}, updates=4, now=MONDAY) is None
    # Recorded or not when its process died: both are the same stack.
    for updates in (4, 5):
        left = ungated.begin({"a": "a:2", "b": "b:1"}, updates=updates, now=FRIDAY)
        assert left is not None
        assert (left.begun, left.images) == (MONDAY, {"a": "a:1"})
    assert ungated.left() == Left(begun=MONDAY, updates=(5, 6), images={"a": "a:1"})


def test_it_is_forgotten_when_somebody_else_has_updated(ungated: Ungated) -> None:
    ungated.begin({"a": "a:1"}, updates=4, now=MONDAY)
    ungated.ended(4)
    assert ungated.begin({"a": "a:2"}, updates=5, now=FRIDAY) is None
    assert ungated.left() == Left(begun=FRIDAY, updates=(5, 6), images={"a": "a:2"})


def test_numbers_need_something_that_is_left(ungated: Ungated) -> None:
    ungated.goes_on(3)
    ungated.ended(3)
    assert ungated.left() is None
    assert ungated.images() == {}


@pytest.mark.parametrize("text", ["", "{", '{"a": "a:1"}'])
def test_what_cannot_be_read_is_nothing(ungated: Ungated, text: str) -> None:
    ungated.folder.mkdir()
    (ungated.folder / "nas-ungated.json").write_text(text)
    assert ungated.kept(0) is None
    assert not list(ungated.folder.iterdir())
