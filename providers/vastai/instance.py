"""The dynamic resource: one rented machine. Pulumi's edge over `renting` and `client`.

The provider is pickled by reference: this module's path and the type token are part of every
state file and must not change. It has no attributes; keys come from the environment at call time.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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

from contracts.labels import Label

# Most updates only check and diff. What talks to Vast.ai is imported by the operations that do:
# it would be half of the CPU seconds of an update that changes nothing.
if TYPE_CHECKING:
    from providers.vastai.runtime import Runtime

Props = dict[str, Any]

# Another value of these means another machine.
IDENTITY = ("label", "gpu", "gpu_count", "disk_gb", "interruptible", "generation")
# The machine will not come back by itself from these; the rule is Vast.ai's own.
DEAD = frozenset({"exited", "offline", "unknown", "outbid"})
# What the next start of the container uses; written at create and when `revision` changes.
TEMPLATE = ("image", "env", "script")


@dataclass(frozen=True, kw_only=True)
class InstanceArgs:
    """What a slot asks for.

    `env` is plain: the tailnet's key is added when renting. `script` is the start script's
    digest; the script itself is the provider's own and would only bloat the state.
    """

    label: pulumi.Input[str]
    gpu: str
    gpu_count: int
    disk_gb: int
    image: str
    env: Mapping[str, str]
    script: str
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
            "script": self.script,
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
        from providers.vastai import records  # noqa: PLC0415 - as above

        order = records.rental(props, os.environ)
        rented = runtime().renter.rent(records.want(props), order)
        outs = {**records.kept(props), **records.outputs(props, rented)}
        return CreateResult(str(rented.contract), outs)

    def read(self, id_: str, props: Props) -> ReadResult:
        """The live state; empty only when the contract is proved gone."""
        from providers.vastai import records  # noqa: PLC0415 - as above
        from providers.vastai.errors import NotFound  # noqa: PLC0415 - as above

        tools = runtime()
        contract = int(id_)
        found = next((i for i in tools.session.instances() if i.id == contract), None)
        if found is None:
            try:
                found = tools.client.instance(contract)
            except NotFound:
                return ReadResult(None, {})
        return ReadResult(id_, {**props, **records.seen(found)})

    def update(self, id_: str, olds: Props, news: Props) -> UpdateResult:
        """Change bid, label or template in place."""
        from providers.vastai import records  # noqa: PLC0415 - as above

        client, contract = runtime().client, int(id_)
        if news.get("bid") is not None and _differs(olds, news, "bid"):
            client.bid(contract, float(news["bid"]))
        if olds.get("live_label") != news["label"]:
            client.set_label(contract, str(news["label"]))
        keep = {} if _differs(olds, news, "revision") else {k: olds.get(k) for k in TEMPLATE}
        if not keep:
            order = records.rental(news, os.environ)
            client.update_template(
                contract,
                image=order.image,
                env=order.env,
                onstart=order.onstart or "",
                args=order.args,
            )
        # Of the old ones only what is no input: a setting that was removed must not live on.
        live = {key: olds.get(key) for key in OUTPUTS} | {"live_label": news["label"]}
        return UpdateResult(
            {**live, **records.kept(news), **keep, **records.endpoint(news, contract)}
        )

    def delete(self, id_: str, props: Props) -> None:
        """Deregister, destroy, and return once a read proves the machine gone."""
        from providers import agent_router  # noqa: PLC0415 - as above

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


def runtime() -> "Runtime":
    """The client and session of this process, made on first use."""
    from providers.vastai.runtime import runtime as made  # noqa: PLC0415 - as above

    return made()


def _differs(olds: Props, news: Props, key: str) -> bool:
    return bool(olds.get(key) != news.get(key))
