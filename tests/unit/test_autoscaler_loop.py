"""The loop's ordinary days: following, leading, growing, shrinking, holding."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import fakeredis
import pytest
from redis import Redis

from autoscaler.actuator import Actuator
from autoscaler.eyes import Eyes
from autoscaler.hands import Hands
from autoscaler.ledger import Ledger
from autoscaler.loop import Autoscaler
from autoscaler.model import Reading
from autoscaler.records import Reports
from autoscaler.settings import AutoscalerSettings
from autoscaler.signals import SignalUnreadable
from autoscaler.store import Mode, Store
from contracts.slots import SlotSet
from operations.leadership import Leadership
from operations.state import StackState
from tests.unit.autoscaler_fakes import (
    NAMES,
    Cloud,
    FakeFleet,
    FakeRouter,
    Log,
    Pool,
    Time,
    endpoint,
    slot_set,
)

PREFIX = "agent-docker:test:gpu"


@dataclass(repr=False)
class World:
    """Everything around one autoscaler; a tick comes every 10 s, a decision every 20."""

    redis: Redis
    server: fakeredis.FakeServer
    document: dict[str, Any] = field(default_factory=dict)
    time: Time = field(default_factory=Time)
    cloud: Cloud = field(default_factory=Cloud)
    router: FakeRouter = field(default_factory=FakeRouter)
    pool: Pool = field(default_factory=Pool)
    log: Log = field(default_factory=Log)
    depth: int | Exception = 50
    silent: set[int] = field(default_factory=set)
    renews: bool = True
    ledgers: list[Ledger] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fleet = FakeFleet(self.cloud, self.time)
        # Deployed, with no slot yet.
        self.fleet.update(SlotSet())
        self.start()

    def start(self, holder: str = "one") -> None:
        """A new process: nothing is known but what is in Redis."""
        usual = {"checkIntervalMs": 20_000, "stabilizationSeconds": 0, "step": "auto"}
        settings = AutoscalerSettings.model_validate(usual | self.document)
        clock = self.time.clock
        self.reports = Reports(log=self.log)  # type: ignore[arg-type]
        self.store = Store(redis=self.redis, prefix=PREFIX)
        self.leadership = Leadership(self.redis, PREFIX, holder=holder, clock=clock.mono)
        actuator = Actuator(clock=clock.mono)
        actuator.close()
        actuator._pool = self.pool  # type: ignore[assignment]
        self.autoscaler = Autoscaler(
            settings=settings,
            eyes=Eyes(
                fleet=self.fleet,
                cloud=self.cloud,
                probe=self.probe,
                router=lambda _url: self.router,
                router_url=None,
                clock=clock,
                spread=lambda: 0.5,
            ),
            hands=Hands(fleet=self.fleet, clock=clock, spread=lambda: 0.5, actuator=actuator),
            signal=self,
            store=self.store,
            leadership=self.leadership,
            reports=self.reports,
            clock=clock,
            keep_ledger=self.ledgers.append,
        )

    def probe(self, urls: Mapping[str, str]) -> Mapping[str, bool]:
        contracts = {name: int(re.findall(r"-(\d+)\.t\.net", url)[0]) for name, url in urls.items()}
        return {name: self.answers(contract) for name, contract in contracts.items()}

    def answers(self, contract: int) -> bool:
        found = self.cloud.machines.get(contract)
        running = found is not None and found.actual_status == "running"
        return running and contract not in self.silent

    def read(self) -> Reading:
        if isinstance(self.depth, Exception):
            raise self.depth
        return Reading(depth=self.depth, at=self.time.wall)

    def close(self) -> None:
        pass

    def tick(self, ticks: int = 1, *, seconds: float = 10) -> dict[str, str]:
        """Let that many ticks pass; the problems of the last."""
        found: dict[str, str] = {}
        for _ in range(ticks):
            self.time.pass_(seconds)
            if self.renews:
                self.leadership.campaign(self.autoscaler.eyes.fence)
            found = self.autoscaler.tick().as_dict()
        return found

    def decide(self) -> dict[str, str]:
        """Let a decision be made."""
        return self.tick(2)

    def until_asked(self) -> None:
        """Let ticks pass until an update begins."""
        for _ in range(9):
            if not self.fleet.asked:
                self.tick()
        assert len(self.fleet.asked) == 1

    def boot(self) -> None:
        """What is rented runs, and answers."""
        for contract in list(self.cloud.machines):
            self.cloud.change(contract, actual_status="running")

    def has(self, count: int) -> None:
        """A fleet of that many ready machines, registered; nothing is due."""
        self.fleet.update(slot_set(count))
        self.boot()
        self.decide()
        assert len(self.router.takes) == count == len(self.slots)
        self.fleet.asked.clear()
        self.router.told.clear()

    @property
    def slots(self) -> tuple[str, ...]:
        return (self.fleet.state.slots or SlotSet()).names

    def contract(self, slot: str) -> int:
        return next(m.contract for m in self.fleet.state.machines if m.slot == slot)

    def endpoint(self, slot: str) -> str:
        return endpoint(slot, self.contract(slot))

    @property
    def last(self) -> dict[str, Any]:
        """The last decision."""
        return self.store.decisions(1)[0]


def make_world(**document: object) -> World:
    server = fakeredis.FakeServer(version=(7,))
    return World(fakeredis.FakeRedis(server=server, decode_responses=True), server, document)


@pytest.fixture
def world() -> Iterator[World]:
    made = make_world()
    yield made
    made.redis.close()


def test_a_follower_looks_at_nothing_and_says_so(world: World) -> None:
    Leadership(world.redis, PREFIX, clock=world.time.clock.mono).campaign()
    assert world.tick() == {}
    assert world.fleet.reads == 0
    assert world.reports.status["leader"] is False
    assert world.redis.exists(f"{PREFIX}:memory", f"{PREFIX}:decisions") == 0


def test_the_first_tick_as_leader_loads_its_memory_and_decides(world: World) -> None:
    world.has(2)
    before = world.store.remembered()
    assert set(before.ready) == {1, 2}
    world.start("two")
    world.redis.delete(f"{PREFIX}:lease")
    world.silent = {1}
    world.tick()
    assert world.store.remembered().ready == before.ready
    assert world.reports.status["leader"] is True
    assert [slot["phase"] for slot in world.reports.status["slots"]] == ["unhealthy", "ready"]
    assert world.last["slots"] == 2


def test_an_empty_fleet_is_filled_to_the_minimum(world: World) -> None:
    world.tick()
    world.tick()
    assert world.slots == NAMES[:1]
    assert world.last["rule"] == "minimum"
    assert world.fleet.fences == [world.leadership.fence]


@pytest.mark.parametrize("mode", [Mode(), Mode(kind="fixed", count=3)])
def test_a_fleet_that_was_destroyed_is_not_rented_again(world: World, mode: Mode) -> None:
    world.has(2)
    world.store.set_mode(mode)
    world.fleet.update(SlotSet())
    world.fleet.state = StackState()
    world.depth = 500
    assert world.tick(40) == {}
    assert (world.fleet.asked, world.fleet.recovered) == ([], [])
    assert world.cloud.machines == {}
    assert "destroyed" in world.last["reason"]
    # Until it is deployed again.
    world.fleet.update(slot_set(1))
    world.tick(40)
    assert len(world.slots) > 1


def test_what_was_to_be_recovered_is_over_when_the_fleet_was_destroyed(world: World) -> None:
    """It was killed in a shrink, or saw a person's update half-way; then somebody destroyed it."""
    world.has(2)
    left = world.store.remembered().model_copy(update={"leaving": frozenset(NAMES[:1])})
    world.store.remember(left)
    world.start("two")
    world.redis.delete(f"{PREFIX}:lease")
    world.autoscaler.hands.ask_recovery()
    world.fleet.update(SlotSet())
    world.fleet.state = StackState()
    assert world.tick(40) == {}
    assert (world.fleet.asked, world.fleet.recovered) == ([], [])
    assert world.store.remembered().leaving == frozenset()


