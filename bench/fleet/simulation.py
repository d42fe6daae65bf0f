"""One run: requests, machines, and a policy that decides at every tick."""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from random import Random

from autoscaler.model import Decision, Limits, Member, Memory, Observed, Phase, Reading
from autoscaler.policies import Policy
from bench.fleet.traces import DAY, Trace
from bench.fleet.world import Machine, Outcome, World

# A policy that leaves requests waiting this long after the last arrival never serves them.
_PATIENCE = 28 * DAY

_Event = Callable[[float], None]


def simulate(trace: Trace, policy: Policy, limits: Limits, world: World, seed: int) -> Outcome:
    """Run `trace` under `policy`, from `limits.minimum` ready machines to the last finish.

    The same arguments give the same outcome. Raises RuntimeError when requests are never served.
    """
    return _Run(trace, policy, limits, world, Random(seed)).outcome()  # noqa: S311 - not a secret


class _Run:
    """The queue is first in, first out; it is empty whenever a machine has room."""

    def __init__(
        self, trace: Trace, policy: Policy, limits: Limits, world: World, random: Random
    ) -> None:
        count = len(trace.arrivals)
        self._world, self._policy, self._limits, self._random = world, policy, limits, random
        self._memory = Memory()
        self._arrivals = (*trace.arrivals, inf)
        self._service = [world.service(*tokens) for tokens in trace.tokens]
        self._arrived, self._done = 0, 0
        self._started, self._finished = [0.0] * count, [0] * count
        self._queue: deque[int] = deque()
        self._fleet: dict[int, Machine] = {}
        self._serving: list[Machine] = []
        self._finishes: list[tuple[float, int, int]] = []
        self._events: list[tuple[float, int, _Event]] = []
        self._scheduled, self._named, self._now = 0, 0, 0.0
        self._rentals: list[tuple[float, float]] = []
        self._moves: list[tuple[float, int]] = []
        self._restarted, self._replaced, self._cancelled = 0, 0, 0

    def outcome(self) -> Outcome:
        for _ in range(self._limits.minimum):
            self._ready(self._new(0.0), 0.0)
        self._schedule(self._world.tick, self._tick)
        last = self._arrivals[-2] if self._service else 0.0
        while self._done < len(self._service):
            at, _, event = heappop(self._events)
            self._advance(at)
            if self._done < len(self._service):
                event(at)
            if at > last + _PATIENCE:
                raise RuntimeError(f"{len(self._queue)} requests of {len(self._service)} starve")
        self._rentals += [(machine.created, self._now) for machine in self._fleet.values()]
        return Outcome(
            waits=tuple(
                start - arrival
                for start, arrival in zip(self._started, self._arrivals, strict=False)
            ),
            finished=tuple(self._finished),
            rentals=tuple(self._rentals),
            moves=tuple(self._moves),
            restarted=self._restarted,
            replaced=self._replaced,
            cancelled=self._cancelled,
        )

    def _schedule(self, at: float, event: _Event) -> None:
        self._scheduled += 1
        heappush(self._events, (at, self._scheduled, event))

    # Requests.

    def _advance(self, until: float) -> None:
        """Every arrival and finish up to `until`; this is where the time goes."""
        arrivals, finishes = self._arrivals, self._finishes
        while True:
            arrival = arrivals[self._arrived]
            if finishes and finishes[0][0] <= arrival:
                if finishes[0][0] > until:
                    return
                self._finish(*heappop(finishes))
            elif arrival > until or arrival == inf:
                return
            else:
                self._arrive(arrival)

    def _arrive(self, at: float) -> None:
        request = self._arrived
        self._arrived += 1
        machine = None if self._queue else self._roomy()
        if machine is None:
            self._queue.append(request)
        else:
            self._start(request, machine, at)

    def _roomy(self) -> Machine | None:
        """The least busy machine that takes work."""
        best, least = None, self._world.parallel
        for machine in self._serving:
            if (busy := len(machine.running)) < least:
                best, least = machine, busy
        return best

    def _start(self, request: int, machine: Machine, at: float) -> None:
        machine.running.add(request)
        self._started[request] = at
        heappush(self._finishes, (at + self._service[request], request, machine.number))

    def _finish(self, at: float, request: int, number: int) -> None:
        machine = self._fleet.get(number)
        if machine is None:  # destroyed meanwhile: the request began anew elsewhere
            return
        self._now = at
        self._done += 1
        self._finished[request] += 1
        machine.running.remove(request)
        if machine.deadline is None:
            if self._queue:
                self._start(self._queue.popleft(), machine, at)
        elif not machine.running:
            self._give_up(machine, at)

    def _fill(self, at: float) -> None:
        while self._queue and (machine := self._roomy()):
            self._start(self._queue.popleft(), machine, at)

    # Machines.

    def _new(self, at: float) -> Machine:
        self._named += 1
        machine = Machine(number=self._named, created=at)
        self._fleet[machine.number] = machine
        return machine

    def _rent(self, at: float) -> None:
        machine = self._new(at)
        boot = self._world.boot(self._random)
        if boot is None:
            self._schedule(at + self._world.boot_deadline, lambda now: self._late(machine, now))
        else:
            self._schedule(at + boot, lambda now: self._ready(machine, now))

    def _ready(self, machine: Machine, at: float) -> None:
        if machine.number in self._fleet:
            machine.ready = True
            self._serving.append(machine)
            self._fill(at)

    def _late(self, machine: Machine, at: float) -> None:
        """The boot deadline has passed: another machine instead."""
        if machine.number in self._fleet:
            self._destroy(machine, at)
            self._replaced += 1
            self._rent(at)

    def _destroy(self, machine: Machine, at: float) -> None:
        """Billing ends here; what it served goes back to the head of the queue."""
        del self._fleet[machine.number]
        self._rentals.append((machine.created, at))
        if machine in self._serving:
            self._serving.remove(machine)
        self._restarted += len(machine.running)
        self._queue.extendleft(sorted(machine.running, reverse=True))
        self._fill(at)

    def _give_up(self, machine: Machine, at: float) -> None:
        self._destroy(machine, at)
        self._moves.append((at, -1))

    def _drain(self, machine: Machine, at: float) -> None:
        """No new work; gone when idle, or at the deadline."""
        if not machine.running:
            self._give_up(machine, at)
            return
        deadline = at + self._world.drain_deadline
        machine.deadline = deadline
        self._serving.remove(machine)
        self._schedule(deadline, lambda now: self._overdue(machine, now))

    def _overdue(self, machine: Machine, at: float) -> None:
        if machine.number in self._fleet and machine.deadline == at:
            self._give_up(machine, at)

    def _keep(self, machine: Machine, at: float) -> None:
        """Its drain is cancelled: demand is back."""
        machine.deadline = None
        self._cancelled += 1
        self._serving.append(machine)
        self._fill(at)

    # Decisions.

    def _tick(self, at: float) -> None:
        decision = self._policy(self._observed(at), self._memory, self._limits)
        self._memory = decision.memory
        self._apply(decision, at)
        self._schedule(at + self._world.tick, self._tick)

    def _observed(self, at: float) -> Observed:
        machines = self._fleet.values()
        in_flight = sum(len(machine.running) for machine in machines)
        return Observed(
            at=at,
            queue=Reading(depth=len(self._queue), in_flight=in_flight, at=at),
            members=tuple(self._member(machine, at) for machine in machines),
        )

    def _member(self, machine: Machine, at: float) -> Member:
        if machine.deadline is not None:
            phase = Phase.DRAINING
        else:
            phase = Phase.READY if machine.ready else Phase.STARTING
        load = len(machine.running) / self._world.parallel
        return Member(
            slot=machine.slot,
            phase=phase,
            utilization=load if self._world.reports else 0.0,
            age=at - machine.created,
            cost_per_hour=self._world.price,
        )

    def _apply(self, decision: Decision, at: float) -> None:
        """Victims drain; the drain of what is no victim any more is cancelled."""
        before = len(self._fleet)
        for machine in list(self._fleet.values()):
            if machine.slot in decision.victims:
                if machine.deadline is None:
                    self._drain(machine, at)
            elif machine.deadline is not None:
                self._keep(machine, at)
        for _ in range(decision.slots - before):
            self._rent(at)
            self._moves.append((at, 1))
