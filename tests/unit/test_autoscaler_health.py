"""Phases and faults: who is ready, who is given time, who is put on another machine."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.health import (
    DEAD,
    Deadlines,
    Fault,
    Health,
    Sight,
    avoided,
    due,
    failed,
    heard,
    judge,
    pruned,
)
from autoscaler.model import Phase
from autoscaler.remembered import Attempt, Drain, Failure, Remembered
from tests.unit.autoscaler_fakes import NAMES, NOW, instance, record, sight

DEADLINES = Deadlines(boot=300, unhealthy=60)


def machine(**changes: object) -> dict[str, object]:
    return {"machine": instance(1, **changes)}


def judged(*sights: Sight, remembered: Remembered | None = None, at: float = NOW) -> Health:
    return judge(sights, remembered or Remembered(), at, DEADLINES)


def reasons(found: Health) -> dict[str, str]:
    return {fault.slot: fault.reason for fault in found.faults}


# Phases.


@pytest.mark.parametrize(
    ("seen", "remembered", "phase"),
    [
        (sight(), Remembered(), Phase.STARTING),
        (sight(answered=True), Remembered(), Phase.READY),
        (sight(), Remembered(ready={1: NOW}), Phase.UNHEALTHY),
        (sight(**machine(actual_status="exited")), Remembered(), Phase.UNHEALTHY),
        (sight(gone=True), Remembered(), Phase.UNHEALTHY),
        # It answers, whatever Vast.ai says.
        (sight(answered=True, **machine(actual_status="offline")), Remembered(), Phase.READY),
        (sight(record=None, machine=None), Remembered(), Phase.STARTING),
        (
            sight(answered=True),
            Remembered(drains={NAMES[0]: Drain(contract=1, since=NOW)}),
            Phase.DRAINING,
        ),
        # The drain was that of another machine.
        (
            sight(answered=True),
            Remembered(drains={NAMES[0]: Drain(contract=9, since=NOW)}),
            Phase.READY,
        ),
    ],
)
def test_phases(seen: Sight, remembered: Remembered, phase: Phase) -> None:
    assert judged(seen, remembered=remembered).members[0].phase is phase


def test_whoever_the_router_sends_work_to_was_ready_once() -> None:
    """The memory may be lost while nothing can be heard: that is no boot that fails."""
    seen = sight(registered=True)
    after = heard([seen], Remembered(), NOW)
    assert after.ready == {1: NOW}
    assert judged(seen, remembered=after).members[0].phase is Phase.UNHEALTHY


@pytest.mark.parametrize(("in_flight", "utilization"), [(None, 0.0), (0, 0.0), (3, 1.0)])
def test_what_serves_is_busy_when_nobody_says_how_much(
    in_flight: int | None, utilization: float
) -> None:
    seen = sight(answered=True, in_flight=in_flight)
    assert judged(seen).members[0].utilization == utilization


@pytest.mark.parametrize(
    ("told", "utilization"), [(None, 0.0), (0.4, 0.4), (-1.0, 0.0), (7.0, 1.0)]
)
def test_a_member_is_what_the_policy_needs(told: float | None, utilization: float) -> None:
    member = judged(sight(utilization=told), at=NOW + 90).members[0]
    assert (member.slot, member.age, member.cost_per_hour) == (NAMES[0], 90, 0.36)
    assert member.utilization == utilization
    unseen = judged(sight(machine=None), at=NOW + 90).members[0]
    # By the stack's word, until the account lists it.
    assert (unseen.age, unseen.cost_per_hour, unseen.empty) == (0, 0.36, False)
    for seen in (sight(machine=None, gone=True), sight(machine=None, record=None)):
        assert (judged(seen).members[0].cost_per_hour, judged(seen).members[0].empty) == (0, True)
    assert judged(sight(), at=NOW - 90).members[0].age == 0


# Faults.


def silent_for(seconds: float, *, ready: bool = False) -> Remembered:
    return Remembered(silent={1: NOW - seconds}, ready={1: NOW - 9999} if ready else {})


@pytest.mark.parametrize(
    ("waited", "ready", "reason"),
    [
        (299, False, None),
        (300, False, "not ready "),
        (59, True, None),
        (60, True, "silent for 60 s"),
        (9999, False, "not ready "),
    ],
)
def test_deadlines(waited: float, ready: bool, reason: str | None) -> None:  # noqa: FBT001
    seen = sight(**machine(start_date=NOW - waited))
    found = judged(seen, remembered=silent_for(waited, ready=ready))
    assert len(found.faults) == (reason is not None)
    assert reasons(found).get(NAMES[0], "").startswith(reason or "")


def test_the_boot_of_a_machine_that_is_not_listed_is_watched_too() -> None:
    assert not judged(sight(machine=None), remembered=silent_for(299)).faults
    assert judged(sight(machine=None), remembered=silent_for(300)).faults


def test_a_machine_that_was_never_heard_gets_the_boot_deadline_from_when_we_listen() -> None:
    """However old it is: what was remembered of it may be lost."""
    old = sight(**machine(start_date=NOW - 86_400))
    assert judged(old, remembered=silent_for(0)).faults == ()
    assert judged(old, remembered=silent_for(299)).faults == ()


@pytest.mark.parametrize("status", sorted(DEAD))
def test_dead_by_the_word_of_vast_only_after_a_grace(status: str) -> None:
    seen = sight(**machine(actual_status=status))
    assert judged(seen, remembered=silent_for(29)).faults == ()
    found = judged(seen, remembered=silent_for(30))
    assert reasons(found) == {NAMES[0]: f"Vast.ai says {status}"}


def test_gone_is_replaced_at_once() -> None:
    assert reasons(judged(sight(gone=True))) == {NAMES[0]: "its machine is gone"}
    assert reasons(judged(sight(record=None, gone=True))) == {NAMES[0]: "its machine is gone"}


@given(
    st.sampled_from([None, "running", "loading", *DEAD]),
    st.floats(0, 1e6),
    st.booleans(),
    st.booleans(),
)
def test_a_machine_that_answers_is_never_a_fault(
    status: str | None,
    waited: float,
    ready: bool,  # noqa: FBT001
    gone: bool,  # noqa: FBT001
) -> None:
    changes = machine(actual_status=status, start_date=NOW - waited)
    seen = sight(answered=True, gone=gone, **changes)
    assert judged(seen, remembered=silent_for(waited, ready=ready)).faults == ()


# Halting.


@pytest.mark.parametrize(
    ("count", "silent", "halted"),
    [(1, 1, False), (2, 1, False), (2, 2, True), (4, 2, True), (5, 2, False), (5, 3, True)],
)
def test_too_many_at_once_are_not_replaced(count: int, silent: int, halted: bool) -> None:  # noqa: FBT001
    sights = [sight(n, answered=n >= silent) for n in range(count)]
    remembered = Remembered(
        ready={n + 1: NOW - 999 for n in range(count)},
        silent={n + 1: NOW - 60 for n in range(silent)},
    )
    found = judged(*sights, remembered=remembered)
    assert bool(found.halted) is halted
    assert len(found.faults) == (0 if halted else silent)
    if halted:
        assert found.halted == f"{silent} of {count} machines fell silent: is it our network?"


@pytest.mark.parametrize("late", [False, True])
def test_one_that_worked_and_all_that_boot_unheard_halt(late: bool) -> None:  # noqa: FBT001
    """In a burst few have ever answered, and our own network may be what fails."""
    waited = 300 if late else 60
    sights = [sight(number) for number in range(5)]
    silent = {number + 1: NOW - waited for number in range(5)}
    found = judged(*sights, remembered=Remembered(ready={1: NOW - 999}, silent=silent))
    assert found.halted
    # One that never served is tried elsewhere: if that answers, it was not our network.
    assert list(reasons(found)) == ([NAMES[1]] if late else [])
    # One that answers shows that we hear.
    sights[4] = sight(4, answered=True)
    found = judged(*sights, remembered=Remembered(ready={1: NOW - 999}, silent=silent))
    assert found.halted is None
    assert len(found.faults) == (4 if late else 1)


@pytest.mark.parametrize("deaf", [False, True])
def test_boots_that_take_too_long_halt_when_the_router_is_away_too(deaf: bool) -> None:  # noqa: FBT001
    """A NAS that starts: the memory is lost, the tailnet is down, and nobody was ever heard."""
    sights = [sight(number) for number in range(3)]
    remembered = Remembered(silent={number + 1: NOW - 300 for number in range(3)})
    found = judge(sights, remembered, NOW, DEADLINES, deaf=deaf)
    assert bool(found.halted) is deaf
    assert len(found.faults) == (1 if deaf else 3)
    # Not while one answers.
    sights[2] = sight(2, answered=True)
    found = judge(sights, remembered, NOW, DEADLINES, deaf=deaf)
    assert found.halted is None
    assert len(found.faults) == 2


def test_one_that_hangs_and_one_that_never_boots_are_replaced_while_others_answer() -> None:
    sights = [sight(0), sight(1), sight(2, answered=True), sight(3, answered=True)]
    remembered = Remembered(ready={1: NOW - 9999}, silent={1: NOW - 9999, 2: NOW - 9999})
    found = judged(*sights, remembered=remembered)
    assert found.halted is None
    assert set(reasons(found)) == {NAMES[0], NAMES[1]}


def test_those_known_to_be_dead_neither_halt_nor_wait() -> None:
    sights = [sight(0, gone=True), sight(1, gone=True), sight(2), sight(3)]
    remembered = Remembered(ready={3: NOW, 4: NOW}, silent={3: NOW - 60, 4: NOW - 60})
    found = judged(*sights, remembered=remembered)
    assert found.halted
    assert set(reasons(found)) == {NAMES[0], NAMES[1]}


# What is heard.


def test_first_answers_and_silences_are_remembered_once() -> None:
    first = heard([sight(0, answered=True), sight(1)], Remembered(), NOW)
    assert (first.ready, first.silent) == ({1: NOW}, {2: NOW})
    later = heard([sight(0), sight(1)], first, NOW + 10)
    assert (later.ready, later.silent) == ({1: NOW}, {1: NOW + 10, 2: NOW})
    again = heard([sight(0, answered=True), sight(1)], later, NOW + 20)
    assert (again.ready, again.silent) == ({1: NOW}, {2: NOW})
    assert heard([], again, NOW + 30) == Remembered()


def test_work_ends_the_attempts_and_having_no_machine_does_not() -> None:
    attempts = {name: Attempt(count=2, last=NOW) for name in NAMES[:3]}
    sights = [sight(0, answered=True), sight(1), sight(2, record=None, machine=None, gone=True)]
    remembered = Remembered(attempts=attempts, ready={1: NOW - 3600})
    after = heard(sights, remembered, NOW)
    assert set(after.attempts) == {NAMES[1], NAMES[2]}


# Backoff.


@pytest.mark.parametrize(
    ("count", "wait"), [(1, 60), (2, 120), (3, 240), (6, 1800), (9, 1800), (10_000, 1800)]
)
def test_a_slot_waits_longer_with_each_attempt(count: int, wait: float) -> None:
    fault = Fault(slot=NAMES[0], reason="x")
    tried = Remembered(attempts={NAMES[0]: Attempt(count=count, last=NOW)})
    assert due([fault], Remembered(), NOW) == (fault,)
    assert due([fault], tried, NOW + wait - 1) == ()
    assert due([fault], tried, NOW + wait) == (fault,)


def test_what_was_acted_on_is_counted_by_slot_and_machine() -> None:
    faults = [Fault(slot=name, reason="x") for name in NAMES[:3]]
    unknown = sight(1, record=record(NAMES[1], 2, machine=None))
    sights = [sight(0), unknown, sight(2, record=None, machine=None)]
    once = failed(sights, faults, Remembered(), NOW)
    twice = failed(sights, faults[:1], once, NOW + 9)
    assert {slot: tried.count for slot, tried in twice.attempts.items()} == {
        NAMES[0]: 2,
        NAMES[1]: 1,
        NAMES[2]: 1,
    }
    assert twice.failures == {1001: Failure(count=2, last=NOW + 9, host=101)}


@pytest.mark.parametrize(("count", "wait"), [(1, 600), (2, 1200), (3, 2400), (20, 86_400)])
def test_a_machine_is_avoided_longer_with_each_failure(count: int, wait: float) -> None:
    remembered = Remembered(failures={7: Failure(count=count, last=NOW, host=1)})
    assert avoided(remembered, NOW + wait - 1) == ({7}, frozenset())
    assert avoided(remembered, NOW + wait) == (frozenset(), frozenset())


def test_a_host_is_avoided_while_two_of_its_machines_are() -> None:
    same = {n: Failure(count=1, last=NOW, host=5) for n in (1, 2)}
    nobodys = {n: Failure(count=1, last=NOW) for n in (3, 4)}
    remembered = Remembered(failures=same | nobodys)
    assert avoided(remembered, NOW) == ({1, 2, 3, 4}, {5})
    late = Remembered(failures={**same, 2: replace_last(same[2], NOW - 9999)})
    assert avoided(late, NOW) == ({1}, frozenset())


def replace_last(failure: Failure, last: float) -> Failure:
    return failure.model_copy(update={"last": last})


def test_what_has_no_effect_any_more_is_forgotten() -> None:
    remembered = Remembered(
        failures={1: Failure(count=1, last=NOW), 2: Failure(count=1, last=NOW - 172_800)},
        attempts={name: Attempt(count=1, last=NOW) for name in NAMES[:2]},
    )
    kept = pruned(remembered, NAMES[1:], NOW)
    assert (set(kept.failures), set(kept.attempts)) == ({1}, {NAMES[1]})


def test_a_machine_that_answers_once_and_dies_is_no_way_around_the_backoff() -> None:
    """An image that crashes after its start would be rented anew every other minute for ever."""
    remembered, counts = Remembered(), []
    for turn in range(5):
        at = NOW + 120 * turn
        seen = sight(0, contract=turn + 1, **machine(actual_status="exited"))
        remembered = heard([replace(seen, answered=True)], remembered, at)
        remembered = heard([seen], remembered, at + 10)
        remembered = failed([seen], [Fault(slot=NAMES[0], reason="x")], remembered, at + 40)
        counts.append(remembered.attempts[NAMES[0]].count)
    assert counts == [1, 2, 3, 4, 5]
