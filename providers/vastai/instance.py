"""The dynamic resource: one rented machine. Pulumi's edge over `renting` and `client`.

The provider is pickled by reference: this module's path and the type token are part of every
state file and must not change. It has no attributes; keys come from the environment at call time.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from contracts.fleet import Selection, hostname, render_endpoint
from contracts.labels import Label
from providers import agent_router
from providers.vastai.errors import NotFound
from providers.vastai.models import Instance as LiveInstance
from providers.vastai.models import Rental
from providers.vastai.offers import Want
from providers.vastai.renting import Rented
from providers.vastai.runtime import runtime, tailnet_key

Props = dict[str, Any]

# Another value of these means another machine.
IDENTITY = ("label", "gpu", "gpu_count", "disk_gb", "interruptible", "generation")
# The machine will not come back by itself from these; the rule is Vast.ai's own.
DEAD = frozenset({"exited", "offline", "unknown", "outbid"})
# What the next start of the container uses; written at create and when `revision` changes.
TEMPLATE = ("image", "env", "onstart", "args")


@dataclass(frozen=True, kw_only=True)
class InstanceArgs:
    """What a slot asks for. `env` is plain: the tailnet's key is added when renting."""

    label: str
    gpu: str
    gpu_count: int
    disk_gb: int
    image: str
    env: Mapping[str, str]
    onstart: str
    args: list[str]
    selection: Mapping[str, Any]
    endpoint: str
    port: int
    bid: float | None = None
    tailnet: str | None = None
    router: str | None = None
    generation: int = 0
    revision: int = 0
    exclude_machines: tuple[int, ...] = ()
    exclude_hosts: tuple[int, ...] = ()

    def props(self) -> Props:
        """The resource's inputs."""
        return {
            "label": self.label,
            "gpu": self.gpu,
            "gpu_count": self.gpu_count,
            "disk_gb": self.disk_gb,
            "interruptible": self.bid is not None,
            "bid": self.bid,
            "generation": self.generation,
            "revision": self.revision,
            "image": self.image,
            "env": dict(self.env),
            "onstart": self.onstart,
            "args": list(self.args),
            "selection": dict(self.selection),
            "exclude_machines": list(self.exclude_machines),
            "exclude_hosts": list(self.exclude_hosts),
            "endpoint_template": self.endpoint,
            "port": self.port,
            "tailnet": self.tailnet,
            "router": self.router,
        }


class InstanceProvider(ResourceProvider):
    """Create returns as soon as the contract is known; booting is watched elsewhere."""

    serialize_as_secret_always = False  # Nothing secret is pickled; a test proves it.

    def check(self, _olds: Props, news: Props) -> CheckResult:
        """Refuse a label that recovery could not read back."""
        sound = Label.parse(news.get("label")) is not None
        failures = [] if sound else [CheckFailure("label", f"is no label: {news.get('label')!r}")]
        return CheckResult(news, failures)

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        """Identity replaces; a new bid, revision or a lost label updates; the rest is no change."""
        replaces = [key for key in IDENTITY if _differs(olds, news, key)]
        if olds.get("status") in DEAD:
            replaces.append("status")
        # A moved module must be written to state, or the next delete cannot load it.
        moved = olds.get("__provider") != news.get("__provider")
        bid = bool(news.get("interruptible")) and _differs(olds, news, "bid")
        unlabelled = olds.get("live_label", news.get("label")) != news.get("label")
        # Where `delete` deregisters is read from state.
        moved = moved or _differs(olds, news, "router")
        changes = bool(replaces) or moved or bid or unlabelled or _differs(olds, news, "revision")
        return DiffResult(changes=changes, replaces=replaces, delete_before_replace=True)

    def create(self, props: Props) -> CreateResult:
        """Find the machine that carries the label, or rent one."""
        tools = runtime()
        rented = tools.renter.rent(want(props), rental(props))
        return CreateResult(str(rented.contract), {**_kept(props), **outputs(props, rented)})

    def read(self, id_: str, props: Props) -> ReadResult:
        """The live state; empty only when the contract is proved gone."""
        tools = runtime()
        contract = int(id_)
        found = next((i for i in tools.session.instances() if i.id == contract), None)
        if found is None:
            try:
                found = tools.client.instance(contract)
            except NotFound:
                return ReadResult(None, {})
        return ReadResult(id_, {**props, **seen(found)})

    def update(self, id_: str, olds: Props, news: Props) -> UpdateResult:
        """Change bid, label or template in place."""
        client, contract = runtime().client, int(id_)
        if news.get("bid") is not None and _differs(olds, news, "bid"):
            client.bid(contract, float(news["bid"]))
        if olds.get("live_label") != news["label"]:
            client.set_label(contract, str(news["label"]))
        keep = {} if _differs(olds, news, "revision") else {k: olds.get(k) for k in TEMPLATE}
        if not keep:
            order = rental(news)
            client.update_template(
                contract,
                image=order.image,
                env=order.env,
                onstart=order.onstart or "",
                args=order.args,
            )
        # Of the old ones only what is no input: a setting that was removed must not live on.
        live = {key: olds.get(key) for key in OUTPUTS} | {"live_label": news["label"]}
        return UpdateResult({**live, **_kept(news), **keep, **_endpoint(news, contract)})

    def delete(self, id_: str, props: Props) -> None:
        """Deregister, destroy, and return once a read proves the machine gone."""
        if router := props.get("router"):
            agent_router.deregister_quietly(str(router), str(props.get("endpoint")))
        dead = props.get("status") in DEAD
        machine = int(props["machine"]) if dead and props.get("machine") else None
        tools = runtime()
        # Recovery waits for this lock: a provider outlives a killed `pulumi`.
        with tools.session.holding(str(props["label"])):
            tools.renter.end(int(id_), avoid_machine=machine)


