"""One operation at a time, and after a failure the right wait: actuator, backoff, hands."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.actuator import Actuator, Outcome
from autoscaler.backoff import Retry, after, as_failure
from autoscaler.hands import Avoid, Hands
from autoscaler.plan import Change
from contracts.errors import AgentDockerError
from operations.errors import (
    Busy,
    Conflict,
    CutOff,
    Failed,
    Interrupted,
    LeaseLost,
    Refused,
    Unclear,
)
from operations.stack import Applied
from providers.vastai.errors import Unavailable
from tests.unit.autoscaler_fakes import NAMES, Cloud, FakeFleet, Pool, Time, slot_set

# Backoff.


@pytest.mark.parametrize(
    ("error", "waits", "recover"),
    [
        (Failed("x"), (15, 30, 60, 120, 240, 480, 600, 600), False),
        (Unavailable("x"), (15, 30, 60, 120, 240, 480, 600, 600), False),
        (Busy("x"), (2, 4, 8, 15, 15), False),
        (Interrupted("x"), (2, 4, 8, 15, 15), False),
        (Refused("x"), (60, 120, 240, 480, 900, 900), False),
        (Conflict("x"), (0, 0, 0), False),
        (LeaseLost("x"), (0, 0, 0), False),
        (CutOff("x"), (0, 30, 60), True),
        (Unclear("x"), (0, 30, 60), True),
    ],
)
def test_waits(error: AgentDockerError, waits: tuple[float, ...], recover: bool) -> None:  # noqa: FBT001
    retry = Retry()
    for wait in waits:
        retry = after(error, retry, 50.0, spread=0.5)
        assert retry.at == 50 + wait
        assert retry.recover is recover
        assert retry.may(50 + wait)
        assert wait == 0 or not retry.may(50 + wait - 0.1)


def test_a_recovery_that_is_due_stays_due_whatever_it_ends_with() -> None:
    retry = after(CutOff("x"), Retry(), 0, spread=0.5)
    for error in (Busy("x"), Conflict("x"), Refused("x"), Failed("x")):
        retry = after(error, retry, 0, spread=0.5)
        assert retry.recover


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_the_spread_is_a_quarter(failures: int, spread: float) -> None:
    found = after(Failed("x"), Retry(failures=failures), 0, spread=spread)
    assert 15 * 0.75 <= found.at <= 600 * 1.25
    middle = after(Failed("x"), Retry(failures=failures), 0, spread=0.5)
    assert 0.75 * middle.at <= found.at <= 1.25 * middle.at


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(28, "No space left on device", "/state/intent"), "/state/intent: No space left"),
        (OSError("odd"), "odd"),
        (Busy("x"), "x"),
    ],
)
def test_what_the_system_refuses_is_a_failure(error: AgentDockerError | OSError, text: str) -> None:
    assert as_failure(error).message.startswith(text)


# The actuator.


@pytest.fixture
def actuator() -> Iterator[Actuator]:
    made = Actuator()
    yield made
    made.close()


def test_an_operation_runs_elsewhere_and_is_collected_once(actuator: Actuator) -> None:
    go, ended = threading.Event(), threading.Event()
    actuator._done = ended.set

    def operation() -> str:
        assert threading.current_thread() is not threading.main_thread()
        assert go.wait(30)
        return "result"

    assert actuator.collect() is None
    actuator.wait(0)
    actuator.begin("update", operation)
    assert actuator.running == "update"
    assert actuator.collect() is None
    actuator.wait(0)
    with pytest.raises(AssertionError, match="one operation at a time"):
        actuator.begin("recover", lambda: None)
    go.set()
    actuator.wait(30)
    assert ended.wait(30)
    assert actuator.running == "update"
    outcome = actuator.collect()
    assert outcome is not None
    assert (outcome.name, outcome.result, outcome.error) == ("update", "result", None)
    assert actuator.running is None
    assert actuator.collect() is None


def test_an_error_is_an_outcome_but_an_exit_is_not(actuator: Actuator) -> None:
    now = iter([10.0, 13.5])
    actuator._clock = lambda: next(now)

    def fail(error: BaseException) -> Callable[[], None]:
        def operation() -> None:
            raise error

        return operation

    wrong = Failed("x")
    actuator.begin("update", fail(wrong))
    actuator.wait(30)
    assert actuator.collect() == Outcome(name="update", seconds=3.5, error=wrong)
    now = iter([0.0])
    actuator.begin("update", fail(SystemExit(3)))
    actuator.wait(30)
    with pytest.raises(SystemExit):
        actuator.collect()
    assert actuator.running is None


# The hands.


@pytest.fixture
def hands() -> Hands:
    time = Time()
    fleet = FakeFleet(Cloud(), time)
    fleet.update(slot_set(2))
    actuator = Actuator(clock=time.clock.mono)
    actuator.close()
    actuator._pool = Pool()  # type: ignore[assignment]
    return Hands(fleet=fleet, clock=time.clock, spread=lambda: 0.5, actuator=actuator)


def update(hands: Hands, change: Change, fence: int | None = 4, avoid: Avoid | None = None) -> None:
    hands.update(fence, hands.fleet.known(), change, avoid or Avoid(), 5)


def told(hands: Hands) -> FakeFleet:
    assert isinstance(hands.fleet, FakeFleet)
    return hands.fleet


def test_an_update_is_one_document_under_the_fence(hands: Hands) -> None:
    avoid = Avoid(machines=frozenset({7}), hosts=frozenset({8}), now_on={NAMES[1]: 1002})
    update(hands, Change(count=3, give_up=(NAMES[0],), replace=(NAMES[1],)), avoid=avoid)
    outcome = hands.collect()
    assert outcome is not None
    assert isinstance(outcome.result, Applied)
    (document,) = told(hands).asked
    assert document.names == NAMES[1:4]
    assert document.slots[0].exclude_machines == (7, 1002)
    assert document.slots[1].exclude_hosts == (8,)
    assert told(hands).fences == [4]
    assert hands.count == 3
    assert hands.free
    assert hands.trouble is None


def test_what_has_no_offer_stays_and_the_rest_is_done(hands: Hands) -> None:
    told(hands).offers = False
    update(hands, Change(count=3, replace=(NAMES[0],)))
    assert told(hands).asked[0].slots[0] == slot_set(1).slots[0]
    assert len(told(hands).asked[0].slots) == 3


def test_what_only_adds_need_not_be_shown_twice(hands: Hands) -> None:
    """A preview is left out where nothing can have changed since the last one of ours."""
    fleet = told(hands)

    def previewed(change: Change) -> bool:
        update(hands, change)
        hands.collect()
        return fleet.previewed[-1]

    assert previewed(Change(count=3))
    assert not previewed(Change(count=4))
    assert previewed(Change(count=0, give_up=(NAMES[0],)))
    assert previewed(Change(count=0, replace=(NAMES[1],)))
    assert previewed(Change(count=0, leftovers=("gpu-x",)))
    assert not previewed(Change(count=4))
    # A person has updated the stack.
    fleet.state = replace(fleet.state, outputs={**fleet.state.outputs, "updates": 9})
    assert previewed(Change(count=5))
    fleet.fails = [Failed("x")]
    assert previewed(Change(count=5, give_up=(NAMES[2],)))
    assert previewed(Change(count=5))


def test_a_recovery_has_its_budget_and_its_fence(hands: Hands) -> None:
    hands.ask_recovery()
    assert hands.must_recover
    hands.recover(9, end_at_most=2)
    assert told(hands).fences == [9]
    assert told(hands).recovered == [2]
    assert hands.collect() is not None
    assert not hands.must_recover


def test_a_failure_is_trouble_until_one_succeeds(hands: Hands) -> None:
    told(hands).fails = [Failed("no offer")]
    update(hands, Change(count=3))
    assert not hands.free
    hands.collect()
    assert hands.trouble == "update: no offer"
    assert not hands.free
    update(hands, Change(count=3))
    hands.collect()
    assert hands.trouble is None
    assert hands.free
    assert hands.collect() is None


def test_a_recovery_that_was_asked_for_survives_a_failure(hands: Hands) -> None:
    hands.ask_recovery()
    told(hands).fails = [Failed("x")]
    hands.recover(1, end_at_most=3)
    hands.collect()
    assert hands.must_recover
    assert hands.trouble == "recover: x"


@pytest.mark.parametrize(
    ("error", "tries"),
    [(Busy("x"), 5), (Conflict("x"), 99), (LeaseLost("x"), 99), (Failed("x"), 1)],
)
def test_somebody_else_at_work_is_trouble_only_when_it_lasts(
    hands: Hands, error: AgentDockerError, tries: int
) -> None:
    for attempt in range(1, 9):
        told(hands).fails = [error]
        update(hands, Change(count=3))
        hands.collect()
        assert (hands.trouble is not None) is (attempt >= tries)


def test_a_full_disk_is_no_bug(hands: Hands) -> None:
    told(hands).fails = [OSError(28, "No space left on device")]
    update(hands, Change(count=3))
    assert hands.collect() is not None
    assert hands.trouble == "update: No space left on device"
    assert not hands.free


def test_a_bug_is_raised(hands: Hands) -> None:
    told(hands).fails = [ZeroDivisionError("x")]
    update(hands, Change(count=3))
    with pytest.raises(ZeroDivisionError):
        hands.collect()
    assert hands.busy is None
