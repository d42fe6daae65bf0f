"""What the autoscaler tells: decision records, the log, metrics and its status, in one place."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from autoscaler.actuator import Outcome
from autoscaler.eyes import Look
from autoscaler.health import Health, Sight
from autoscaler.ledger import Ledger
from autoscaler.metrics import Metrics
from autoscaler.model import Decision, Member, Observed, Phase, Reading
from autoscaler.problems import Problems, Topic
from autoscaler.registrar import Synced
from autoscaler.store import Mode
from contracts.program import PROGRAM_VERSION
from operations.recovery_plan import Recovery
from operations.stack import Applied

_NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One tick as it is reported."""

    look: Look
    found: Health
    ledger: Ledger | None
    operation: str | None


class Reports:
    """The last status, and everything that is said on the way there."""

    def __init__(
        self, metrics: Metrics | None = None, log: structlog.stdlib.BoundLogger | None = None
    ) -> None:
        self.metrics = metrics or Metrics()
        self.log: Any = log or structlog.get_logger()
        self.status: dict[str, Any] = {"leader": False, "version": PROGRAM_VERSION, "problems": {}}
        self.ticked: float | None = None
        self._told: dict[str, str] = {}
        self._decision: dict[str, Any] | None = None
        self._queue: dict[str, Any] | None = None

    # The status.

    def follower(self, at: float) -> None:
        """Another one holds the lease, or nobody knows."""
        self.metrics.leader.set(0)
        self.status = {"at": _time(at), "leader": False, "version": PROGRAM_VERSION}

    def mode(self, mode: Mode) -> None:
        """It leads, in this mode."""
        self.metrics.leader.set(1)
        self.status = {**self.status, "leader": True, "mode": str(mode)}

    def leader(self, at: float, picture: Picture) -> None:
        """The whole picture of this tick."""
        found, book, seen = picture.found, picture.ledger, picture.look.account
        spent = book.spent_today if book else None
        cost = round(sum(machine.dph_total for machine in seen.all), 6)
        self.status |= {
            "at": _time(at),
            "stack": picture.look.known.namer.stack,
            "queue": self._queue,
            "decision": self._decision,
            "slots": [_slot(member) for member in found.members],
            "costPerHour": cost,
            "spentToday": None if spent is None else round(spent, 4),
            "spentTotal": None if book is None else round(book.total, 6),
            "operation": picture.operation,
            "halted": found.halted,
            "strays": [machine.id for machine in seen.strays],
        }
        self.metrics.cost.set(cost)
        self.metrics.spent.set(_NAN if spent is None else spent)
        phases = Counter(member.phase for member in found.members)
        for phase in Phase:
            self.metrics.slots.labels(phase.value).set(phases[phase])

    def problems(self, at: float, problems: Problems) -> None:
        """What keeps it from its work now; each is logged when it comes and when it goes."""
        found = problems.as_dict()
        self.status = {**self.status, "problems": found}
        for topic in Topic:
            self.metrics.problems.labels(topic.value).set(topic.value in found)
        for name, text in found.items():
            if name not in self._told:
                self.log.warning("problem", topic=name, text=text)
        for name in self._told.keys() - found.keys():
            self.log.info("problem is over", topic=name)
        self._told = found
        self.metrics.healthy.set(not found)
        self.metrics.last_tick.set(at)
        self.ticked = time.monotonic()

    # What is seen, decided and done.

    def _saw(self, reading: Reading | None) -> None:
        self._queue = (
            None
            if reading is None
            else {"depth": reading.depth, "inFlight": reading.in_flight, "at": _time(reading.at)}
        )
        in_flight = None if reading is None else reading.in_flight
        self.metrics.queue_depth.set(_NAN if reading is None else reading.depth)
        self.metrics.in_flight.set(_NAN if in_flight is None else in_flight)

    def decision(self, observed: Observed, decision: Decision, mode: Mode) -> dict[str, Any]:
        """The record of one decision: numbers seen, rule, wanted, reason."""
        record = {
            "at": _time(observed.at),
            "mode": str(mode),
            "depth": observed.queue.depth if observed.queue else None,
            "inFlight": observed.queue.in_flight if observed.queue else None,
            "slots": len(observed.members),
            "ready": sum(member.phase is Phase.READY for member in observed.members),
            "starting": sum(member.phase is Phase.STARTING for member in observed.members),
            "costPerHour": round(observed.cost_per_hour, 6),
            "wanted": decision.slots,
            "victims": list(decision.victims),
            "rule": decision.rule,
            "reason": decision.reason,
        }
        self._saw(observed.queue)
        self._decision = record
        self.metrics.decisions.labels(decision.rule).inc()
        self.metrics.wanted.set(decision.slots)
        self.log.info("decision", **record)
        return record

    def event(self, name: str, **details: object) -> None:
        """Something was done to a slot."""
        self.metrics.events.labels(name).inc()
        self.log.info(name, **details)

    def booted(self, record: Mapping[str, Any]) -> None:
        """A machine answered for the first time, or never did."""
        if record["outcome"] == "ready" and record["seconds"] is not None:
            self.metrics.boots.observe(record["seconds"])
        self.log.info("boot", **record)

    def synced(self, done: Synced) -> None:
        """What agent-router was told."""
        for endpoint in done.registered:
            self.event("registered", endpoint=endpoint)
        for endpoint in done.deregistered:
            self.event("deregistered", endpoint=endpoint)

    def ended(self, outcome: Outcome) -> None:
        """How an operation on the stack ended."""
        kind = "done" if outcome.error is None else type(outcome.error).__name__
        self.metrics.operations.labels(outcome.name, kind).inc()
        self.metrics.operation_seconds.labels(outcome.name).observe(outcome.seconds)
        details: dict[str, Any] = {"name": outcome.name, "seconds": round(outcome.seconds, 2)}
        if outcome.error is not None:
            self.log.warning("operation failed", **details, kind=kind, error=str(outcome.error))
            return
        if isinstance(outcome.result, Applied) and outcome.result.state.slots is not None:
            details["slots"] = list(outcome.result.state.slots.names)
        if isinstance(outcome.result, Recovery):
            details |= {k: v for k, v in asdict(outcome.result).items() if v}
        self.log.info("operation done", **details)


def boot(sight: Sight, now: float, outcome: str) -> dict[str, Any]:
    """A record of one boot, for policies that will count on it."""
    began = sight.machine.start_date if sight.machine else None
    record = sight.record
    return {
        "at": round(now, 3),
        "outcome": outcome,
        "seconds": round(now - began, 1) if began else None,
        "slot": sight.slot,
        "contract": sight.contract,
        "machine": record.machine if record else None,
        "host": record.host if record else None,
        "gpu": record.gpu if record else None,
    }


def _slot(member: Member) -> dict[str, Any]:
    return {
        "slot": member.slot,
        "phase": member.phase.value,
        "utilization": round(member.utilization, 3),
        "age": round(member.age, 1),
        "costPerHour": member.cost_per_hour,
    }


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
