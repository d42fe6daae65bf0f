"""`threshold`: the plan's semantics, its two steps, and what it remembers."""

from dataclasses import replace
from math import ceil
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from autoscaler.model import Limits, Member, Memory, Observed, Phase, Reading, Step
from autoscaler.policies import POLICIES
from autoscaler.policies.threshold import threshold
from tests.unit.test_policies_bounds import (
    NOW,
    acted,
    bad_readings,
    depths,
    limits,
    memories,
    worlds,
)

LIMITS = Limits(minimum=1, maximum=5)
# Quiet, and nothing added, for longer than any test waits.
LONG_QUIET = Memory(quiet_since=NOW - 3600, grown_at=NOW - 3600)


def ready(count: int, utilization: float = 0.5) -> tuple[Member, ...]:
    return tuple(
        Member(slot=f"gpu-{number}", phase=Phase.READY, utilization=utilization)
        for number in range(count)
    )


def seen(depth: int | None, members: tuple[Member, ...], **more: Any) -> Observed:  # noqa: ANN401
    at = more.pop("at", NOW)
    queue = None if depth is None else Reading(depth=depth, at=at, **more)
    return Observed(at=at, queue=queue, members=members)


def test_it_is_offered_under_its_name() -> None:
    assert POLICIES["threshold"] is threshold


# The plan: above 100 one more, below 10 one less, between 1 and 5.


@pytest.mark.parametrize(
    ("depth", "now", "slots", "rule"),
    [
        (101, 2, 3, "grow"),
        (100, 2, 2, "hold"),
        (50, 2, 2, "hold"),
        (10, 2, 2, "hold"),
        (9, 2, 1, "shrink"),
        (0, 5, 4, "shrink"),
        (101, 5, 5, "hold"),
        (9, 1, 1, "hold"),
        (50, 0, 1, "minimum"),
        (50, 7, 5, "maximum"),
        (9, 7, 5, "maximum"),
        (100_000, 1, 2, "grow"),
    ],
)
def test_the_plan(depth: int, now: int, slots: int, rule: str) -> None:
    decision = threshold(seen(depth, ready(now)), LONG_QUIET, LIMITS)
    assert (decision.slots, decision.rule) == (slots, rule)
    assert len(decision.victims) == max(now - slots, 0)


@pytest.mark.parametrize(
    ("step", "depth", "in_flight", "now", "slots"),
    [
        ("one", 500, None, 1, 2),
        ("auto", 500, None, 1, 5),
        ("auto", 201, None, 1, 3),
        ("auto", 201, 100, 1, 4),
        ("auto", 101, None, 4, 5),  # at least one more, whatever the backlog asks for
        ("auto", 10**6, None, 1, 5),
    ],
)
def test_how_far_a_growth_goes(
    step: Step, depth: int, in_flight: int | None, now: int, slots: int
) -> None:
    bounds = replace(LIMITS, step=step)
    assert threshold(seen(depth, ready(now), in_flight=in_flight), Memory(), bounds).slots == slots


@pytest.mark.parametrize(
    ("step", "depth", "in_flight", "utilization", "slots"),
    [
        ("one", 9, None, 1.0, 4),  # the plan looks at the queue alone
        ("auto", 0, None, 0.0, 4),  # one at a time
        ("auto", 9, None, 0.5, 4),  # 2.5 machines' work fills 4 to 63 %, 3 to 83 %
        ("auto", 9, None, 0.25, 4),
        ("auto", 9, 191, 0.25, 4),
        ("auto", 9, 392, 0.25, 5),  # 401 in hand at 100 a slot
        ("auto", 9, None, 1.0, 5),
    ],
)
def test_how_far_a_shrink_goes(
    step: Step, depth: int, in_flight: int | None, utilization: float, slots: int
) -> None:
    bounds = replace(LIMITS, step=step)
    world = seen(depth, ready(5, utilization), in_flight=in_flight)
    assert threshold(world, LONG_QUIET, bounds).slots == slots


# A fleet that may be empty.

EMPTY = replace(LIMITS, minimum=0)


@pytest.mark.parametrize("step", ["one", "auto"])
@pytest.mark.parametrize(
    ("depth", "slots", "rule"),
    [(0, 0, "hold"), (1, 1, "grow"), (9, 1, "grow"), (80, 1, "grow"), (100, 1, "grow")],
)
def test_an_empty_fleet_gets_a_slot_for_any_queue(
    step: Step, depth: int, slots: int, rule: str
) -> None:
    decision = threshold(seen(depth, ()), LONG_QUIET, replace(EMPTY, step=step))
    assert (decision.slots, decision.rule) == (slots, rule)
    if slots:
        assert decision.reason == f"depth {depth}, and there is no slot"
        assert decision.memory.grown_at == NOW


