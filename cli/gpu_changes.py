"""`agent-docker gpu …`, changing: how many machines there are, which, and who sends them work."""

import ipaddress
from collections.abc import Callable, Sequence
from typing import Annotated
from urllib.parse import urlsplit

import typer

from cli import health
from cli.context import Json, Production, SlotName, Slots, changing, chosen
from cli.ending import complain
from cli.gpu import known_of, record_of
from cli.observe import health_urls
from cli.profile import Profile
from cli.progress import Progress, progress
from cli.views import out, show_json, talk
from contracts.errors import AgentDockerError, SettingsError
from contracts.outputs import InstanceOutput
from operations.fleet import Fleet, Known
from operations.router import RouterGate

_HEALTHY_SECONDS = 300.0
Router = Annotated[
    str | None,
    typer.Option(help="agent-router's URL, instead of the settings' fleet.router.", metavar="URL"),
]
Deadline = Annotated[
    float, typer.Option(min=0, help="Seconds that requests in flight are given to end.")
]


class NoRouter(SettingsError):
    """The settings name no agent-router."""


class NotHealthyAgain(AgentDockerError):
    """A changed machine does not answer."""


def scale(
    count: Annotated[int, typer.Argument(min=0, help="Slots, within the settings' min and max.")],
    *,
    victim: Annotated[
        list[str] | None, typer.Option(help="A slot to give up first; may be repeated.")
    ] = None,
    production: Production = False,
    as_json: Json = False,
) -> None:
    """Grow or shrink the fleet; machines that stay are not touched."""
    with changing("gpu scale", production=production) as profile, progress() as shown:
        shown.say("reading the stack")
        applied = profile.fleet(shown.on_event).resize(count, victims=victim or ())
    names = applied.state.slots.names if applied.state.slots else ()
    if len(names) != count:
        talk.print(f"{count} is outside fleet.min..max; held at {len(names)}")
    if as_json:
        show_json({"slots": names, "changed": applied.changed})
    else:
        out.print(f"{len(names)} slots: {', '.join(names) or 'none'}")


def replace(slot: SlotName, *, production: Production = False, as_json: Json = False) -> None:
    """Put a slot on another machine than the one that it has now."""
    with changing("gpu replace", production=production) as profile, progress() as shown:
        shown.say("reading the stack")
        fleet = profile.fleet(shown.on_event)
        applied = fleet.replace(slot)
        record = next(r for r in fleet.instances(applied.state) if r.slot == slot)
    if as_json:
        show_json(record)
    else:
        out.print(f"{slot} is on machine {record.machine} now, contract {record.contract}")


def roll(
    slots: Slots = None,
    *,
    router: Router = None,
    deadline: Deadline = 120.0,
    production: Production = False,
    as_json: Json = False,
) -> None:
    """Start containers anew with the settings' image and models, one drained slot at a time."""
    with changing("gpu roll", production=production) as profile, progress() as shown:
        shown.say("reading the stack")
        fleet = profile.fleet(shown.on_event)
        known = fleet.known()
        gate = _gate(profile, known, router, deadline)
        records = [record_of(fleet, known, name) for name in _names(known, slots)]
        for record in records:
            with shown.phase(record.slot, f"rolling {record.slot}"):
                _roll(fleet, known, gate, record, shown)
    if as_json:
        show_json({"rolled": [record.slot for record in records]})
    else:
        out.print(f"rolled: {', '.join(r.slot for r in records) or 'no slots'}")


def register(
    slots: Slots = None,
    *,
    router: Router = None,
    production: Production = False,
    as_json: Json = False,
) -> None:
    """Tell agent-router to send work to slots."""
    profile = chosen(production=production)

    def act(gate: RouterGate, record: InstanceOutput) -> dict[str, object]:
        gate.register(record)
        talk.print(f"{record.slot} registered")
        return {"slot": record.slot, "endpoint": record.endpoint}

    _each(profile, slots, router, 0.0, act, as_json=as_json)


def drain(
    slots: Slots = None,
    *,
    router: Router = None,
    deadline: Deadline = 120.0,
    production: Production = False,
    as_json: Json = False,
) -> None:
    """Take slots out of agent-router and wait until they are idle."""
    profile = chosen(production=production)

    def act(gate: RouterGate, record: InstanceOutput) -> dict[str, object]:
        with progress() as shown:
            shown.say(f"draining {record.slot}")
            done = gate.drain(record)
        idle = "idle" if done.idle else "not known to be idle"
        talk.print(f"{record.slot} drained in {done.waited:.0f} s: {idle}")
        return {"slot": record.slot, "idle": done.idle, "waited": round(done.waited, 1)}

    _each(profile, slots, router, deadline, act, as_json=as_json)


def _each(
    profile: Profile,
    slots: Sequence[str] | None,
    router: str | None,
    deadline: float,
    act: Callable[[RouterGate, InstanceOutput], dict[str, object]],
    *,
    as_json: bool,
) -> None:
    fleet, known = known_of(profile)
    gate = _gate(profile, known, router, deadline)
    if gate.url is None:
        raise NoRouter("fleet.router is not set", hint="set it, or name agent-router by --router")
    # All are looked up before the first is acted on.
    records = [record_of(fleet, known, name) for name in _names(known, slots)]
    rows = [act(gate, record) for record in records]
    if as_json:
        show_json(rows)


def _names(known: Known, slots: Sequence[str] | None) -> Sequence[str]:
    return slots or (known.state.slots.names if known.state.slots else ())


def _gate(profile: Profile, known: Known, router: str | None, deadline: float) -> RouterGate:
    if router is not None and profile.kind == "local" and not _is_loopback(router):
        raise SettingsError(
            f"--router {router} is not on this machine, and the local profile reaches nothing else",
            hint="name a router on loopback, or add --production",
        )
    url = router or known.fleet.router
    return RouterGate(url=url, models=known.fleet.models, deadline=deadline)


def _is_loopback(url: str) -> bool:
    try:
        return ipaddress.ip_address(urlsplit(url).hostname or "").is_loopback
    except ValueError:
        return urlsplit(url).hostname == "localhost"


def _roll(
    fleet: Fleet, known: Known, gate: RouterGate, record: InstanceOutput, shown: Progress
) -> None:
    slot = record.slot
    shown.say(f"draining {slot}")
    gate.drain(record)
    try:
        shown.say(f"restarting {slot}")
        fleet.roll(slot)
        _wait_healthy(fleet, known, slot, shown)
        gate.register(record)
    except BaseException:
        if gate.url is not None:
            complain(
                f"{slot} gets no work: agent-router no longer knows it",
                f"once it answers, run `agent-docker gpu register {slot}`",
                kind="warning",
            )
        raise


def _wait_healthy(fleet: Fleet, known: Known, slot: str, shown: Progress) -> None:
    seen = health.wait(
        {slot: health_urls(fleet, known.state)[slot]},
        deadline=_HEALTHY_SECONDS,
        on_progress=lambda _: shown.say(f"waiting until {slot} answers"),
    )
    if not seen[slot]:
        raise NotHealthyAgain(
            f"{slot} does not answer {_HEALTHY_SECONDS:.0f} s after its restart",
            hint=f"see `agent-docker gpu logs {slot}`; no further slot was touched",
        )
