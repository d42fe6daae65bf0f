"""What a resource's properties mean to Vast.ai, and Vast.ai's answers as properties. Pure.

Properties come over the engine's wire: numbers are floats, and None is left out.
"""

from collections.abc import Mapping
from typing import Any

from contracts.fleet import Selection, hostname, render_endpoint
from contracts.labels import Label
from providers.vastai.credentials import tailnet_key
from providers.vastai.models import Instance, Rental
from providers.vastai.offers import Want
from providers.vastai.renting import Rented
from providers.vastai.start_script import AUTH_KEY_VARIABLE, ENTRYPOINT, SLOT_VARIABLE, start_args

Props = dict[str, Any]


def want(props: Props) -> Want:
    """What the inputs ask Vast.ai for. Numbers arrive as floats."""
    return Want(
        gpu=str(props["gpu"]),
        gpu_count=int(props["gpu_count"]),
        disk_gb=float(props["disk_gb"]),
        bid=None if props.get("bid") is None else float(props["bid"]),
        selection=Selection.model_validate(props.get("selection") or {}),
        exclude_machines=_ids(props, "exclude_machines"),
        exclude_hosts=_ids(props, "exclude_hosts"),
    )


def rental(props: Props, environ: Mapping[str, str]) -> Rental:
    """The create body, with what only the environment knows."""
    label = Label.parse(props["label"])
    plain: Mapping[str, Any] = props.get("env") or {}
    env = {name: str(value) for name, value in plain.items()}
    if label is not None:
        env[SLOT_VARIABLE] = label.slot
    if props.get("tailnet"):
        env[AUTH_KEY_VARIABLE] = tailnet_key(environ)
    return Rental(
        image=str(props["image"]),
        disk=float(props["disk_gb"]),
        label=str(props["label"]),
        env=env,
        onstart=ENTRYPOINT,
        args=start_args(),
        price=None if props.get("bid") is None else float(props["bid"]),
    )


def outputs(props: Props, rented: Rented) -> Props:
    """What create knows. Identity is that of the machine, so an adopted misfit is replaced."""
    disk = rented.disk_gb
    same_disk = disk is None or abs(disk - float(props["disk_gb"])) < 1  # Hosts round the GB.
    told = {
        "machine": rented.machine,
        "host": rented.host,
        "gpu": rented.gpu,
        "gpu_count": rented.gpu_count,
        "disk_gb": None if same_disk else disk,
        "interruptible": rented.interruptible,
    }
    return {
        "contract": rented.contract,
        **kept(told),
        "cost_per_hour": rented.cost_per_hour,
        "status": rented.status,
        "live_label": props["label"],
        **endpoint(props, rented.contract),
    }


def seen(live: Instance) -> Props:
    """What a read knows; never the environment or the start script that the API echoes."""
    return {
        "contract": live.id,
        "machine": live.machine_id,
        "host": live.host_id,
        "status": status(live),
        "cost_per_hour": live.dph_total,
        # Not None: the engine drops that from state, and a lost label would look like a kept one.
        "live_label": live.label or "",
    }


def status(live: Instance) -> str:
    """Vast.ai's status in one word; `outbid` for a bid that lost its GPU.

    A paused interruptible machine is stopped although we still want it running.
    """
    actual = live.actual_status or "loading"
    wanted_running = live.intended_status == "running"
    if live.is_bid and wanted_running and actual in {"stopped", "exited"}:
        return "outbid"
    return actual


def endpoint(props: Props, contract: int) -> Props:
    """The machine's name in the tailnet and where it answers; known before it boots."""
    label = Label.parse(props["label"])
    slot = label.slot if label else ""
    address = render_endpoint(
        str(props["endpoint_template"]),
        slot=slot,
        contract=contract,
        tailnet=props.get("tailnet"),
        port=int(props["port"]),
    )
    return {"hostname": hostname(slot, contract), "endpoint": address}


def kept(props: Props) -> Props:
    """`props` without what is None: the wire leaves it out anyway."""
    return {key: value for key, value in props.items() if value is not None}


def _ids(props: Props, key: str) -> frozenset[int]:
    numbers: list[float] = props.get(key) or []
    return frozenset(int(number) for number in numbers)