@pytest.mark.parametrize("step", ["one", "auto"])
def test_the_last_slot_stays_while_anything_waits_or_is_served(step: Step) -> None:
    bounds = replace(EMPTY, step=step)
    for world in (seen(5, ready(1, 0.0)), seen(0, ready(1, 0.0), in_flight=1)):
        held = threshold(world, LONG_QUIET, bounds)
        assert (held.slots, held.rule) == (1, "hold")
    assert threshold(seen(5, ready(1)), LONG_QUIET, replace(EMPTY, step="one")).reason == (
        "depth 5 < 10, but the last slot is needed for it"
    )
    assert threshold(seen(0, ready(1, 0.0)), LONG_QUIET, bounds).slots == 0


@given(worlds(), memories(), limits(), st.integers(1, 700))
def test_what_waits_is_never_left_without_a_slot(
    world: Observed, memory: Memory, bounds: Limits, depth: int
) -> None:
    assume(bounds.maximum > 0)
    queue = Reading(depth=depth, at=NOW)
    alone = replace(world, queue=queue, members=world.members[:1])
    assert threshold(alone, memory, bounds).slots >= 1


def test_a_budget_stands_above_the_first_slot() -> None:
    spent = replace(seen(50, ()), spent_today=9.0)
    assert threshold(spent, Memory(), replace(EMPTY, daily_budget=5.0)).rule == "budget"


def test_decisions_say_why() -> None:
    def reason(depth: int | None, memory: Memory = LONG_QUIET, now: int = 2) -> str:
        return threshold(seen(depth, ready(now)), memory, LIMITS).reason

    assert reason(250) == "depth 250 > 100, backlog asks for 3"
    assert reason(250, now=5) == "depth 250 > 100, backlog asks for 3, held at 5"
    assert reason(50) == "depth 50 is within 10..100"
    assert reason(3) == "depth 3 < 10"
    assert reason(3, Memory()) == "depth 3 < 10, stabilizing for 300 s more"
    assert reason(None) == "the queue cannot be read"
    assert reason(50, now=0) == "0 slots are below the minimum of 1"
    assert reason(50, now=6) == "6 slots are above the maximum of 5"


# What starts counts.


def test_a_burst_is_not_answered_twice() -> None:
    starting = replace(ready(1)[0], slot="new", phase=Phase.STARTING)
    decision = threshold(seen(150, (*ready(1), starting)), Memory(), LIMITS)
    assert (decision.slots, decision.rule) == (2, "hold")
    assert decision.reason == "depth 150 > 100, 1 starting or draining are enough"


def test_a_burst_that_grows_is_answered_while_machines_start() -> None:
    starting = replace(ready(1)[0], slot="new", phase=Phase.STARTING)
    assert threshold(seen(250, (*ready(1), starting)), Memory(), LIMITS).slots == 3


def asked(queue: Reading | None, bounds: Limits) -> int:
    backlog = 0 if queue is None else queue.depth + (queue.in_flight or 0)
    return ceil(backlog / max(bounds.scale_up, 1))


@given(worlds(), memories(), limits())
def test_no_growth_while_enough_are_starting(
    world: Observed, memory: Memory, bounds: Limits
) -> None:
    now = len(world.members)
    assume(any(member.phase is Phase.STARTING for member in world.members))
    assume(now >= max(asked(world.queue, bounds), bounds.minimum))
    assert threshold(world, memory, bounds).slots <= now


@given(worlds(), memories(), limits())
def test_auto_decides_a_growth_once(world: Observed, memory: Memory, bounds: Limits) -> None:
    """Until something else is seen, nothing is added to what starts already."""
    bounds = replace(bounds, step="auto")
    first = threshold(world, memory, bounds)
    assume(first.slots > len(world.members))
    again = threshold(acted(world, first, bounds), first.memory, bounds)
    assert (again.slots, again.victims) == (first.slots, ())


@given(worlds(), memories(), limits())
def test_one_never_goes_beyond_what_the_backlog_asks_for(
    world: Observed, memory: Memory, bounds: Limits
) -> None:
    """Deciding again at once adds one a time, and ends where `auto` would have gone."""
    bounds = replace(bounds, step="one")
    first = threshold(world, memory, bounds)
    assume(first.slots > len(world.members))
    decision, current = first, world
    for _ in range(10):
        current = acted(current, decision, bounds)
        renamed = [replace(each, slot=f"slot-{n}") for n, each in enumerate(current.members)]
        current = replace(current, members=tuple(renamed))
        decision = threshold(current, decision.memory, bounds)
        assert decision.slots - len(current.members) in {0, 1}
    assert decision.slots <= max(first.slots, asked(world.queue, bounds))


