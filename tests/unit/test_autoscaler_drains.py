"""Drains: chosen, cancelled, and what counts as their end."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.drains import Drained, chosen, finished, kept, unserved
from autoscaler.remembered import Drain, Remembered
from tests.unit.autoscaler_fakes import NAMES, NOW, endpoint, sight

SLOT = NAMES[0]
DEADLINE = 120.0


def drained(**changes: Any) -> Remembered:  # noqa: ANN401 - fields of a drain
    """A drain of the first slot, taken out of the router, ready before."""
    drain = Drain(**({"contract": 1, "since": NOW, "reason": "shrink"} | changes))
    return Remembered(drains={SLOT: drain}, ready={1: NOW - 999})


def end(
    remembered: Remembered,
    waited: float,
    *,
    router: bool | None = True,
    **seen: Any,  # noqa: ANN401 - fields of a sight
) -> str | None:
    done = finished(remembered, [sight(**seen)], NOW + waited, DEADLINE, router=router)
    assert {found.slot for found in done} <= {SLOT}
    return done[0].reason if done else None


# Choosing.


def test_exactly_the_victims_drain() -> None:
    sights = [sight(0, in_flight=3), sight(1), sight(2, record=None, machine=None)]
    first = chosen(Remembered(), [SLOT, NAMES[2], "gpu-none"], sights, NOW, "shrink")
    assert set(first.drains) == {SLOT, NAMES[2]}
    drain = first.drains[SLOT]
    assert (drain.contract, drain.since, drain.reason) == (1, NOW, "shrink")
    assert first.drains[NAMES[2]].contract == 0
    # One that stays a victim has begun when it began; another is cancelled.
    later = chosen(first, [SLOT, NAMES[1]], sights, NOW + 60, "again")
    assert later.drains[SLOT] == drain
    assert later.drains[NAMES[1]].since == NOW + 60
    assert set(later.drains) == {SLOT, NAMES[1]}
    assert chosen(later, [], sights, NOW + 90, "demand").drains == {}


def test_a_drain_ends_with_its_machine() -> None:
    before = drained()
    assert kept(before, [sight(0)]).drains.keys() == {SLOT}
    assert kept(before, [sight(0, contract=9)]).drains == {}
    assert kept(before, []).drains == {}
    anew = chosen(before, [SLOT], [sight(0, contract=9)], NOW + 50, "shrink")
    assert (anew.drains[SLOT].contract, anew.drains[SLOT].since) == (9, NOW + 50)


def test_that_the_router_counts_is_remembered() -> None:
    counts = kept(drained(), [sight(0, in_flight=0)])
    assert counts.drains[SLOT].counted
    assert kept(counts, [sight(0)]).drains[SLOT].counted
    assert not kept(drained(), [sight(0)]).drains[SLOT].counted


# Ending.


def test_idle_is_what_the_router_says() -> None:
    assert end(drained(), 10, in_flight=0) == "idle after 10 s"
    assert end(drained(), 10, in_flight=1) is None
    assert end(drained(), 119.9, in_flight=1) is None
    assert end(drained(), 120, in_flight=1) == "not known to be idle after 120 s"


def test_silence_is_not_idleness() -> None:
    assert end(drained(), 119) is None
    assert end(drained(), 120) == "not known to be idle after 120 s"


def test_a_row_that_was_counted_and_is_dropped_is_idle() -> None:
    assert end(drained(counted=True), 10) == "idle after 10 s"


def test_an_unreachable_router_takes_the_whole_deadline() -> None:
    assert end(drained(counted=True), 119, router=False) is None
    assert end(drained(counted=True), 120, router=False) == "not known to be idle after 120 s"


def test_idle_means_nothing_before_it_was_taken_out() -> None:
    still = drained().model_copy(update={"registered": frozenset([endpoint(SLOT, 1)])})
    assert end(still, 119, in_flight=0) is None
    assert end(still, 120, in_flight=0) == "not known to be idle after 120 s"


def test_some_need_not_be_waited_for() -> None:
    assert end(drained(), 0, router=None) == "there is no router that sends it work"
    assert end(drained(), 0, gone=True) == "its machine is dead"
    never = drained().model_copy(update={"ready": {}})
    assert end(never, 0) == "it has never served"


def test_what_serves_has_served_whatever_is_remembered() -> None:
    """What was remembered may be lost, and its machine be silent just now."""
    never = drained().model_copy(update={"ready": {}})
    assert end(never, 10, in_flight=2) is None


def test_what_was_given_up_before_it_answered_is_not_waited_for() -> None:
    """It answers while it drains, but what drains was never registered, and is not now."""
    starting = sight(0, in_flight=None)
    silent = unserved(Remembered(), [starting], [])
    remembered = chosen(Remembered(), [SLOT], [starting], NOW, "fixed at 1", silent)
    answers = remembered.model_copy(update={"ready": {1: NOW + 1}})
    assert end(answers, 2) == "it has never served"
    assert end(answers, 2, in_flight=1) is None


def test_only_what_nobody_can_have_used_is_unserved() -> None:
    row = {"endpoint": endpoint(SLOT, 1)}
    assert unserved(Remembered(), [sight(0)], []) == {SLOT}
    assert unserved(Remembered(), [sight(0)], [row]) == frozenset()
    assert unserved(Remembered(ready={1: NOW - 1}), [sight(0)], []) == frozenset()
    # Without the router's word it may be in there: what was remembered may be lost.
    assert unserved(Remembered(), [sight(0)], None) == frozenset()
    assert unserved(Remembered(), [sight(record=None, machine=None)], []) == frozenset()


def test_only_slots_that_drain_end() -> None:
    assert finished(Remembered(), [sight(0, gone=True)], NOW, DEADLINE, router=True) == ()
    both = finished(drained(), [sight(1), sight(0, in_flight=0)], NOW, DEADLINE, router=True)
    assert both == (Drained(slot=SLOT, reason="idle after 0 s"),)


def test_a_slot_without_machine_has_nothing_to_wait_for() -> None:
    remembered = chosen(Remembered(), [SLOT], [sight(record=None, machine=None)], NOW, "x")
    assert end(remembered, 0, record=None, machine=None, gone=True) == "its machine is dead"


@given(
    st.floats(0, DEADLINE - 1),
    st.integers(1, 500),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["running", "loading", None]),
)
def test_what_serves_is_never_given_up_before_the_deadline(
    waited: float,
    in_flight: int,
    counted: bool,  # noqa: FBT001
    known: bool,  # noqa: FBT001
    out: bool,  # noqa: FBT001
    status: str | None,
) -> None:
    remembered = drained(counted=counted).model_copy(
        update={
            "registered": frozenset() if out else frozenset([endpoint(SLOT, 1)]),
            "ready": {1: NOW} if known else {},
        }
    )
    seen = sight(in_flight=in_flight)
    assert seen.machine is not None
    machine = seen.machine.model_copy(update={"actual_status": status})
    assert end(remembered, waited, in_flight=in_flight, machine=machine) is None


@pytest.mark.parametrize("router", [True, False])
@given(st.floats(0, DEADLINE - 1), st.none() | st.integers(0, 9), st.booleans())
def test_nothing_is_idle_while_the_router_has_it(
    router: bool,  # noqa: FBT001
    waited: float,
    in_flight: int | None,
    counted: bool,  # noqa: FBT001
) -> None:
    still = drained(counted=counted).model_copy(
        update={"registered": frozenset([endpoint(SLOT, 1)])}
    )
    assert end(still, waited, router=router, in_flight=in_flight) is None
