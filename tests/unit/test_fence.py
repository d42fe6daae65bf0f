"""The fence: an update under an older lease, or from an older stack, is refused."""

import pytest

from contracts.fence import (
    OVERTAKEN,
    SUPERSEDED,
    Overtaken,
    Superseded,
    next_fence,
    next_update,
)


@pytest.mark.parametrize(
    ("given", "last", "recorded"),
    [
        (None, None, None),  # a person's first update
        (None, 7, 7),  # a person's later one keeps the number
        (0, None, 0),
        (1, None, 1),
        (7, 7, 7),
        (8, 7, 8),
        (0, 0, 0),
        (None, 7.0, 7),  # as Pulumi gives a number back
        (7, 7.0, 7),
    ],
)
def test_what_is_recorded(given: int | None, last: float | None, recorded: int | None) -> None:
    found = next_fence(given, last)
    assert found == recorded
    assert not isinstance(found, float)


@pytest.mark.parametrize(("given", "last"), [(6, 7), (0, 1), (1, 10**9)])
def test_an_older_lease_is_refused(given: int, last: int) -> None:
    with pytest.raises(Superseded, match=f"{SUPERSEDED}: it has number {given}") as caught:
        next_fence(given, last)
    assert caught.value.exit_code == 3
    assert caught.value.hint


@pytest.mark.parametrize(
    ("base", "last", "number"),
    [(None, None, 1), (None, 4.0, 5), (0, None, 1), (4, 4.0, 5), (0, 0, 1)],
)
def test_updates_are_counted(base: int | None, last: float | None, number: int) -> None:
    found = next_update(base, last)
    assert found == number
    assert isinstance(found, int)


@pytest.mark.parametrize(("base", "last"), [(3, 4.0), (5, 4.0), (1, None)])
def test_an_update_of_another_stack_is_refused(base: int, last: float | None) -> None:
    with pytest.raises(Overtaken, match=OVERTAKEN) as caught:
        next_update(base, last)
    assert caught.value.exit_code == 3
    assert caught.value.hint
