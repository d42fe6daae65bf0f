"""The GPU fleet: one rented machine a slot."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pulumi

from contracts.fleet import FleetSettings, render_endpoint
from contracts.labels import Label
from contracts.outputs import InstanceOutput
from contracts.slots import Slot
from providers.vastai.instance import Instance, InstanceArgs
from providers.vastai.start_script import MODELS_VARIABLE, digest

# pulumi.dynamic runs this many operations in one process; a contract test pins it.
_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True)
class GpuFleetArgs:
    """`settings`, `slots` and the identity shape the graph, so they are plain data."""

    settings: FleetSettings
    slots: Sequence[Slot]
    owner: str
    stack: str


class GpuFleet(pulumi.ComponentResource):
    """One machine a slot; a slot that is no longer named gives its machine up.

    `instances` holds one record a slot (contracts.outputs.InstanceOutput), `cost_per_hour` the
    sum of their prices in $/h.
    """

    instances: pulumi.Output[list[dict[str, Any]]]
    cost_per_hour: pulumi.Output[float]

    def __init__(
        self, name: str, args: GpuFleetArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("agent-docker:gpu:GpuFleet", name, None, opts)
        shards = self._shards({slot.shard for slot in args.slots})
        machines: list[tuple[Slot, Instance]] = []
        for slot in args.slots:
            shard = [machine for other, machine in machines if other.shard == slot.shard]
            turn = shard[-_AT_ONCE] if len(shard) >= _AT_ONCE else None
            machines.append((slot, self._machine(slot, args, shards, turn)))
        records = [_record(slot, machine, args.settings) for slot, machine in machines]
        self.instances = pulumi.Output.all(*records).apply(list)
        self.cost_per_hour = self.instances.apply(_total)
        self.register_outputs({"instances": self.instances, "costPerHour": self.cost_per_hour})

    def _shards(self, numbers: set[int]) -> dict[int, pulumi.ProviderResource]:
        # One provider process runs four operations at once. Shard 0 is the default provider.
        return {
            number: pulumi.ProviderResource(
                "pulumi-python", f"shard-{number}", {}, pulumi.ResourceOptions(parent=self)
            )
            for number in sorted(numbers - {0})
        }

    def _machine(
        self,
        slot: Slot,
        args: GpuFleetArgs,
        shards: dict[int, pulumi.ProviderResource],
        turn: Instance | None,
    ) -> Instance:
        opts = pulumi.ResourceOptions(parent=self, provider=shards.get(slot.shard))
        wanted = instance_args(slot, args)
        return Instance(slot.name, replace(wanted, label=_after(turn, str(wanted.label))), opts)


def instance_args(slot: Slot, args: GpuFleetArgs) -> InstanceArgs:
    """What one slot asks for under the fleet's settings."""
    fleet = args.settings
    label = Label(owner=args.owner, stack=args.stack, slot=slot.name)
    return InstanceArgs(
        label=str(label),
        gpu=fleet.gpu,
        gpu_count=fleet.gpu_count,
        disk_gb=fleet.disk_gb,
        bid=fleet.bid_per_hour,
        image=fleet.image,
        env=dict(fleet.env) | {MODELS_VARIABLE: ",".join(fleet.models)},
        script=digest(),
        selection=fleet.selection.model_dump(mode="json"),
        endpoint=fleet.endpoint,
        port=fleet.port,
        tailnet=fleet.tailnet,
        router=fleet.router,
        generation=slot.generation,
        revision=slot.revision,
        exclude_machines=slot.exclude_machines,
        exclude_hosts=slot.exclude_hosts,
    )


async def _after(turn: Instance | None, value: str) -> str:
    """`value`, once `turn` is done; a plain awaitable, so no dependency is recorded.

    The engine checks one resource after the other, and a check needs one of its shard's four
    threads. A fifth machine of a shard, registered too early, would hold up all other shards.
    """
    if turn is not None:
        with suppress(Exception):  # Its failure is the engine's to report.
            await turn.urn.future()
    return value


def _record(slot: Slot, machine: Instance, fleet: FleetSettings) -> pulumi.Output[dict[str, Any]]:
    seen = pulumi.Output.all(
        contract=machine.contract,
        machine=machine.machine,
        host=machine.host,
        gpu=machine.gpu,
        gpu_count=machine.gpu_count,
        cost_per_hour=machine.cost_per_hour,
        status=machine.status,
        image=machine.image,
        revision=machine.revision,
    )

    def build(values: dict[str, Any]) -> dict[str, Any]:
        contract = int(values.pop("contract"))
        endpoint = render_endpoint(
            fleet.endpoint,
            slot=slot.name,
            contract=contract,
            tailnet=fleet.tailnet,
            port=fleet.port,
        )
        record = InstanceOutput.model_validate(
            {"slot": slot.name, "contract": contract, "endpoint": endpoint, **values},
            by_name=True,
        )
        return record.model_dump(mode="json")

    return seen.apply(build)


def _total(records: list[dict[str, Any]]) -> float:
    return round(sum(float(record["costPerHour"]) for record in records), 6)
