"""One tick's picture: which machines are whose, what they say, and what is only suspected."""

from collections.abc import Mapping

import pytest

from autoscaler import observe
from autoscaler.eyes import READ_AGAIN, Eyes, Look
from autoscaler.problems import Problems
from autoscaler.registrar import Router
from contracts.slots import SlotSet
from operations.errors import Failed, Interrupted
from operations.known import Known
from operations.state import RecordedMachine, StackState
from providers.vastai.errors import Unavailable
from tests.unit.autoscaler_fakes import (
    NAMER,
    NAMES,
    NOW,
    URL,
    Cloud,
    FakeFleet,
    FakeRouter,
    Time,
    endpoint,
    fleet_settings,
    instance,
    record,
    slot_set,
)


def known(count: int = 2, **outputs: object) -> Known:
    slots = slot_set(count)
    machines = tuple(
        RecordedMachine(slot=name, contract=number, shard=0, status="running")
        for number, name in enumerate(slots.names, 1)
    )
    written = {
        "slots": slots.model_dump(mode="json"),
        "instances": [record(m.slot, m.contract).model_dump(mode="json") for m in machines],
    }
    state = StackState(outputs=written | outputs, machines=machines)
    return Known(state=state, fleet=fleet_settings(), namer=NAMER)


def everyone(urls: Mapping[str, str]) -> Mapping[str, bool]:
    return dict.fromkeys(urls, True)


# The account.


def test_a_listing_is_compared_with_the_state() -> None:
    foreign = instance(8, label="agent-docker/ffffffffffff/gpu/gpu-abcd")
    other = instance(9, label="agent-docker/0123456789ab/other/gpu-abcd")
    listed = [instance(1, NAMES[0]), instance(7, NAMES[0]), foreign, other, instance(6, label=None)]
    seen = observe.account(known(), listed)
    assert list(seen.recorded) == [1]
    assert [machine.id for machine in seen.strays] == [7]
    assert seen.missing == (2,)
    assert [machine.id for machine in seen.all] == [1, 7]
    assert seen.differs
    both = [instance(1, NAMES[0]), instance(2, NAMES[1])]
    assert not observe.account(known(), both).differs


def test_gone_is_only_what_a_read_proves() -> None:
    cloud = Cloud(machines={1: instance(1)})
    assert observe.proved_gone(cloud, [1, 2]) == {2}
    cloud.failure = Unavailable("503")
    with pytest.raises(Unavailable):
        observe.proved_gone(cloud, [1])


# Sights.


def test_each_slot_is_seen_as_it_is() -> None:
    seen = observe.account(known(3), [instance(1, NAMES[0]), instance(2, NAMES[1])])
    asked: dict[str, str] = {}

    def probe(urls: Mapping[str, str]) -> Mapping[str, bool]:
        asked.update(urls)
        return {NAMES[0]: True}

    rows = [{"endpoint": endpoint(NAMES[0], 1), "in_flight": 3, "utilization": 0.5}, {}]
    first, second, third = observe.sights(
        known(3), seen, gone=frozenset({3}), rows=rows, probe=probe
    )
    assert asked == {NAMES[n]: endpoint(NAMES[n], n + 1) + "/api/version" for n in (0, 1)}
    assert (first.answered, first.in_flight, first.utilization) == (True, 3, 0.5)
    assert (second.answered, second.in_flight, second.utilization) == (False, None, None)
    assert (third.gone, third.machine, third.dead) == (True, None, True)
    assert not first.gone


def test_a_slot_without_machine_is_seen_as_such() -> None:
    whole = known(2)
    state = StackState(outputs=whole.state.outputs, machines=whole.state.machines[:1])
    without = Known(state=state, fleet=whole.fleet, namer=NAMER)
    seen = observe.account(without, [])
    sights = observe.sights(without, seen, gone=frozenset(), rows=(), probe=everyone)
    assert [(sight.contract, sight.gone) for sight in sights] == [(1, False), (None, True)]


def test_a_stack_without_slots_has_none() -> None:
    empty = Known(state=StackState(), fleet=fleet_settings(), namer=NAMER)
    seen = observe.account(empty, [])
    assert observe.sights(empty, seen, gone=frozenset(), rows=(), probe=everyone) == ()


@pytest.mark.parametrize("value", [True, -1, 1.5, "3", None, [1]])
def test_what_is_no_number_of_requests_is_not_known(value: object) -> None:
    row = {"endpoint": endpoint(NAMES[0], 1), "in_flight": value, "utilization": value}
    seen = observe.account(known(1), [instance(1, NAMES[0])])
    (sight,) = observe.sights(known(1), seen, gone=frozenset(), rows=[row], probe=everyone)
    assert sight.in_flight is None
    assert sight.utilization is None


def test_the_path_is_the_one_of_the_last_update() -> None:
    state = known(1, healthPath="/other")
    seen = observe.account(state, [])
    urls: dict[str, str] = {}

    def probe(asked: Mapping[str, str]) -> Mapping[str, bool]:
        urls.update(asked)
        return {}

    observe.sights(state, seen, gone=frozenset(), rows=(), probe=probe)
    assert urls[NAMES[0]].endswith("/other")


