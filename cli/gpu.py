"""`agent-docker gpu …`, looking: what could be rented, what lives, what it prints."""

from typing import Annotated

import typer

from cli.context import Json, Production, SlotName, chosen
from cli.profile import Profile
from cli.progress import progress
from cli.views import out, show_json, show_rows
from contracts.outputs import InstanceOutput
from operations.fleet import Fleet, Known, NoSuchSlot
from providers.vastai.offers import Want, choose, price, score


def offers(
    *,
    limit: Annotated[int, typer.Option(min=1, help="Rows to show.")] = 15,
    refused: Annotated[
        bool, typer.Option("--refused", help="Show refused offers, each with its reason.")
    ] = False,
    production: Production = False,
    as_json: Json = False,
) -> None:
    """What could be rented now under the settings, best first; rents nothing. 1 if nothing fits."""
    profile = chosen(production=production)
    want = Want.of(known_of(profile)[1].fleet)
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
            out.print(f"{choice.why_none(want)}: see --refused", markup=False)
    if not choice.ranked:
        raise typer.Exit(1)


def instances(*, production: Production = False, as_json: Json = False) -> None:
    """Every machine of this stack that lives on the account, known to the stack or not."""
    fleet, known = known_of(chosen(production=production))
    recorded = {machine.contract for machine in known.state.machines}
    rows = [
        {
            "slot": slot,
            "contract": machine.id,
            "machine": machine.machine_id,
            "status": machine.actual_status or "loading",
            "$/h": round(machine.dph_total, 4),
            "known": machine.id in recorded,
        }
        for slot, machines in sorted(fleet.live_of(known).items())
        for machine in machines
    ]
    if as_json:
        show_json(rows)
    else:
        said = {True: "yes", False: "no: orphan"}
        show_rows(
            "machines that live", [{**row, "known": said[bool(row["known"])]} for row in rows]
        )


def logs(
    slot: SlotName,
    *,
    tail: Annotated[int, typer.Option(min=1, help="Lines to show.")] = 100,
    production: Production = False,
    as_json: Json = False,
) -> None:
    """The last lines that a slot's container printed."""
    profile = chosen(production=production)
    fleet, known = known_of(profile)
    record = record_of(fleet, known, slot)
    with profile.vast() as client:
        text = client.logs(record.contract, tail=tail)
    if as_json:
        show_json({"slot": slot, "contract": record.contract, "lines": text.splitlines()})
    else:
        out.print(text, markup=False, end="")


def known_of(profile: Profile) -> tuple[Fleet, Known]:
    """The profile's fleet and what it records, with something to see meanwhile."""
    with progress() as shown:
        shown.say("reading the stack")
        fleet = profile.fleet(shown.on_event)
        return fleet, fleet.known()


def record_of(fleet: Fleet, known: Known, slot: str) -> InstanceOutput:
    """The machine in `slot`; NoSuchSlot when there is none."""
    records = {record.slot: record for record in fleet.instances(known.state)}
    if slot not in records:
        raise NoSuchSlot(
            f"the fleet has no machine in slot {slot!r}",
            hint=f"its slots: {', '.join(records) or 'none'}",
        )
    return records[slot]
