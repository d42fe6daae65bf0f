"""Putting one tick's picture together: what the stack records, what lives, what answers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoscaler.health import Sight
from autoscaler.world import CloudPort, Probe
from contracts import outputs
from contracts.fleet import render_endpoint
from contracts.labels import Label
from contracts.outputs import InstanceOutput
from operations.known import Known
from operations.state import RecordedMachine
from providers.vastai.errors import NotFound
from providers.vastai.models import Instance


@dataclass(frozen=True, kw_only=True)
class Account:
    """The machines of this owner and stack; `strays` are in no slot of the state."""

    recorded: Mapping[int, Instance]
    strays: tuple[Instance, ...]
    missing: tuple[int, ...]

    @property
    def all(self) -> tuple[Instance, ...]:
        """Every machine that costs money here."""
        return (*self.recorded.values(), *self.strays)

    @property
    def differs(self) -> bool:
        """Whether account and state do not name the same machines."""
        return bool(self.strays or self.missing)


def account(known: Known, listed: Iterable[Instance]) -> Account:
    """The part of a listing that is this stack's, compared with what the stack records."""
    contracts = {machine.contract for machine in known.state.machines}
    owner, stack = known.namer.owner, known.namer.stack
    ours: dict[int, Instance] = {}
    for instance in listed:
        label = Label.parse(instance.label)
        if label is not None and (label.owner, label.stack) == (owner, stack):
            ours[instance.id] = instance
    return Account(
        recorded={i: machine for i, machine in ours.items() if i in contracts},
        strays=tuple(machine for i, machine in ours.items() if i not in contracts),
        missing=tuple(sorted(contracts - ours.keys())),
    )


def proved_gone(cloud: CloudPort, contracts: Iterable[int]) -> frozenset[int]:
    """Those of `contracts` that a read proves gone; a listing may just have missed one."""
    gone: set[int] = set()
    for contract in contracts:
        try:
            cloud.instance(contract)
        except NotFound:
            gone.add(contract)
    return frozenset(gone)


def sights(
    known: Known,
    seen: Account,
    *,
    gone: frozenset[int],
    rows: Sequence[Mapping[str, Any]],
    probe: Probe,
) -> tuple[Sight, ...]:
    """Each slot as it is now."""
    machines = {machine.slot: machine for machine in known.state.machines}
    names = known.state.slots.names if known.state.slots else ()
    records = {
        name: record_of(known, machines[name], seen.recorded.get(machines[name].contract))
        for name in names
        if name in machines
    }
    path = str(known.state.outputs.get(outputs.HEALTH_PATH) or known.fleet.health_path)
    answers = probe(
        {
            name: record.endpoint + path
            for name, record in records.items()
            if record.contract not in gone
        }
    )
    by_endpoint = {str(row.get("endpoint")): row for row in rows}
    return tuple(
        _sight(name, records.get(name), seen, gone, answers, by_endpoint) for name in names
    )


def record_of(known: Known, machine: RecordedMachine, live: Instance | None) -> InstanceOutput:
    """What is known of a recorded machine.

    The outputs of an update that failed half-way may lack machines, or all of them; the resources
    in the state do not.
    """
    written: Sequence[Mapping[str, Any] | None]
    written = known.state.outputs.get(outputs.INSTANCES) or ()
    for row in written:
        if row and row.get("slot") == machine.slot and row.get("contract") == machine.contract:
            return InstanceOutput.model_validate(row)
    fleet = known.fleet
    return InstanceOutput.model_validate(
        {
            "slot": machine.slot,
            "contract": machine.contract,
            "machine": live.machine_id if live else None,
            "host": live.host_id if live else None,
            "gpu": fleet.gpu,
            "gpuCount": fleet.gpu_count,
            "costPerHour": live.dph_total if live else 0.0,
            "endpoint": render_endpoint(
                fleet.endpoint,
                slot=machine.slot,
                contract=machine.contract,
                tailnet=fleet.tailnet,
                port=fleet.port,
            ),
            "status": machine.status,
            "image": fleet.image,
        }
    )


def _sight(
    name: str,
    record: InstanceOutput | None,
    seen: Account,
    gone: frozenset[int],
    answers: Mapping[str, bool],
    rows: Mapping[str, Mapping[str, Any]],
) -> Sight:
    row: Mapping[str, Any] = rows.get(record.endpoint, {}) if record else {}
    return Sight(
        slot=name,
        record=record,
        machine=seen.recorded.get(record.contract) if record else None,
        gone=record is None or record.contract in gone,
        answered=answers.get(name, False),
        registered=bool(row) and not row.get("draining"),
        in_flight=_count(row.get("in_flight")),
        utilization=_share(row.get("utilization")),
    )


def _count(value: object) -> int | None:
    # `true` is a number to Python; from a router it is a mistake, and silence is not idleness.
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _share(value: object) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and 0 <= value <= 1 else None  # type: ignore[operator, arg-type]