def test_a_machine_that_the_outputs_lack_is_known_all_the_same() -> None:
    state = known(1, instances=[None, {"slot": "gpu-else", "contract": 1}])
    (machine,) = state.state.machines
    found = observe.record_of(state, machine, instance(1))
    assert (found.endpoint, found.machine, found.host) == (endpoint(NAMES[0], 1), 1001, 101)
    assert (found.gpu, found.cost_per_hour) == ("RTX 4090", 0.36)
    unlisted = observe.record_of(known(1, instances=None), machine, None)
    assert (unlisted.machine, unlisted.cost_per_hour) == (None, 0)


# The eyes.


class Seeing:
    """Eyes with everything around them."""

    def __init__(self) -> None:
        self.time = Time()
        self.cloud = Cloud()
        self.fleet = FakeFleet(self.cloud, self.time)
        self.fleet.update(slot_set(2))
        self.router = FakeRouter()
        self.urls: list[str] = []
        self.eyes = Eyes(
            fleet=self.fleet,
            cloud=self.cloud,
            probe=everyone,
            router=self.connect,
            router_url=None,
            clock=self.time.clock,
            spread=lambda: 0.5,
        )

    def connect(self, url: str) -> Router:
        self.urls.append(url)
        return self.router

    def look(self, *, busy: bool = False) -> tuple[Look | None, dict[str, str]]:
        problems = Problems()
        assert self.eyes.known is not None
        return self.eyes.look(self.eyes.known, problems, busy=busy), problems.as_dict()


@pytest.fixture
def seeing() -> Seeing:
    return Seeing()


def test_the_stack_is_read_when_it_may_have_changed(seeing: Seeing) -> None:
    eyes = seeing.eyes
    assert eyes.fence == 0
    assert eyes.read()
    assert not eyes.read()
    eyes.stale = True
    assert eyes.read()
    seeing.time.pass_(READ_AGAIN)
    assert eyes.read()
    seeing.fleet.fences = [7]
    eyes.updated(seeing.fleet.update(SlotSet()))
    assert eyes.fence == 7
    assert eyes.known is not None
    assert eyes.known.state.slots == SlotSet()


def test_a_state_alone_is_not_the_whole_of_a_stack(seeing: Seeing) -> None:
    seeing.eyes.updated(StackState())
    assert seeing.eyes.stale
    assert seeing.eyes.known is None


def test_a_stack_that_cannot_be_read_is_tried_again_later(seeing: Seeing) -> None:
    eyes = seeing.eyes
    seeing.fleet.unreadable = Failed("the backend is away")
    assert not eyes.read()
    assert eyes.trouble == "the backend is away"
    assert not eyes.read()
    assert seeing.fleet.reads == 1
    seeing.time.pass_(15)
    seeing.fleet.unreadable = None
    assert eyes.read()
    assert (eyes.trouble, eyes.stale) == (None, False)


def test_a_read_that_was_ended_says_so_and_is_not_tried_at_once(seeing: Seeing) -> None:
    seeing.fleet.unreadable = Interrupted("stopped before its end")
    assert not seeing.eyes.read()
    assert seeing.eyes.trouble == "the stack could not be read within 60 s"
    seeing.time.pass_(10)
    reads = seeing.fleet.reads
    assert not seeing.eyes.read()
    assert seeing.fleet.reads == reads


def test_a_difference_has_the_stack_read_once_before_it_is_believed(seeing: Seeing) -> None:
    eyes, cloud = seeing.eyes, seeing.cloud
    eyes.read()
    del cloud.machines[2]
    look, _ = seeing.look(busy=True)
    assert look is not None
    assert (eyes.stale, look.sights[1].gone) == (False, False)
    look, _ = seeing.look()
    assert look is not None
    assert (eyes.stale, look.sights[1].gone) == (True, False)
    eyes.read()
    look, _ = seeing.look()
    assert look is not None
    assert (eyes.stale, look.sights[1].gone) == (False, True)
    cloud.machines[9] = instance(9, NAMES[1])
    seeing.look()
    assert eyes.stale


def test_whoever_cannot_be_asked_is_a_problem(seeing: Seeing) -> None:
    seeing.eyes.read()
    look, problems = seeing.look()
    assert look is not None
    assert (look.rows, look.router_answers, problems) == ([], True, {})
    assert look.endpoints == {endpoint(NAMES[0], 1), endpoint(NAMES[1], 2)}
    seeing.router.down = True
    look, problems = seeing.look()
    assert look is not None
    assert (look.rows, look.router_answers) == (None, False)
    assert list(problems) == ["router"]
    seeing.cloud.failure = Unavailable("503")
    assert seeing.look() == (None, {"router": problems["router"], "cloud": "503"})
    assert seeing.urls == [URL] * 3


def test_a_router_of_the_settings_wins_and_none_is_no_problem(seeing: Seeing) -> None:
    seeing.eyes.router_url = "http://other.test"
    seeing.eyes.read()
    seeing.look()
    assert seeing.urls == ["http://other.test"]
    seeing.eyes.router_url = None
    seeing.fleet.settings = fleet_settings(router=None)
    seeing.eyes.stale = True
    seeing.eyes.read()
    look, problems = seeing.look()
    assert look is not None
    assert (look.router, look.rows, look.router_answers, problems) == (None, None, None, {})


def test_a_router_that_answers_nonsense_is_a_problem_and_not_the_end(seeing: Seeing) -> None:
    seeing.eyes.read()
    seeing.router.providers = lambda: ["http://a", 5, None]  # type: ignore[method-assign, assignment, list-item, return-value]
    look, _ = seeing.look()
    assert look is not None
    assert look.account.recorded[1].start_date == NOW