def test_what_lives_though_the_stack_was_destroyed_is_told_and_costs_no_second_machine(
    world: World,
) -> None:
    world.has(1)
    world.fleet.state = StackState()
    problems = world.tick(40)
    assert "these machines live: 1" in problems["stack"]
    assert world.fleet.recovered == []
    assert len(world.cloud.machines) == 1


def test_a_burst_is_one_update_and_is_not_answered_twice(world: World) -> None:
    world.has(1)
    world.depth = 500
    world.tick(12)
    assert [slots.names for slots in world.fleet.asked] == [NAMES[:5]]
    assert "are enough" in world.last["reason"]
    world.boot()
    world.tick()
    assert world.router.takes == {world.endpoint(slot) for slot in NAMES[:5]}
    assert {row["outcome"] for row in world.store.boots(9)} == {"ready"}
    assert world.log.told("operation done")[-1]["slots"] == list(NAMES[:5])


def test_a_shrink_is_a_drain_and_then_one_update(world: World) -> None:
    world.has(2)
    victim = world.endpoint(NAMES[0])
    world.router.serve(victim, 3, utilization=0.1)
    world.router.serve(world.endpoint(NAMES[1]), 3, utilization=0.6)
    world.depth = 0
    world.decide()
    assert world.router.told == [("deregister", victim)]
    assert list(world.store.remembered().drains) == [NAMES[0]]
    world.tick(3)
    assert world.fleet.asked == []
    world.router.serve(victim, 0)
    world.tick()
    assert [slots.names for slots in world.fleet.asked] == [(NAMES[1],)]
    assert world.log.told("giving up")[0]["slot"] == NAMES[0]
    world.tick(10)
    assert len(world.fleet.asked) == 1
    assert world.store.remembered().drains == {}


