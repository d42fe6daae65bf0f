"""The fleet simulator by hand: what waits, what is billed, what drains, what fails."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.model import Decision, Limits, Memory, Observed, Phase, Step
from autoscaler.policies import POLICIES, Policy
from bench.fleet import simulation
from bench.fleet.simulation import simulate
from bench.fleet.traces import Trace
from bench.fleet.world import Outcome, World

# One request at a time, 10 tokens a second, machines that boot in exactly 100 s.
WORLD = World(
    parallel=1,
    prefill=1000.0,
    decode=10.0,
    boot_median=100.0,
    boot_sigma=0.0,
    boot_failures=0.0,
)


def trace(*requests: tuple[float, float]) -> Trace:
    """Requests as (arrival, seconds of service)."""
    return Trace(
        name="by hand",
        arrivals=tuple(at for at, _ in requests),
        tokens=tuple((0, round(10 * seconds)) for _, seconds in requests),
    )


def scripted(
    *slots: int, victims: tuple[str, ...] = (), seen: list[Observed] | None = None
) -> Policy:
    """Wants `slots`, tick by tick, the last of them for ever; names who goes first."""
    left = list(slots)

    def policy(observed: Observed, memory: Memory, _limits: Limits) -> Decision:
        if seen is not None:
            seen.append(observed)
        wanted = left.pop(0) if len(left) > 1 else left[0]
        here = [member.slot for member in observed.members]
        order = [*(slot for slot in victims if slot in here), *reversed(here)]
        going = tuple(dict.fromkeys(order))[: max(len(here) - wanted, 0)]
        return Decision(slots=wanted, victims=going, rule="script", reason="", memory=memory)

    return policy


def run(requests: Trace, policy: Policy, size: int = 1, **changes: float) -> Outcome:
    limits = Limits(minimum=size, maximum=9)
    return simulate(requests, policy, limits, replace(WORLD, **changes), 1)


# Requests.


def test_requests_wait_in_line_for_one_machine() -> None:
    outcome = run(trace((0, 10), (1, 10), (2, 10)), scripted(1))
    assert outcome.waits == (0, 9, 18)
    assert outcome.rentals == ((0, 30),)
    assert outcome.moves == ()


def test_a_machine_serves_as_many_at_once_as_it_can() -> None:
    outcome = run(trace((0, 10), (1, 10), (2, 10)), scripted(1), parallel=2)
    assert outcome.waits == (0, 0, 8)
    assert outcome.rentals == ((0, 20),)  # 8 s after 2, and 10 s of service


def test_service_is_prefill_and_decode() -> None:
    assert World().service(1000, 150) == 11.0


def test_work_goes_to_the_least_busy_machine() -> None:
    seen: list[Observed] = []
    run(trace((0, 90), (1, 90)), scripted(2, seen=seen), size=2, parallel=2)
    assert [member.utilization for member in seen[0].members] == [0.5, 0.5]


def test_a_router_may_report_no_utilization() -> None:
    seen: list[Observed] = []
    run(trace((0, 90)), scripted(1, seen=seen), reports=False)
    assert [member.utilization for member in seen[0].members] == [0.0]


def test_nothing_to_do_costs_nothing() -> None:
    outcome = run(trace(), scripted(1))
    assert outcome.waits == ()
    assert outcome.rentals == ((0, 0),)


def test_requests_that_nobody_will_serve_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "_PATIENCE", 1000.0)
    with pytest.raises(RuntimeError, match="1 requests of 1 starve"):
        run(trace((0, 10)), scripted(0), size=0)


# Machines.


def test_a_machine_that_was_rented_helps_when_it_is_ready_and_is_billed_at_once() -> None:
    outcome = run(trace(*[(0, 10)] * 20), scripted(2))
    assert outcome.waits == pytest.approx((*range(0, 170, 10), 160, 170, 170))
    assert outcome.rentals == ((0, pytest.approx(180)), (60, pytest.approx(180)))
    assert outcome.moves == ((60, 1),)


def test_what_is_observed() -> None:
    seen: list[Observed] = []
    run(trace((0, 150), (5, 30)), scripted(2, 1, victims=("gpu-1",), seen=seen))
    first, second, third = seen
    assert first.queue is not None
    assert (first.at, first.queue.depth, first.queue.in_flight, first.queue.at) == (60, 1, 1, 60)
    assert [(m.slot, m.phase, m.utilization, m.age) for m in second.members] == [
        ("gpu-1", Phase.READY, 1.0, 120),
        ("gpu-2", Phase.STARTING, 0.0, 60),
    ]
    assert second.cost_per_hour == pytest.approx(0.70)
    # gpu-1 drained from 120 and was gone at 150; gpu-2 is ready at 160 and serves the second.
    assert [(m.slot, m.phase, m.utilization) for m in third.members] == [
        ("gpu-2", Phase.READY, 1.0)
    ]


def test_a_draining_machine_is_seen_to_drain() -> None:
    seen: list[Observed] = []
    run(trace((0, 150), (0, 150)), scripted(1, victims=("gpu-2",), seen=seen), size=2)
    assert [member.phase for member in seen[1].members] == [Phase.READY, Phase.DRAINING]


def test_a_machine_that_never_starts_is_replaced_at_the_deadline_and_billed_till_then() -> None:
    outcome = run(trace((0, 700)), scripted(2), boot_failures=1.0)
    assert outcome.replaced == 2
    assert sorted(outcome.rentals) == [(0, 700), (60, 360), (360, 660), (660, 700)]
    assert outcome.moves == ((60, 1),)


def test_a_boot_longer_than_the_deadline_has_failed() -> None:
    outcome = run(trace((0, 400)), scripted(2), boot_median=301.0)
    assert outcome.replaced == 1
    assert run(trace((0, 400)), scripted(2), boot_median=300.0).replaced == 0


@pytest.mark.parametrize("boot_failures", [0.0, 1.0])
def test_a_machine_that_is_given_up_while_it_starts_is_gone_at_once(boot_failures: float) -> None:
    policy = scripted(2, 1, victims=("gpu-2",))
    outcome = run(trace((0, 700)), policy, boot_failures=boot_failures)
    assert sorted(outcome.rentals) == [(0, 700), (60, 120)]
    assert outcome.moves == ((60, 1), (120, -1))
    assert outcome.replaced == 0


@given(st.integers(0, 2**32))
def test_boots_are_within_bounds_or_failed(seed: int) -> None:
    random = Random(seed)  # noqa: S311 - not a secret
    boots = [World().boot(random) for _ in range(50)]
    assert all(boot is None or 60 <= boot <= 300 for boot in boots)
    assert None not in [World(boot_deadline=600, boot_failures=0).boot(random) for _ in range(50)]


# Draining.


def test_a_drained_machine_gets_no_new_work_and_is_gone_when_idle() -> None:
    outcome = run(trace((0, 100), (0, 100), (0, 100)), scripted(1, victims=("gpu-2",)), size=2)
    assert outcome.waits == (0, 0, 100)
    assert outcome.rentals == ((0, 100), (0, 200))
    assert outcome.moves == ((100, -1),)
    assert (outcome.restarted, outcome.cancelled) == (0, 0)


def test_a_drain_ends_at_the_deadline_and_its_requests_begin_anew_at_the_head() -> None:
    policy = scripted(1, victims=("gpu-2",))
    outcome = run(trace((0, 500), (0, 500), (70, 10)), policy, size=2)
    assert outcome.restarted == 1
    assert outcome.moves == ((180, -1),)
    assert outcome.waits == (0, 500, 930)
    assert outcome.finished == (1, 1, 1)
    assert outcome.rentals == ((0, 180), (0, 1010))


def test_requests_of_a_drain_that_was_too_long_find_room_elsewhere() -> None:
    policy = scripted(1, victims=("gpu-2",))
    outcome = run(trace((0, 150), (0, 500)), policy, size=2)
    assert outcome.waits == (0, 180)
    assert outcome.rentals == ((0, 180), (0, 680))


def test_an_idle_machine_is_gone_at_once() -> None:
    outcome = run(trace((0, 100)), scripted(1, victims=("gpu-2",)), size=2)
    assert sorted(outcome.rentals) == [(0, 60), (0, 100)]


def test_demand_coming_back_cancels_a_drain() -> None:
    policy = scripted(1, 2, victims=("gpu-2",))
    outcome = run(trace((0, 500), (0, 500), (70, 10)), policy, size=2)
    assert (outcome.cancelled, outcome.restarted, outcome.moves) == (1, 0, ())
    assert outcome.rentals == ((0, 510), (0, 510))


def test_a_drain_that_begins_again_has_its_whole_time() -> None:
    policy = scripted(1, 2, 1, victims=("gpu-2",))
    outcome = run(trace((0, 500), (0, 500)), policy, size=2)
    assert (outcome.cancelled, outcome.moves) == (1, ((300, -1),))


def test_a_machine_whose_drain_was_cancelled_takes_from_the_queue() -> None:
    policy = scripted(1, 2, victims=("gpu-2",))
    requests = trace((0, 500), (0, 500), (0, 500), (70, 10))
    outcome = run(requests, policy, size=2, parallel=2)
    assert outcome.waits == (0, 0, 0, 50)


def test_without_a_drain_requests_are_thrown_back_at_once() -> None:
    policy = scripted(1, victims=("gpu-2",))
    outcome = run(trace((0, 500), (0, 500)), policy, size=2, drain_deadline=0.0)
    assert (outcome.restarted, outcome.moves) == (1, ((60, -1),))
    assert outcome.waits == (0, 500)


# Whole runs.

requests = st.lists(
    st.tuples(st.floats(0, 3000), st.integers(1, 300)), min_size=1, max_size=80
).map(sorted)
choices = st.builds(
    Limits,
    minimum=st.integers(1, 3),
    maximum=st.integers(3, 5),
    scale_up=st.integers(1, 20),
    scale_down=st.integers(1, 10),
    stabilization=st.sampled_from([0.0, 60.0, 300.0]),
    step=st.sampled_from(["one", "auto"]),
)
worlds = st.builds(
    World,
    parallel=st.integers(1, 4),
    boot_failures=st.sampled_from([0.0, 0.3, 0.9]),
    drain_deadline=st.sampled_from([0.0, 30.0, 120.0]),
)


def counted(policy: Policy, sizes: list[tuple[float, int]]) -> Policy:
    def counting(observed: Observed, memory: Memory, limits: Limits) -> Decision:
        decision = policy(observed, memory, limits)
        sizes.append((observed.at, len(observed.members)))
        return decision

    return counting


@given(requests, choices, worlds, st.integers(0, 100))
def test_whatever_happens_nothing_is_lost_and_everything_is_billed(
    given_requests: list[tuple[float, float]], limits: Limits, world: World, seed: int
) -> None:
    sizes: list[tuple[float, int]] = []
    policy = counted(POLICIES["threshold"], sizes)
    outcome = simulate(trace(*given_requests), policy, limits, world, seed)
    assert outcome.finished == (1,) * len(given_requests)
    assert all(wait >= 0 for wait in outcome.waits)
    assert all(begin <= end for begin, end in outcome.rentals)
    for at, size in sizes:
        billed = sum(begin < at <= end for begin, end in outcome.rentals)
        ended = sum(end == at for _, end in outcome.rentals)
        assert billed - ended <= size <= billed + ended
        assert limits.minimum <= size <= limits.maximum
    rented = sum(way for _, way in outcome.moves if way > 0)
    assert len(outcome.rentals) == limits.minimum + rented + outcome.replaced


@given(requests, choices, worlds, st.integers(0, 100))
def test_the_same_seed_gives_the_same_run(
    given_requests: list[tuple[float, float]], limits: Limits, world: World, seed: int
) -> None:
    once, again = (
        simulate(trace(*given_requests), POLICIES["threshold"], limits, world, seed)
        for _ in range(2)
    )
    assert once == again


def test_another_seed_gives_other_boots() -> None:
    busy = trace(*[(0, 30)] * 100)
    limits = Limits(minimum=1, maximum=5, scale_up=5)
    outcomes = {simulate(busy, POLICIES["threshold"], limits, World(), seed) for seed in range(5)}
    assert len(outcomes) > 1


@pytest.mark.parametrize(("step", "biggest"), [("one", 2), ("auto", 5)])
def test_a_burst_of_500_meets_the_policy_itself(step: Step, biggest: int) -> None:
    seen: list[Observed] = []

    def policy(observed: Observed, memory: Memory, limits: Limits) -> Decision:
        seen.append(observed)
        return POLICIES["threshold"](observed, memory, limits)

    limits = Limits(minimum=1, maximum=5, step=step)
    outcome = simulate(trace(*[(0, 20)] * 500), policy, limits, WORLD, 1)
    assert len(seen[1].members) == biggest
    assert max(len(each.members) for each in seen) == 5
    assert outcome.finished == (1,) * 500
