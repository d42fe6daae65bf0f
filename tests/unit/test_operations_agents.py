"""Agents as stacks: their names, and which update one goes back to."""

from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.errors import SettingsError
from operations.agents import Place, earlier, image_of, place_of
from operations.stack import PastUpdate

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def update(number: int, image: str, *, good: bool = True, kind: str = "update") -> PastUpdate:
    """One of a history that is told newest first; `number` is only for the test to know it by."""
    settings: dict[str, Any] = {"agent-docker:agents": {"deployments": [{"image": image}]}}
    return PastUpdate(back=number, at=NOW, kind=kind, succeeded=good, settings=settings)


@pytest.mark.parametrize(
    ("updates", "back_to"),
    [
        ([], None),
        ([update(1, "a")], None),
        # The newest failed: what ran before it.
        ([update(2, "b", good=False), update(1, "a")], 1),
        # Twice the same mistake.
        ([update(3, "b", good=False), update(2, "b", good=False), update(1, "a")], 1),
        # The newest is good: the one before that was another one.
        ([update(3, "b"), update(2, "b"), update(1, "a")], 1),
        # What never worked is nothing to go back to.
        ([update(3, "c"), update(2, "b", good=False), update(1, "a")], 1),
        ([update(2, "b"), update(1, "a", good=False)], None),
        # A refresh is no deploy.
        ([update(3, "b", kind="refresh"), update(2, "b"), update(1, "a")], 1),
        # What is the same as now would change nothing.
        ([update(3, "a"), update(2, "b"), update(1, "a")], 2),
    ],
)
def test_an_agent_goes_back_to_the_last_good_update_that_was_another(
    updates: list[PastUpdate], back_to: int | None
) -> None:
    found = earlier(updates)
    assert (found and found.back) == back_to


def test_the_image_of_an_update_is_what_it_was_told() -> None:
    assert image_of(update(1, "a")) == "a"
    assert image_of(PastUpdate(back=1, at=NOW, kind="update", succeeded=True, settings={})) is None


def test_a_place_is_known_by_the_name_of_its_stack() -> None:
    place = Place(namespace="team-a", name="critic")
    assert place.stack == "agents.team-a.critic"
    assert place_of(place.stack) == place


@pytest.mark.parametrize(("namespace", "name"), [("../../x", "a"), ("a", "A"), ("", "a")])
def test_a_place_has_names_of_kubernetes(namespace: str, name: str) -> None:
    with pytest.raises(SettingsError, match="is no name of"):
        Place(namespace=namespace, name=name)


@pytest.mark.parametrize("stack", ["agents", "agents.team-a", "gpu", "gpu.a.b", "agents.a.b.c"])
def test_other_stacks_are_no_agents(stack: str) -> None:
    assert place_of(stack) is None
