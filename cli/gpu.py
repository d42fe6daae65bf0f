"""`agent-docker gpu …`: the fleet, one machine at a time."""

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from cli import health
from cli.context import Json, Production, SlotName, chosen
from cli.profile import Profile
from cli.progress import Progress, progress
from cli.views import out, show_json, show_rows
from contracts.errors import AgentDockerError
from contracts.fleet import FleetSettings
from contracts.outputs import HEALTH_PATH, InstanceOutput
from operations.fleet import Fleet, Known, NoSuchSlot
from operations.router import RouterGate
from providers.vastai.offers import Want, choose, price, score

app = typer.Typer(no_args_is_help=True, help="The GPU fleet: offers, machines, logs, changes.")

_HEALTHY_SECONDS = 300.0
Slots = Annotated[
    list[str] | None, typer.Argument(help="Slots; none means all.", metavar="[SLOT]...")
]


class NoRouter(AgentDockerError):
    """The settings name no agent-router."""

    exit_code = 2


class NotHealthyAgain(AgentDockerError):
    """A changed machine does not answer."""


@app.command()
def offers(
    *,
    limit: Annotated[int, typer.Option(min=1, help="Rows to show.")] = 15,
    refused: Annotated[
        bool, typer.Option("--refused", help="Show refused offers, each with its reason.")
    ] = False,
    production: Production = False,
    as_json: Json = False,
) -> None:
    """What could be rented now under the settings, best first; rents nothing."""
    profile = chosen(production=production)
    fleet = _known(profile)[1].fleet
    want = _want(fleet)
    with profile.vast() as client:
        choice = choose(client.search(want.query()), want)
    rows = [
        {
            "offer": offer.id,
            "machine": offer.machine_id,
            "host": offer.host_id,
            "$/h": round(price(offer, want), 4),
            "$/h per dlperf": round(score(offer, want), 5),
            "reliability": round(offer.reliability2, 4),
            "place": offer.geolocation,
        }
        for offer in choice.ranked
    ]
    if refused:
        rows = [
            {"offer": r.offer, "machine": r.machine, "reason": r.reason} for r in choice.refused
        ]
    if as_json:
        show_json(rows)
    else:
        show_rows(f"{len(rows)} offers {'refused' if refused else 'fit'}", rows[:limit])
    if not choice.ranked:
        raise typer.Exit(1)


@app.command()
def instances(*, production: Production = False, as_json: Json = False) -> None:
    """Every machine of this stack that lives on the account, known to the stack or not."""
    profile = chosen(production=production)
    fleet, known = _known(profile)
    recorded = {machine.contract for machine in known.state.machines}
    rows = [
        {
            "slot": slot,
            "contract": machine.id,
            "machine": machine.machine_id,
            "status": machine.actual_status or "loading",
            "$/h": round(machine.dph_total, 4),
            "known": "yes" if machine.id in recorded else "no: orphan",
        }
        for slot, machines in sorted(fleet.live_of(known).items())
        for machine in machines
    ]
    if as_json:
        show_json(rows)
    else:
        show_rows("machines that live", rows)


@app.command()
def logs(
    slot: SlotName,
    *,
    tail: Annotated[int, typer.Option(min=1, help="Lines to show.")] = 100,
    production: Production = False,
) -> None:
    """The last lines that a slot's container printed."""
    profile = chosen(production=production)
    fleet, known = _known(profile)
    record = _record(fleet, known, slot)
    with profile.vast() as client:
        out.print(client.logs(record.contract, tail=tail), markup=False, end="")


@app.command()
def scale(
    count: Annotated[int, typer.Argument(min=0, help="Slots, within the settings' min and max.")],
    *,
    victim: Annotated[
        list[str] | None, typer.Option(help="A slot to give up first; may be repeated.")
    ] = None,
    production: Production = False,
) -> None:
    """Grow or shrink the fleet; machines that stay are not touched."""
    profile = chosen(production=production)
    with progress() as shown:
        applied = profile.fleet(shown.on_event).resize(count, victims=victim or ())
    names = applied.state.slots.names if applied.state.slots else ()
    out.print(f"{len(names)} slots: {', '.join(names) or 'none'}")


