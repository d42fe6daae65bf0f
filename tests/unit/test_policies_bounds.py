"""What every policy keeps, whatever it is shown: each property runs on each entry of POLICIES."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from autoscaler.model import Decision, Limits, Member, Memory, Observed, Phase, Reading
from autoscaler.policies import POLICIES, Policy
from autoscaler.policies.bounds import unreadable, victims

NOW = 1_000_000.0
# The last phases are the most useful.
USEFUL = [Phase.DRAINING, Phase.UNHEALTHY, Phase.STARTING, Phase.READY]

every_policy = pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)

# Money in cents and load in quarters: rounding is tested on its own.
cents = st.integers(0, 300).map(lambda number: number / 100)
loads = st.integers(0, 4).map(lambda number: number / 4)
times = st.floats(NOW - 5000, NOW + 5000)
depths = st.integers(0, 700)


@st.composite
def fleets(draw: st.DrawFn, largest: int = 8) -> tuple[Member, ...]:
    slots = draw(st.lists(st.integers(0, 99), unique=True, max_size=largest))
    return tuple(
        Member(
            slot=f"gpu-{number}",
            phase=draw(st.sampled_from(Phase)),
            utilization=draw(loads),
            age=draw(st.floats(0, 5000)),
            cost_per_hour=draw(cents),
            empty=draw(st.booleans()),
        )
        for number in slots
    )


def readings() -> st.SearchStrategy[Reading]:
    in_flight = st.none() | st.integers(0, 40)
    return st.builds(Reading, depth=depths, in_flight=in_flight, at=st.floats(NOW - 100, NOW))


@st.composite
def bad_readings(draw: st.DrawFn, stale: float = 120.0) -> Reading | None:
    """None, too old, from the future, negative."""
    good = draw(readings())
    offset = draw(st.floats(stale + 1, 1e9))
    below = draw(st.integers(max_value=-1))
    return draw(
        st.sampled_from(
            [
                None,
                replace(good, at=NOW - offset),
                replace(good, at=NOW + offset),
                replace(good, depth=below),
                replace(good, in_flight=below),
            ]
        )
    )


def memories() -> st.SearchStrategy[Memory]:
    return st.builds(Memory, quiet_since=st.none() | times, grown_at=st.none() | times)


@st.composite
def limits(draw: st.DrawFn, *, budgets: bool = False) -> Limits:
    low, high = sorted(draw(st.tuples(st.integers(0, 8), st.integers(0, 8))))
    down, up = sorted(draw(st.tuples(st.integers(0, 120), st.integers(0, 120))))
    budget = (st.none() | cents) if budgets else st.none()
    return Limits(
        minimum=low,
        maximum=high,
        scale_up=up,
        scale_down=down,
        step=draw(st.sampled_from(["one", "auto"])),
        stabilization=draw(st.sampled_from([0.0, 60.0, 300.0, 3600.0])),
        price=draw(cents),
        hourly_budget=draw(budget),
        daily_budget=draw(budget),
    )


@st.composite
def worlds(draw: st.DrawFn, *, spent: bool = False) -> Observed:
    return Observed(
        at=NOW,
        queue=draw(readings()),
        members=draw(fleets()),
        strays_per_hour=draw(st.just(0.0) | cents),
        spent_today=draw(st.none() | cents) if spent else 0.0,
    )


# Total.

numbers = st.floats(allow_nan=False) | st.sampled_from([0.0, -1.0, 1e308, 5e-324])
counts = st.integers() | st.sampled_from([0, -1, 10**400, -(10**400)])


def absurd_worlds() -> st.SearchStrategy[Observed]:
    member = st.builds(
        Member,
        slot=st.text(max_size=3),
        phase=st.sampled_from(Phase),
        utilization=numbers,
        age=numbers,
        cost_per_hour=numbers,
    )
    reading = st.builds(Reading, depth=counts, in_flight=st.none() | counts, at=numbers)
    return st.builds(
        Observed,
        at=numbers,
        queue=st.none() | reading,
        members=st.lists(member, max_size=5).map(tuple),
        spent_today=st.none() | numbers,
    )


def absurd_limits() -> st.SearchStrategy[Limits]:
    """Fleets of any size: what the settings allow is below this."""
    size = st.integers(-(10**6), 10**6)
    return st.builds(
        Limits,
        minimum=size,
        maximum=size,
        scale_up=counts,
        scale_down=counts,
        step=st.sampled_from(["one", "auto"]),
        stabilization=numbers,
        stale=numbers,
        price=numbers,
        hourly_budget=st.none() | numbers,
        daily_budget=st.none() | numbers,
    )


def absurd_memories() -> st.SearchStrategy[Memory]:
    return st.builds(Memory, quiet_since=st.none() | numbers, grown_at=st.none() | numbers)


def shown(**changes: object) -> Observed:
    usual = Observed(at=NOW, queue=Reading(depth=500, at=NOW), members=())
    return replace(usual, **changes)  # type: ignore[arg-type]


@every_policy
@example(shown(queue=Reading(depth=10**400, at=NOW)), Memory(), Limits(minimum=1, maximum=5))
@example(
    shown(),
    Memory(),
    Limits(minimum=1, maximum=5, price=5e-324, hourly_budget=1.0),
)
@example(
    shown(
        queue=Reading(depth=0, at=NOW),
        members=(Member(slot="a", phase=Phase.READY, utilization=float("inf")),),
    ),
    Memory(quiet_since=0.0),
    Limits(minimum=1, maximum=5, step="auto"),
)
@given(absurd_worlds(), absurd_memories(), absurd_limits())
def test_it_is_total(policy: Policy, seen: Observed, memory: Memory, bounds: Limits) -> None:
    decision = policy(seen, memory, bounds)
    assert decision.slots >= 0
    assert len(decision.victims) == max(len(seen.members) - decision.slots, 0)
    assert decision.rule
    assert decision.reason


@every_policy
@given(worlds(), memories(), limits(), st.integers(1, 8))
def test_a_minimum_above_the_maximum_is_kept(
    policy: Policy, seen: Observed, memory: Memory, bounds: Limits, above: int
) -> None:
    crossed = replace(bounds, minimum=bounds.maximum + above)
    assert policy(seen, memory, crossed).slots == crossed.minimum


# Limits.


@every_policy
@given(worlds(), memories(), limits())
def test_within_limits_when_the_queue_is_read(
    policy: Policy, seen: Observed, memory: Memory, bounds: Limits
) -> None:
    assert bounds.minimum <= policy(seen, memory, bounds).slots <= bounds.maximum


@every_policy
@given(worlds(spent=True), memories(), limits(budgets=True))
def test_never_below_the_minimum_nor_above_the_maximum_for_a_budget(
    policy: Policy, seen: Observed, memory: Memory, bounds: Limits
) -> None:
    assert bounds.minimum <= policy(seen, memory, bounds).slots <= bounds.maximum


@every_policy
@given(worlds(), bad_readings(), memories(), limits())
def test_an_unreadable_signal_holds_the_fleet(
    policy: Policy, seen: Observed, queue: Reading | None, memory: Memory, bounds: Limits
) -> None:
    decision = policy(replace(seen, queue=queue), memory, bounds)
    assert decision.slots == max(len(seen.members), bounds.minimum)
    assert decision.victims == ()
    assert decision.memory.quiet_since in {memory.quiet_since, None}


@every_policy
@given(worlds(spent=True), bad_readings(), memories(), limits(budgets=True))
def test_on_an_unreadable_signal_only_a_budget_shrinks(
    policy: Policy, seen: Observed, queue: Reading | None, memory: Memory, bounds: Limits
) -> None:
    decision = policy(replace(seen, queue=queue), memory, bounds)
    if decision.slots < len(seen.members):
        assert decision.rule == "budget"
    assert decision.slots <= max(len(seen.members), bounds.minimum)


@pytest.mark.parametrize(
    ("reading", "bad"),
    [
        (Reading(depth=0, at=NOW), False),
        (Reading(depth=0, in_flight=0, at=NOW - 120), False),
        (Reading(depth=0, at=NOW + 120), False),
        (Reading(depth=0, at=NOW - 121), True),
        (Reading(depth=0, at=NOW + 121), True),
        (Reading(depth=-1, at=NOW), True),
        (Reading(depth=0, in_flight=-1, at=NOW), True),
    ],
)
def test_which_readings_count(reading: Reading, bad: bool) -> None:  # noqa: FBT001
    assert unreadable(reading, NOW, Limits(minimum=1, maximum=5)) is bad


# Victims.


@every_policy
@given(worlds(spent=True), st.none() | bad_readings(), memories(), limits(budgets=True))
def test_victims_are_members_and_as_many_as_go(
    policy: Policy, seen: Observed, queue: Reading | None, memory: Memory, bounds: Limits
) -> None:
    for each in (seen, replace(seen, queue=queue)):
        decision = policy(each, memory, bounds)
        assert len(set(decision.victims)) == len(decision.victims)
        assert set(decision.victims) <= {member.slot for member in seen.members}
        assert len(decision.victims) == max(len(seen.members) - decision.slots, 0)


def usefulness(one: Member) -> tuple[bool, bool, int, float]:
    """What drains is given up already, what has no machine serves nobody."""
    drains = one.phase is Phase.DRAINING
    return not drains, not one.empty, USEFUL.index(one.phase), one.utilization


@every_policy
@given(worlds(spent=True), memories(), limits(budgets=True))
def test_the_less_useful_go_first(
    policy: Policy, seen: Observed, memory: Memory, bounds: Limits
) -> None:
    decision = policy(seen, memory, bounds)
    gone = [member for member in seen.members if member.slot in decision.victims]
    kept = [member for member in seen.members if member.slot not in decision.victims]
    for victim in gone:
        for other in kept:
            assert usefulness(victim) <= usefulness(other)


def member(slot: str, phase: Phase = Phase.READY, **values: float) -> Member:
    return Member(slot=slot, phase=phase, **values)


def test_the_order_of_victims() -> None:
    fleet = (
        member("busy", utilization=1.0),
        member("idle"),
        member("idle-dear", cost_per_hour=0.5, age=20.0),
        member("idle-dear-young", cost_per_hour=0.5, age=10.0),
        member("starting", Phase.STARTING),
        member("silent", Phase.UNHEALTHY, utilization=1.0),
        member("draining", Phase.DRAINING, utilization=1.0),
    )
    expected = ("draining", "silent", "starting", "idle-dear-young", "idle-dear", "idle", "busy")
    assert victims(fleet, 7) == victims(fleet, 100) == expected
    assert victims(fleet, 2) == expected[:2]
    assert victims(fleet, 0) == victims(fleet, -3) == victims((), 3) == ()


# Budgets.


def costs_of(seen: Observed, bounds: Limits) -> dict[str, float]:
    """What each slot costs or may come to cost, $/h."""
    return {
        one.slot: max(one.cost_per_hour, bounds.price) if one.empty else one.cost_per_hour
        for one in seen.members
    }


@every_policy
@given(worlds(spent=True), memories(), limits(budgets=True))
def test_growth_stays_within_the_hourly_budget(
    policy: Policy, seen: Observed, memory: Memory, bounds: Limits
) -> None:
    assume(bounds.hourly_budget is not None)
    slots, budget = policy(seen, memory, bounds).slots, bounds.hourly_budget or 0.0
    new = slots - len(seen.members)
    if new > 0 and slots > bounds.minimum:
        rate = sum(costs_of(seen, bounds).values()) + seen.strays_per_hour
        assert rate + new * bounds.price <= budget + 1e-6


@every_policy
@given(worlds(), st.booleans(), memories(), limits(budgets=True))
def test_a_fleet_above_the_hourly_budget_shrinks_into_it_and_no_further(
    policy: Policy,
    seen: Observed,
    blind: bool,  # noqa: FBT001
    memory: Memory,
    bounds: Limits,
) -> None:
    bounds = replace(bounds, daily_budget=None)
    costs = costs_of(seen, bounds)
    budget = bounds.hourly_budget or 0.0
    assume(bounds.hourly_budget is not None and sum(costs.values()) > budget + 1e-6)
    decision = policy(replace(seen, queue=None) if blind else seen, memory, bounds)
    kept = sum(cost for slot, cost in costs.items() if slot not in decision.victims)
    if decision.slots > bounds.minimum:
        assert kept <= budget + 1e-6
    if blind and decision.victims:
        assert kept + costs[decision.victims[-1]] > budget


@every_policy
@given(worlds(), st.booleans(), memories(), limits(budgets=True), cents)
def test_when_the_daily_budget_is_spent_the_minimum_is_left(
    policy: Policy,
    seen: Observed,
    blind: bool,  # noqa: FBT001
    memory: Memory,
    bounds: Limits,
    more: float,
) -> None:
    budget = bounds.daily_budget or 0.0
    bounds = replace(bounds, daily_budget=budget)
    seen = replace(seen, spent_today=budget + more, queue=None if blind else seen.queue)
    assert policy(seen, memory, bounds).slots == bounds.minimum


@every_policy
@given(worlds(), memories(), limits(budgets=True), cents)
def test_no_growth_while_nobody_knows_what_was_spent(
    policy: Policy, seen: Observed, memory: Memory, bounds: Limits, budget: float
) -> None:
    seen = replace(seen, spent_today=None)
    bounds = replace(bounds, daily_budget=budget)
    assert policy(seen, memory, bounds).slots <= max(len(seen.members), bounds.minimum)


@every_policy
@given(worlds(), memories(), limits())
def test_without_budgets_what_was_spent_does_not_matter(
    policy: Policy, seen: Observed, memory: Memory, bounds: Limits
) -> None:
    unknown = replace(seen, spent_today=None)
    assert policy(unknown, memory, bounds) == policy(seen, memory, bounds)


@every_policy
def test_budgets_say_why(policy: Policy) -> None:
    fleet = (member("a", cost_per_hour=0.4), member("b", cost_per_hour=0.4))
    seen = Observed(at=NOW, queue=Reading(depth=900, at=NOW), members=fleet, spent_today=5.0)
    bounds = Limits(minimum=1, maximum=9, price=0.4, step="auto")
    tight = policy(seen, Memory(), replace(bounds, hourly_budget=1.2))
    assert (tight.slots, tight.rule) == (3, "budget")
    assert tight.reason == "$0.800/h; the hourly budget is $1.200"
    over = policy(seen, Memory(), replace(bounds, hourly_budget=0.5))
    assert (over.slots, over.victims, over.rule) == (1, ("a",), "budget")
    spent = policy(seen, Memory(), replace(bounds, daily_budget=5.0))
    assert (spent.slots, spent.rule) == (1, "budget")
    assert spent.reason == "$5.00 spent today of $5.00"
    stray = policy(replace(seen, strays_per_hour=0.4), Memory(), replace(bounds, hourly_budget=1.2))
    assert (stray.slots, stray.rule) == (2, "budget")
    assert stray.reason == "$1.200/h; the hourly budget is $1.200"
    unknown = policy(replace(seen, spent_today=None), Memory(), replace(bounds, daily_budget=9.0))
    assert (unknown.slots, unknown.reason) == (2, "what was spent today is not known")


@every_policy
def test_slots_that_found_no_offer_count_as_what_they_will_cost(policy: Policy) -> None:
    """Else each decision adds one, and the first update that finds offers rents them all."""
    fleet = (member("a", cost_per_hour=0.36), member("b", empty=True))
    seen = Observed(at=NOW, queue=Reading(depth=900, at=NOW), members=fleet)
    bounds = Limits(minimum=1, maximum=9, price=0.6, step="auto", hourly_budget=1.0)
    assert policy(seen, Memory(), bounds).slots == 2
    tight = policy(seen, Memory(), replace(bounds, hourly_budget=0.9))
    assert (tight.slots, tight.victims) == (1, ("b",))
    assert tight.reason == "$0.960/h; the hourly budget is $0.900"
    # It goes before a machine that is silent for a moment.
    silent = member("c", phase=Phase.UNHEALTHY, cost_per_hour=0.1)
    seen = replace(seen, members=(*fleet, silent))
    assert policy(seen, Memory(), replace(bounds, hourly_budget=0.9)).victims == ("b",)


@every_policy
@pytest.mark.parametrize("blind", [True, False])
def test_a_budget_that_nothing_fits_leaves_the_minimum(policy: Policy, blind: bool) -> None:  # noqa: FBT001
    fleet = tuple(member(slot, cost_per_hour=0.4) for slot in "abcd")
    seen = Observed(at=NOW, queue=None if blind else Reading(depth=900, at=NOW), members=fleet)
    for budget in (0.0, -1.0):
        decision = policy(seen, Memory(), Limits(minimum=2, maximum=9, hourly_budget=budget))
        assert (decision.slots, decision.rule) == (2, "budget")


# Twice, and over time.


def acted(seen: Observed, decision: Decision, bounds: Limits) -> Observed:
    """The world once `decision` is under way: victims drain, what was rented starts.

    Whoever drains and is no victim any more is kept.
    """
    kept = {Phase.DRAINING: Phase.READY}
    standing = tuple(
        replace(
            each,
            phase=Phase.DRAINING
            if each.slot in decision.victims
            else kept.get(each.phase, each.phase),
        )
        for each in seen.members
    )
    rented = tuple(
        Member(slot=f"new-{number}", phase=Phase.STARTING, cost_per_hour=bounds.price)
        for number in range(decision.slots - len(seen.members))
    )
    return replace(seen, members=(*standing, *rented))


@every_policy
@given(worlds(spent=True), st.booleans(), memories(), limits(budgets=True))
def test_deciding_again_while_it_is_under_way_does_not_shrink_further(
    policy: Policy,
    seen: Observed,
    blind: bool,  # noqa: FBT001
    memory: Memory,
    bounds: Limits,
) -> None:
    seen = replace(seen, queue=None) if blind else seen
    first = policy(seen, memory, bounds)
    again = policy(acted(seen, first, bounds), first.memory, bounds)
    assert again.slots >= first.slots
    if first.victims and bounds.hourly_budget is None:
        assert (again.slots, set(again.victims)) == (first.slots, set(first.victims))


@every_policy
@given(worlds(spent=True), memories(), limits(budgets=True))
def test_a_memory_that_was_written_down_decides_the_same(
    policy: Policy, seen: Observed, memory: Memory, bounds: Limits
) -> None:
    first = policy(seen, memory, bounds)
    restored = Memory(**json.loads(json.dumps(asdict(first.memory))))
    assert restored == first.memory
    later = replace(seen, at=NOW + 60)
    assert policy(later, restored, bounds) == policy(later, first.memory, bounds)


@every_policy
@given(worlds(), memories(), limits())
def test_the_same_sight_gives_the_same_decision(
    policy: Policy, seen: Observed, memory: Memory, bounds: Limits
) -> None:
    assert policy(seen, memory, bounds) == policy(seen, memory, bounds)


@every_policy
@given(st.permutations(range(6)), memories(), limits(budgets=True), st.data())
def test_the_order_of_members_does_not_matter(
    policy: Policy, order: list[int], memory: Memory, bounds: Limits, data: st.DataObject
) -> None:
    seen = data.draw(worlds())
    shuffled = tuple(seen.members[place] for place in order if place < len(seen.members))
    seen = replace(seen, members=seen.members[:6])
    assert policy(replace(seen, members=shuffled), memory, bounds) == policy(seen, memory, bounds)