class Instance(Resource, module="vastai", name="Instance"):
    """A rented machine; its type token is `pulumi-python:dynamic/vastai:Instance`."""

    contract: pulumi.Output[float]
    machine: pulumi.Output[float]
    host: pulumi.Output[float]
    gpu: pulumi.Output[str]
    gpu_count: pulumi.Output[float]
    image: pulumi.Output[str]
    revision: pulumi.Output[float]
    status: pulumi.Output[str]
    endpoint: pulumi.Output[str]
    cost_per_hour: pulumi.Output[float]

    def __init__(
        self, name: str, args: InstanceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        # Also for `--replace`, where diff has no say: create would adopt what delete then ends.
        safe = pulumi.ResourceOptions(delete_before_replace=True)
        merged = pulumi.ResourceOptions.merge(safe, opts)
        props = dict.fromkeys(OUTPUTS) | args.props()
        super().__init__(InstanceProvider(), name, props, merged)


OUTPUTS = ("contract", "machine", "host", "status", "hostname", "endpoint", "cost_per_hour")


def want(props: Props) -> Want:
    """What the inputs ask Vast.ai for. Numbers arrive as floats."""
    return Want(
        gpu=str(props["gpu"]),
        gpu_count=int(props["gpu_count"]),
        disk_gb=float(props["disk_gb"]),
        bid=None if props.get("bid") is None else float(props["bid"]),
        selection=Selection.model_validate(props.get("selection") or {}),
        exclude_machines=frozenset(map(int, props.get("exclude_machines") or ())),
        exclude_hosts=frozenset(map(int, props.get("exclude_hosts") or ())),
    )


def rental(props: Props) -> Rental:
    """The create body, with what only the environment knows."""
    label = Label.parse(props["label"])
    env = {str(k): str(v) for k, v in (props.get("env") or {}).items()}
    if label is not None:
        env["AGENT_DOCKER_SLOT"] = label.slot
    if props.get("tailnet"):
        env["TAILSCALE_AUTH_KEY"] = tailnet_key(os.environ)
    return Rental(
        image=str(props["image"]),
        disk=float(props["disk_gb"]),
        label=str(props["label"]),
        env=env,
        onstart=props.get("onstart"),
        args=[str(arg) for arg in props.get("args") or ()],
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
        **_kept(told),
        "cost_per_hour": rented.cost_per_hour,
        "status": rented.status,
        "live_label": props["label"],
        **_endpoint(props, rented.contract),
    }


def seen(live: LiveInstance) -> Props:
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


def status(live: LiveInstance) -> str:
    """Vast.ai's status in one word; `outbid` for a bid that lost its GPU.

    A paused interruptible machine is stopped although we still want it running.
    """
    actual = live.actual_status or "loading"
    wanted_running = live.intended_status == "running"
    if live.is_bid and wanted_running and actual in {"stopped", "exited"}:
        return "outbid"
    return actual


def _endpoint(props: Props, contract: int) -> Props:
    label = Label.parse(props["label"])
    slot = label.slot if label else ""
    endpoint = render_endpoint(
        str(props["endpoint_template"]),
        slot=slot,
        contract=contract,
        tailnet=props.get("tailnet"),
        port=int(props["port"]),
    )
    return {"hostname": hostname(slot, contract), "endpoint": endpoint}


def _kept(props: Props) -> Props:
    return {key: value for key, value in props.items() if value is not None}


def _differs(olds: Props, news: Props, key: str) -> bool:
    return bool(olds.get(key) != news.get(key))