# What is remembered.


@given(
    st.lists(
        st.tuples(st.floats(1, 200), depths | st.sampled_from([0, 9, 10]), st.booleans()),
        min_size=5,
        max_size=60,
    ),
    limits(),
    st.integers(0, 8),
)
def test_no_shrink_soon_after_a_growth_or_a_loud_queue(
    ticks: list[tuple[float, int, bool]], bounds: Limits, size: int
) -> None:
    """Over any history; whatever shrinks here shrinks because the queue is quiet."""
    at, memory, named = NOW, Memory(), size
    members = ready(min(max(size, bounds.minimum), bounds.maximum))
    grown = loud = at  # nothing is known of what was before
    for seconds, depth, blind in ticks:
        at += seconds
        loud = at if depth >= bounds.scale_down and not blind else loud
        decision = threshold(seen(None if blind else depth, members, at=at), memory, bounds)
        memory = decision.memory
        if decision.victims:
            assert not blind
            assert at - loud >= bounds.stabilization
            assert at - grown >= bounds.stabilization
        elif decision.slots > len(members):
            grown = at
        members = tuple(each for each in members if each.slot not in decision.victims)
        for _ in range(decision.slots - len(members)):
            named += 1
            members += (Member(slot=f"gpu-{named + 100}", phase=Phase.STARTING),)


def test_a_shrink_waits_for_the_queue_to_be_quiet() -> None:
    members, memory = ready(3), Memory()
    slots: list[int] = []
    for minute, depth in enumerate([0, 0, 10, 0, 0, 0, 0, 0, 0]):
        decision = threshold(seen(depth, members, at=NOW + 60 * minute), memory, LIMITS)
        memory = decision.memory
        slots.append(decision.slots)
    assert slots == [3, 3, 3, 3, 3, 3, 3, 3, 2]
    assert memory.quiet_since == NOW + 180


def test_a_shrink_waits_after_a_growth() -> None:
    memory = Memory(quiet_since=NOW - 9999, grown_at=NOW - 299)
    held = threshold(seen(0, ready(2)), memory, LIMITS)
    assert (held.slots, held.reason) == (2, "depth 0 < 10, stabilizing for 1 s more")
    assert threshold(seen(0, ready(2), at=NOW + 1), held.memory, LIMITS).slots == 1


def test_a_growth_is_remembered_and_a_hold_is_not() -> None:
    assert threshold(seen(101, ready(1)), Memory(), LIMITS).memory.grown_at == NOW
    assert threshold(seen(101, ready(5)), Memory(), LIMITS).memory.grown_at is None
    assert threshold(seen(50, ()), Memory(), LIMITS).memory.grown_at == NOW


def test_without_memory_a_shrink_waits() -> None:
    decision = threshold(seen(0, ready(5)), Memory(), LIMITS)
    assert decision.slots == 5
    assert decision.memory == Memory(quiet_since=NOW)


def test_times_that_lie_ahead_count_as_now() -> None:
    """A clock that was wrong, or goes back, neither shrinks the fleet nor holds it for ever."""
    ahead = Memory(quiet_since=NOW + 9999, grown_at=NOW + 9999)
    decision = threshold(seen(0, ready(2)), ahead, LIMITS)
    assert decision.slots == 2
    assert decision.memory == Memory(quiet_since=NOW, grown_at=NOW)
    later = threshold(seen(0, ready(2), at=NOW + 300), decision.memory, LIMITS)
    assert later.slots == 1


@given(worlds(), bad_readings(), memories(), limits())
def test_what_cannot_be_read_is_not_taken_for_quiet(
    world: Observed, queue: Reading | None, memory: Memory, bounds: Limits
) -> None:
    blind = replace(world, queue=queue)
    assert threshold(blind, memory, bounds).memory.quiet_since in {None, memory.quiet_since}


def test_what_drains_is_taken_back_before_anything_is_rented() -> None:
    draining = replace(ready(1)[0], slot="leaving", phase=Phase.DRAINING)
    decision = threshold(seen(150, (*ready(1), draining)), Memory(), LIMITS)
    assert (decision.slots, decision.victims, decision.rule) == (2, (), "hold")


def test_a_reading_that_failed_is_no_quiet_one() -> None:
    quiet = threshold(seen(0, ready(2)), LONG_QUIET, LIMITS)
    assert quiet.rule == "shrink"
    blind = threshold(replace(seen(0, ready(2)), queue=None), LONG_QUIET, LIMITS)
    assert blind.memory.quiet_since is None
    assert threshold(seen(0, ready(2)), blind.memory, LIMITS).rule == "hold"