@app.command()
def replace(slot: SlotName, *, production: Production = False) -> None:
    """Put a slot on another machine; never again on the one that it has now."""
    profile = chosen(production=production)
    with progress() as shown:
        fleet = profile.fleet(shown.on_event)
        applied = fleet.replace(slot)
        record = next(r for r in fleet.instances(applied.state) if r.slot == slot)
    out.print(f"{slot} is on machine {record.machine} now, contract {record.contract}")


@app.command()
def roll(slots: Slots = None, *, production: Production = False) -> None:
    """Start containers anew with the settings' image and models, one drained slot at a time."""
    profile = chosen(production=production)
    with progress() as shown:
        fleet = profile.fleet(shown.on_event)
        known = fleet.known()
        gate = _gate(known.fleet)
        for name in _names(known, slots):
            record = _record(fleet, known, name)
            with shown.phase(name, f"rolling {name}"):
                gate.drain(record)
                fleet.roll(name)
                _wait_healthy(record, known, shown)
                gate.register(record)
    out.print("rolled: every container runs what the settings say")


@app.command()
def register(slots: Slots = None, *, production: Production = False) -> None:
    """Tell agent-router to send work to slots; the autoscaler does so by itself."""
    _each(slots, production, "registered", lambda gate, record: gate.register(record))


@app.command()
def drain(slots: Slots = None, *, production: Production = False) -> None:
    """Take slots out of agent-router and wait until they are idle."""
    _each(slots, production, "drained", lambda gate, record: gate.drain(record))


def _each(
    slots: Sequence[str] | None,
    production: bool,
    done: str,
    act: Callable[[RouterGate, InstanceOutput], object],
) -> None:
    fleet, known = _known(chosen(production=production))
    gate = _gate(known.fleet)
    if gate.url is None:
        raise NoRouter("fleet.router is not set", hint="name agent-router's URL in fleet.router")
    for name in _names(known, slots):
        act(gate, _record(fleet, known, name))
        out.print(f"{name} {done}")


def _known(profile: Profile) -> tuple[Fleet, Known]:
    with progress() as shown:
        shown.say("reading the stack")
        fleet = profile.fleet(shown.on_event)
        return fleet, fleet.known()


def _names(known: Known, slots: Sequence[str] | None) -> Sequence[str]:
    return slots or (known.state.slots.names if known.state.slots else ())


def _record(fleet: Fleet, known: Known, slot: str) -> InstanceOutput:
    records = {record.slot: record for record in fleet.instances(known.state)}
    if slot not in records:
        raise NoSuchSlot(
            f"the fleet has no machine in slot {slot!r}",
            hint=f"its slots: {', '.join(records) or 'none'}",
        )
    return records[slot]


def _want(fleet: FleetSettings) -> Want:
    return Want(
        gpu=fleet.gpu,
        gpu_count=fleet.gpu_count,
        disk_gb=fleet.disk_gb,
        bid=fleet.bid_per_hour,
        selection=fleet.selection,
    )


def _gate(fleet: FleetSettings) -> RouterGate:
    return RouterGate(url=fleet.router, models=fleet.models)


def _wait_healthy(record: InstanceOutput, known: Known, shown: Progress) -> None:
    url = record.endpoint + str(known.state.outputs.get(HEALTH_PATH, ""))
    seen = health.wait(
        {record.slot: url},
        deadline=_HEALTHY_SECONDS,
        on_progress=lambda _: shown.say(f"waiting until {record.slot} answers"),
    )
    if not seen[record.slot]:
        raise NotHealthyAgain(
            f"{record.slot} does not answer {_HEALTHY_SECONDS:.0f} s after its restart",
            hint=f"see `agent-docker gpu logs {record.slot}`; no further slot was touched",
        )
