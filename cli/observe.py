"""Putting together what the stack records, what the account lists and what answers."""

from collections.abc import Mapping, Sequence

from cli import health
from cli.profile import Kind
from cli.views import FleetView, SlotView
from contracts.outputs import HEALTH_PATH, InstanceOutput
from operations.fleet import Fleet, Known
from operations.state import StackState
from providers.vastai.models import Instance


def observe(
    fleet: Fleet,
    profile: Kind,
    *,
    known: Known | None = None,
    healthy: Mapping[str, bool] | None = None,
) -> FleetView:
    """The fleet as it is now; `known` and `healthy` spare a second look right after a first."""
    known = known or fleet.known()
    records = {record.slot: record for record in fleet.instances(known.state)}
    live = fleet.live_of(known)
    answers = health.probe(health_urls(fleet, known.state)) if healthy is None else healthy
    names = known.state.slots.names if known.state.slots else ()
    slots = tuple(
        _slot(name, records.get(name), live.get(name, ()), answers=answers.get(name, False))
        for name in names
    )
    recorded = {record.contract for record in records.values()}
    strays = [m for machines in live.values() for m in machines if m.id not in recorded]
    return FleetView(
        profile=profile,
        stack=fleet.stack.target.stack,
        slots=slots,
        # An orphan costs money too.
        cost_per_hour=round(sum(m.dph_total for machines in live.values() for m in machines), 6),
        orphans=tuple(f"{m.label} (contract {m.id})" for m in strays),
    )


def health_urls(fleet: Fleet, state: StackState) -> dict[str, str]:
    """Where each recorded machine says whether it is healthy, by slot."""
    path = str(state.outputs.get(HEALTH_PATH, ""))
    return {record.slot: record.endpoint + path for record in fleet.instances(state)}


def _slot(
    name: str, record: InstanceOutput | None, live: Sequence[Instance], *, answers: bool
) -> SlotView:
    machine = next((m for m in live if record and m.id == record.contract), None)
    return SlotView(
        slot=name,
        contract=record.contract if record else None,
        machine=record.machine if record else None,
        gpu=f"{record.gpu_count} x {record.gpu}" if record else "-",
        status=(machine.actual_status or "loading") if machine else "gone",
        healthy=answers and machine is not None,
        # What the account says now wins over what was agreed when it was rented.
        cost_per_hour=machine.dph_total if machine else 0.0,
        endpoint=record.endpoint if record else "-",
        image=record.image if record else "-",
    )
