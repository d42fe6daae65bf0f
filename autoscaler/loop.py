"""The loop: look, decide, correct, act. Level-triggered: each tick starts from what is.

Two speeds: health at each tick, scaling when its interval is over. Only the holder of the lease
does anything. One operation on the stack at a time, and none while what it would be decided from
cannot be read.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from autoscaler import drains, health, ledger, modes
from autoscaler.drains import Drained
from autoscaler.eyes import Eyes, Look
from autoscaler.hands import RECOVER, UPDATE, Avoid, Hands
from autoscaler.health import Deadlines, Fault, Health, Sight
from autoscaler.ledger import Ledger
from autoscaler.model import Observed, Reading
from autoscaler.plan import Change
from autoscaler.policies import POLICIES
from autoscaler.policies.bounds import hold
from autoscaler.problems import Problems, Topic
from autoscaler.records import Picture, Reports, boot
from autoscaler.registrar import sync
from autoscaler.remembered import Remembered
from autoscaler.settings import AutoscalerSettings
from autoscaler.signals import Signal
from autoscaler.store import Mode, Store
from autoscaler.world import Clock
from contracts.slots import SlotSet
from operations.errors import CutOff, Failed, Interrupted
from operations.known import Known
from operations.leadership import Leadership
from operations.stack import Applied

_NO_FLEET = "the stack has no fleet: it was destroyed, or never deployed"
# A step of the wall clock against the monotonic one that is no drift, in seconds.
_JUMP = 5.0


@dataclass(kw_only=True)
class Autoscaler:
    """One autoscaler of one gpu stack; `tick` is called from one thread, again and again."""

    settings: AutoscalerSettings
    eyes: Eyes
    hands: Hands
    signal: Signal
    store: Store
    leadership: Leadership
    reports: Reports
    clock: Clock = field(default_factory=Clock)
    ledger: Ledger | None = None
    keep_ledger: Callable[[Ledger], None] = lambda _: None
    # Why the lease cannot even be asked for.
    lease_trouble: Callable[[], str | None] = lambda: None

    _remembered: Remembered | None = field(default=None, init=False)
    _stored: Remembered | None = field(default=None, init=False)
    # Problems that stand until the next decision.
    _standing: Problems = field(default_factory=Problems, init=False)
    _decide_at: float = field(default=0.0, init=False)
    _count: int = field(default=0, init=False)
    _offset: float | None = field(default=None, init=False)
    # What the running update replaces, and whether it has done so.
    _replacing: tuple[tuple[Sight, ...], tuple[Fault, ...]] = field(default=((), ()), init=False)
    _done_replacing: bool = field(default=False, init=False)
    # Whether nothing of ours can be ending a machine any more; whether a recovery has failed.
    _settled: bool = field(default=False, init=False)
    _unfinished: bool = field(default=False, init=False)

    def tick(self) -> Problems:
        """Look once, and do what is due; what kept it from that is returned."""
        problems = Problems()
        self._watch_clock(problems)
        self._collect()
        if self.leadership.held:
            with problems.caught(Topic.STACK):
                self._lead(problems)
            problems.merge(self._standing)
        else:
            # Another one works, or nobody can be sure of it: begin anew when it is our turn.
            self._remembered, self._stored, self.eyes.stale = None, None, True
            self._decide_at, self._count, self._settled, self._unfinished = 0.0, 0, False, False
            if (text := self.lease_trouble()) is not None:
                problems.add(Topic.REDIS, text)
            self.reports.follower(self.clock.wall())
        self.reports.problems(self.clock.wall(), problems)
        return problems

    def _lead(self, problems: Problems) -> None:
        mode = self.store.mode()
        self.reports.mode(mode)
        known = self._read(problems)
        if known is None:
            return
        look = self.eyes.look(known, problems, busy=bool(self.hands.busy))
        if look is None:
            self._report()
            return
        now = self.clock.wall()
        before = self._landed(self._remembered or self.store.remembered().until(now), now)
        before = self._returned(before, known)
        self._count_cost(look, now)
        remembered = self._strays(look, before, now, problems)
        remembered = health.heard(look.sights, drains.kept(remembered, look.sights), now)
        self._tell_boots(look, before, remembered, now)
        deadlines = Deadlines(
            boot=self.settings.boot_deadline_seconds,
            unhealthy=self.settings.unhealthy_deadline_seconds,
        )
        deaf = look.router_answers is False
        found = health.judge(look.sights, remembered, now, deadlines, deaf=deaf)
        if found.halted:
            problems.add(Topic.HEALTH, found.halted)
        # Judged by what the router said before it is told anything new.
        ended = drains.finished(
            remembered,
            look.sights,
            now,
            self.settings.drain_deadline_seconds,
            router=look.router_answers,
        )
        remembered = self._decide(look, mode, found, remembered, before)
        if not self.leadership.held:
            # Looking took so long that another one leads, and knows better by now.
            return
        remembered = self._register(look, found, remembered, problems)
        ended = tuple(done for done in ended if done.slot in remembered.drains)
        remembered = self._act(look, mode, found, ended, remembered)
        self._remember(health.pruned(remembered, [sight.slot for sight in look.sights], now))
        picture = Picture(look=look, found=found, ledger=self.ledger, operation=self.hands.busy)
        self.reports.leader(now, picture)
        self._report()

    # Looking.

    def _watch_clock(self, problems: Problems) -> None:
        offset = self.clock.wall() - self.clock.mono()
        before, self._offset = self._offset, offset
        if before is None or abs(offset - before) <= _JUMP:
            return
        text = f"the clock was set by {offset - before:+.0f} s: waits start anew"
        problems.add(Topic.CLOCK, text)
        self._standing.add(Topic.CLOCK, text)
        if self._remembered is not None:
            self._remembered = self._remembered.without_times()

    def _collect(self) -> None:
        try:
            outcome = self.hands.collect()
        except Exception:
            # Whatever it was: perhaps half of it was done.
            self.eyes.stale = True
            raise
        if outcome is None:
            return
        self.reports.ended(outcome)
        cut = isinstance(outcome.error, CutOff | Interrupted)
        self._settled = outcome.error is None or (outcome.name == UPDATE and not cut)
        self._unfinished = outcome.name == RECOVER and type(outcome.error) is Failed
        if isinstance(outcome.result, Applied):
            self.eyes.updated(outcome.result.state)
            self._done_replacing = True
            if self._count == self.hands.count:
                # Done; what a person changes from here on stands until the next decision.
                self._count = 0
        else:
            self.eyes.stale = True

    def _read(self, problems: Problems) -> Known | None:
        """The stack; the one of before while ours is being updated, or it cannot be read now."""
        # Also while the next operation waits: what the last one rented is to be seen.
        if self.hands.busy is None and self.eyes.read():
            known = self.eyes.known
            if known is not None and not self.hands.fleet.is_whole(known.state):
                self.hands.ask_recovery()
        troubles = {Topic.STACK: self.eyes.trouble, Topic.OPERATION: self.hands.trouble}
        for topic, text in troubles.items():
            if text is not None:
                problems.add(topic, text)
        return self.eyes.known

    def _count_cost(self, look: Look, now: float) -> None:
        if self.ledger is None:
            slots = look.known.state.slots or SlotSet()
            never = slots.issued == len(slots.slots) and not any(s.generation for s in slots.slots)
            self.ledger = ledger.opened(now, nothing_ended=never)
        self.ledger = ledger.counted(self.ledger, look.account.all, now)
        self.keep_ledger(self.ledger)

    def _strays(
        self, look: Look, remembered: Remembered, now: float, problems: Problems
    ) -> Remembered:
        """Note machines in no slot; one that stays so beyond the grace asks for a recovery."""
        if self.hands.busy or self.eyes.stale:
            return remembered
        if look.known.state.slots is None:
            # A recovery would rent what is missing to the minimum.
            if look.account.strays:
                found = ", ".join(str(machine.id) for machine in look.account.strays)
                problems.add(Topic.STACK, f"{_NO_FLEET}, but these machines live: {found}")
            return remembered
        first = {m.id: remembered.orphans.get(m.id, now) for m in look.account.strays}
        if any(now - at >= self.settings.orphan_grace_seconds for at in first.values()):
            self.hands.ask_recovery()
        return remembered.model_copy(update={"orphans": first})

    def _tell_boots(self, look: Look, before: Remembered, after: Remembered, now: float) -> None:
        for sight in look.sights:
            if sight.contract in after.ready and sight.contract not in before.ready:
                self._booted(sight, now, "ready")

    def _booted(self, sight: Sight, now: float, outcome: str) -> None:
        record = boot(sight, now, outcome)
        self.store.booted(record)
        self.reports.booted(record)

    # Deciding.

    def _decide(
        self, look: Look, mode: Mode, found: Health, remembered: Remembered, before: Remembered
    ) -> Remembered:
        now = self.clock.mono()
        if now < self._decide_at:
            return remembered
        self._decide_at = now + self.settings.check_interval
        self._standing = Problems()
        reading: Reading | None = None
        with self._standing.caught(Topic.SIGNAL):
            reading = self.signal.read()
        observed = Observed(
            at=self.clock.wall(),
            queue=reading,
            members=found.members,
            strays_per_hour=sum(machine.dph_total for machine in look.account.strays),
            spent_today=self.ledger.spent_today if self.ledger else None,
        )
        limits = self.settings.limits(look.known.fleet)
        mode = modes.effective(mode, look.known.fleet)
        policy = POLICIES[self.settings.policy]
        decision = modes.decide(mode, policy, observed, remembered.memory, limits)
        if decision.rule == "budget":
            self._standing.add(Topic.BUDGET, decision.reason)
        if found.halted and decision.slots < len(found.members):
            decision = hold(observed, decision.memory, found.halted)
        if look.known.state.slots is None:
            # Whoever destroyed it wants no machine; a deploy says that it is wanted again.
            decision = hold(observed, decision.memory, _NO_FLEET)
        self.store.decided(self.reports.decision(observed, decision, mode))
        remembered = remembered.with_memory(decision.memory)
        acts = mode.kind in {"auto", "fixed"}
        # Only a growth is a count to reach: below it a person may have given slots up.
        self._count = decision.slots if acts and decision.slots > len(found.members) else 0
        victims = decision.victims if acts else ()
        unserved = drains.unserved(before, look.sights, look.rows)
        return drains.chosen(
            remembered, victims, look.sights, observed.at, decision.reason, unserved
        )

    # Correcting.

    def _register(
        self, look: Look, found: Health, remembered: Remembered, problems: Problems
    ) -> Remembered:
        if look.router is None:
            return remembered
        if look.rows is None:
            # Nobody knows: whatever is ours may be registered.
            known = remembered.registered | look.endpoints
            return remembered.model_copy(update={"registered": known})
        kept_out = remembered.drains.keys() | remembered.leaving
        ready = [
            sight.record
            for sight in look.sights
            if sight.record
            and sight.slot not in kept_out
            and health.serves(sight, found, remembered)
        ]
        done = sync(
            look.router,
            look.rows,
            ready=ready,
            ours=remembered.registered | look.endpoints,
            models=look.known.fleet.models,
        )
        for text in done.errors:
            problems.add(Topic.ROUTER, text)
        self.reports.synced(done)
        return remembered.model_copy(update={"registered": done.endpoints})

    # Acting.

    def _act(
        self,
        look: Look,
        mode: Mode,
        found: Health,
        ended: tuple[Drained, ...],
        remembered: Remembered,
    ) -> Remembered:
        state = look.known.state
        if state.slots is None and not self.eyes.stale and self.hands.fleet.is_whole(state):
            # Nor is there anything to recover: what was decided and begun before counts no more.
            self.hands.forget()
            return remembered
        if remembered.leaving and not self.hands.busy:
            # Of an update that was cut off, perhaps one of another autoscaler's.
            self.hands.ask_recovery()
        idle = mode.kind in {"paused", "dry-run"} or not self.hands.free
        fence = self.leadership.fence
        # Looking has taken its time: without a number this would be a person's update.
        if idle or fence is None or not self.leadership.held:
            return remembered
        if self.hands.must_recover:
            out = remembered.drains.keys() | remembered.leaving
            # They get work, whatever the operation that was cut off wanted of them.
            spare = [
                sight.slot for sight in look.sights if sight.answered and sight.slot not in out
            ]
            self.hands.recover(fence, end_at_most=self.settings.orphan_budget, spare=spare)
            return remembered
        if self.eyes.stale or state.slots is None:
            return remembered
        now = self.clock.wall()
        faults = tuple(
            fault
            for fault in health.due(found.faults, remembered, now)
            if fault.slot not in remembered.drains
        )
        here = {sight.slot for sight in look.sights}
        change = Change(
            count=self._count,
            leftovers=tuple(slot for slot in state.slot_names if slot not in here),
            # A machine more is how a halt ends: if it answers, it is not our network.
            give_up=() if found.halted else tuple(done.slot for done in ended),
            replace=tuple(fault.slot for fault in faults),
        )
        if not change.needed(state.slots or SlotSet()):
            self.hands.rest()
            return remembered
        # Before it begins: should it be cut off, nobody gives work to what it was to end.
        leaving = frozenset({*change.give_up, *change.replace})
        remembered = remembered.model_copy(update={"leaving": leaving})
        self._store(remembered)
        after = health.failed(look.sights, faults, remembered, now)
        machines, hosts = health.avoided(after, now)
        now_on = {s.slot: s.record.machine for s in look.sights if s.record and s.record.machine}
        avoid = Avoid(machines=machines, hosts=hosts, now_on=now_on)
        limits = self.settings.limits(look.known.fleet)
        self.hands.update(fence, look.known, change, avoid, limits.maximum)
        self._replacing = (look.sights, faults)
        for done in ended:
            self.reports.event("giving up", slot=done.slot, reason=done.reason)
        for fault in faults:
            self.reports.event("replacing", slot=fault.slot, reason=fault.reason)
        return remembered

    def _returned(self, remembered: Remembered, known: Known) -> Remembered:
        """`remembered` once what was to end their machines is over: what lives serves again."""
        over = self._settled or (
            self._unfinished and not self.eyes.stale and self.hands.fleet.is_whole(known.state)
        )
        slots = known.state.slots or SlotSet()
        leaving = frozenset[str]() if over else remembered.leaving & set(slots.names)
        return remembered.model_copy(update={"leaving": leaving})

    def ended(self) -> None:
        """Before the process ends: what its last operation came to is remembered."""
        self._collect()
        if self._settled and self._remembered is not None and self.leadership.held:
            self._store(self._remembered.model_copy(update={"leaving": frozenset()}))

    def _landed(self, remembered: Remembered, now: float) -> Remembered:
        """`remembered` once replacements have been made: their machines have failed."""
        if not self._done_replacing:
            return remembered
        (sights, faults), self._replacing = self._replacing, ((), ())
        self._done_replacing = False
        by_slot = {sight.slot: sight for sight in sights}
        for fault in faults:
            sight = by_slot[fault.slot]
            if sight.contract is not None and sight.contract not in remembered.ready:
                self._booted(sight, now, "failed")
        return health.failed(sights, faults, remembered, now)

    # Remembering and telling.

    def _remember(self, remembered: Remembered) -> None:
        self._remembered = remembered
        self._store(remembered)
        self._settled, self._unfinished = False, False

    def _store(self, remembered: Remembered) -> None:
        if remembered != self._stored:
            self.store.remember(remembered)
            self._stored = remembered

    def _report(self) -> None:
        seconds = max(60.0, 6 * self.settings.health_interval_seconds)
        self.store.report(self.reports.status, seconds=seconds)