def test_what_is_idle_is_still_given_up_a_tick_after_it_was_taken_out(world: World) -> None:
    world.has(2)
    world.depth = 0
    world.tick()
    assert len(world.router.takes) == 1
    assert world.fleet.asked == []
    world.tick()
    assert len(world.fleet.asked) == 1


def test_demand_that_comes_back_cancels_the_drain(world: World) -> None:
    world.has(2)
    victim = world.endpoint(NAMES[0])
    world.router.serve(victim, 1)
    world.router.serve(world.endpoint(NAMES[1]), 1, utilization=0.6)
    world.depth = 0
    world.decide()
    world.depth = 100
    world.decide()
    assert world.router.told == [("deregister", victim), ("register", victim)]
    world.router.serve(victim, 0)
    world.tick(20)
    assert world.fleet.asked == []


def test_an_unreadable_queue_holds_the_fleet(world: World) -> None:
    world.has(3)
    world.depth = SignalUnreadable("the queue says nothing")
    assert world.tick(10) == {"signal": "the queue says nothing"}
    assert world.fleet.asked == []
    assert world.last["reason"] == "the queue cannot be read"
    world.depth = 50
    assert world.decide() == {}


@pytest.mark.parametrize(("mode", "slots"), [("paused", 1), ("dry-run", 1), ("auto", 5)])
def test_only_auto_acts_on_the_queue(world: World, mode: Any, slots: int) -> None:  # noqa: ANN401
    world.has(1)
    world.store.set_mode(Mode(kind=mode))
    world.depth = 500
    world.tick(6)
    assert len(world.slots) == slots
    assert world.last["mode"] == mode
    assert world.last["wanted"] == (1 if mode == "paused" else 5)


def test_a_pause_cancels_drains_and_ends_nothing(world: World) -> None:
    world.has(2)
    world.depth = 0
    world.tick()
    world.store.set_mode(Mode(kind="paused"))
    world.tick(5)
    assert len(world.router.takes) == 2
    assert world.fleet.asked == []


@pytest.mark.parametrize("wanted", [1, 2, 4])
def test_a_fixed_count_needs_no_queue(world: World, wanted: int) -> None:
    world.has(2)
    world.depth = SignalUnreadable("nothing")
    world.store.set_mode(Mode(kind="fixed", count=wanted))
    world.tick(8)
    assert len(world.slots) == wanted
    assert world.last["mode"] == f"fixed at {wanted}"
    world.boot()
    assert world.tick(4) == {"signal": "nothing"}
    assert len(world.fleet.asked) == (wanted != 2)
