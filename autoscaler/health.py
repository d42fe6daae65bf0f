"""Which slots are ready, and which need another machine. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from autoscaler.model import Member, Phase
from autoscaler.remembered import Attempt, Failure, Remembered
from contracts.outputs import InstanceOutput
from providers.vastai.models import Instance

# By Vast.ai's word these never answer again by themselves (reference of its API).
DEAD = frozenset({"exited", "offline", "unknown", "outbid", "stopped"})
DEAD_GRACE = 30.0
# As cluster-autoscaler: with so many silent at once, more likely it is we who cannot hear.
HALT_SHARE = 0.45
_FIRST_WAIT, _LONGEST_WAIT = 60.0, 1800.0
_MACHINE_WAIT, _LONGEST_MACHINE_WAIT = 600.0, 86_400.0
_FAILED_HOST = 2
# A machine that answers once and dies has mended nothing.
_PROVEN = 600.0


@dataclass(frozen=True, kw_only=True)
class Deadlines:
    """Seconds until a machine that never answered, or stopped answering, is replaced."""

    boot: float = 300.0
    unhealthy: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Sight:
    """One slot in one tick.

    `record` is what the stack knows of its machine, `machine` what the account lists; `gone` when
    a read has proved that there is none. `registered` (the router sends it work), `in_flight` and
    `utilization` are the router's words.
    """

    slot: str
    record: InstanceOutput | None
    machine: Instance | None
    gone: bool = False
    answered: bool = False
    registered: bool = False
    in_flight: int | None = None
    utilization: float | None = None

    @property
    def contract(self) -> int | None:
        """The rental's id."""
        return self.record.contract if self.record else None

    @property
    def dead(self) -> bool:
        """Whether Vast.ai itself says that it does not run."""
        status = self.machine.actual_status if self.machine else None
        return self.gone or (not self.answered and status in DEAD)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A slot whose machine is to be replaced, and why."""

    slot: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Health:
    """What a look at the fleet came to. `halted` says why nothing is replaced or given up.

    `suspects` are the slots that perhaps only we cannot hear; they keep their work meanwhile.
    """

    members: tuple[Member, ...]
    faults: tuple[Fault, ...] = ()
    halted: str | None = None
    suspects: frozenset[str] = frozenset()


def heard(sights: Iterable[Sight], remembered: Remembered, now: float) -> Remembered:
    """`remembered` after this look: who answered for the first time, who is silent since when."""
    ready, silent, attempts = dict(remembered.ready), dict(remembered.silent), {}
    contracts: set[int] = set()
    for sight in sights:
        if sight.slot in remembered.attempts and not _proven(sight, ready, now):
            attempts[sight.slot] = remembered.attempts[sight.slot]
        if sight.contract is None:
            continue
        contracts.add(sight.contract)
        if sight.registered:
            # It was ready once, whatever is remembered: else nobody would have registered it.
            ready.setdefault(sight.contract, now)
        if sight.answered:
            ready.setdefault(sight.contract, now)
            silent.pop(sight.contract, None)
        else:
            silent.setdefault(sight.contract, now)
    return remembered.model_copy(
        update={
            "ready": {c: at for c, at in ready.items() if c in contracts},
            "silent": {c: at for c, at in silent.items() if c in contracts},
            "attempts": attempts,
        }
    )


def _proven(sight: Sight, ready: Mapping[int, float], now: float) -> bool:
    """Whether it has worked for so long that what went before it counts no more."""
    since = ready.get(sight.contract or 0)
    return sight.answered and since is not None and now - since >= _PROVEN


def judge(
    sights: Sequence[Sight],
    remembered: Remembered,
    now: float,
    deadlines: Deadlines,
    *,
    deaf: bool = False,
) -> Health:
    """Members for the policy, and the slots whose machine has failed for good.

    `deaf` when the router does not answer either: one more sign that it is we who cannot hear.
    """
    members = tuple(_member(sight, remembered, now) for sight in sights)
    phases = {member.slot: member.phase for member in members}
    faults = [
        Fault(slot=sight.slot, reason=reason)
        for sight in sights
        if (reason := _fault(sight, remembered, now, deadlines)) is not None
    ]
    silent = [s for s in sights if phases[s.slot] is Phase.UNHEALTHY and not s.dead]
    nobody = len(sights) > 1 and not any(sight.answered for sight in sights)
    late: list[Sight] = []
    if nobody and (silent or deaf):
        # Whether they have ever answered may be forgotten, or it may have come just too late.
        faulty = {fault.slot for fault in faults}
        starting = [s for s in sights if phases[s.slot] is Phase.STARTING and not s.dead]
        late = [sight for sight in starting if sight.slot in faulty]
        silent += late
    halted, suspects = None, frozenset[str]()
    many = len(silent) > 1 and len(silent) > HALT_SHARE * len(sights)
    # Those that boot cannot tell yet; once one of them answers, we know that we hear.
    if many or (nobody and silent):
        halted = f"{len(silent)} of {len(sights)} machines fell silent: is it our network?"
        # One that has never served is still tried elsewhere: if that answers, it was not us.
        suspects = frozenset(sight.slot for sight in silent if sight not in late[:1])
        faults = [fault for fault in faults if fault.slot not in suspects]
    return Health(members=members, faults=tuple(faults), halted=halted, suspects=suspects)


def serves(sight: Sight, found: Health, remembered: Remembered) -> bool:
    """Whether it gets work: it answers, or it did and perhaps only we cannot hear it now."""
    record = sight.record
    registered = record is not None and record.endpoint in remembered.registered
    return sight.answered or (sight.slot in found.suspects and registered)


def due(faults: Iterable[Fault], remembered: Remembered, now: float) -> tuple[Fault, ...]:
    """The faults whose slot may be replaced now: the more often in vain, the later again."""
    return tuple(fault for fault in faults if now >= _next_attempt(fault.slot, remembered))


def failed(
    sights: Iterable[Sight], faults: Iterable[Fault], remembered: Remembered, now: float
) -> Remembered:
    """`remembered` once these faults are acted on."""
    by_slot = {sight.slot: sight for sight in sights}
    failures, attempts = dict(remembered.failures), dict(remembered.attempts)
    for fault in faults:
        tried = attempts.get(fault.slot)
        attempts[fault.slot] = Attempt(count=tried.count + 1 if tried else 1, last=now)
        record = by_slot[fault.slot].record
        if record is not None and record.machine is not None:
            before = failures.get(record.machine)
            failures[record.machine] = Failure(
                count=before.count + 1 if before else 1, last=now, host=record.host
            )
    return remembered.model_copy(update={"failures": failures, "attempts": attempts})


def avoided(remembered: Remembered, now: float) -> tuple[frozenset[int], frozenset[int]]:
    """Machines and hosts that are not rented again yet.

    A machine for 10 min, doubled with each failure up to a day; a host while two of its machines
    are avoided.
    """
    machines = {
        machine
        for machine, failure in remembered.failures.items()
        if now < failure.last + _doubled(_MACHINE_WAIT, failure.count, _LONGEST_MACHINE_WAIT)
    }
    hosts = [remembered.failures[machine].host for machine in machines]
    return (
        frozenset(machines),
        frozenset(h for h in hosts if h is not None and hosts.count(h) >= _FAILED_HOST),
    )


def pruned(remembered: Remembered, slots: Iterable[str], now: float) -> Remembered:
    """Without what can have no effect any more; keeps the document small."""
    names = set(slots)
    failures: Mapping[int, Failure] = {
        machine: failure
        for machine, failure in remembered.failures.items()
        if now < failure.last + 2 * _LONGEST_MACHINE_WAIT
    }
    attempts = {slot: attempt for slot, attempt in remembered.attempts.items() if slot in names}
    return remembered.model_copy(update={"failures": failures, "attempts": attempts})


def _member(sight: Sight, remembered: Remembered, now: float) -> Member:
    began = sight.machine.start_date if sight.machine else now
    # A listing may lag behind what the stack knows.
    recorded = sight.record.cost_per_hour if sight.record and not sight.gone else None
    cost = sight.machine.dph_total if sight.machine else recorded
    return Member(
        slot=sight.slot,
        phase=_phase(sight, remembered),
        utilization=_utilization(sight),
        age=max(0.0, now - began),
        cost_per_hour=cost or 0.0,
        empty=cost is None,
    )


def _utilization(sight: Sight) -> float:
    """0 to 1; a machine that serves something is busy when nobody says how much."""
    if sight.utilization is None:
        return 1.0 if sight.in_flight else 0.0
    return min(max(sight.utilization, 0.0), 1.0)


def _phase(sight: Sight, remembered: Remembered) -> Phase:
    drain = remembered.drains.get(sight.slot)
    if drain is not None and drain.contract == sight.contract:
        return Phase.DRAINING
    if sight.answered:
        return Phase.READY
    if sight.dead or (sight.contract is not None and sight.contract in remembered.ready):
        return Phase.UNHEALTHY
    return Phase.STARTING


def _fault(sight: Sight, remembered: Remembered, now: float, deadlines: Deadlines) -> str | None:
    if sight.answered:
        return None
    if sight.contract is None or sight.gone:
        return "its machine is gone"
    since = now - remembered.silent.get(sight.contract, now)
    status = sight.machine.actual_status if sight.machine else None
    if sight.dead and since >= DEAD_GRACE:
        return f"Vast.ai says {status}"
    if sight.contract in remembered.ready:
        return f"silent for {since:.0f} s" if since >= deadlines.unhealthy else None
    # Since we listen, not since it was rented: what was remembered may be lost, the clock set.
    return f"not ready after {since:.0f} s" if since >= deadlines.boot else None


def _next_attempt(slot: str, remembered: Remembered) -> float:
    tried = remembered.attempts.get(slot)
    return 0.0 if tried is None else tried.last + _doubled(_FIRST_WAIT, tried.count, _LONGEST_WAIT)


def _doubled(first: float, count: int, longest: float) -> float:
    # A count beyond any sense must not overflow.
    return min(first * 2.0 ** min(count - 1, 30), longest)
