"""The gpu layer: which slots the fleet has, one machine for each, and what others may know."""

import os

import pulumi

from components.gpu_fleet import GpuFleet, GpuFleetArgs
from contracts import outputs
from contracts.errors import AgentDockerError
from contracts.fence import next_fence, next_update
from contracts.fleet import FleetSettings
from contracts.labels import live_slots
from contracts.program import PROGRAM_VERSION, recover_command
from contracts.slots import Namer, SlotSet, plan, require_known
from providers.vastai.client import VastClient
from providers.vastai.credentials import Credentials, tailnet_key
from providers.vastai.offers import require_gpu
from stacks.last_update import LastUpdate
from stacks.settings import load, offline, owner_id, refuse, required


def build() -> None:
    """Rent what the settings ask for."""
    fleet = required("fleet", FleetSettings)
    try:
        last = LastUpdate()
        config = pulumi.Config()
        fence = next_fence(config.get_int("fence"), last.output(outputs.FENCE))
        number = next_update(config.get_int("base"), last.output(outputs.UPDATES))
        owner = owner_id(last)
        slots = _slots(fleet, owner, last)
    except AgentDockerError as error:
        raise refuse(error) from None
    args = GpuFleetArgs(settings=fleet, slots=slots.slots, owner=owner, stack=pulumi.get_stack())
    machines = GpuFleet("fleet", args)
    pulumi.export(outputs.SLOTS, slots.model_dump(mode="json"))
    pulumi.export(outputs.INSTANCES, machines.instances)
    pulumi.export(outputs.COST_PER_HOUR, machines.cost_per_hour)
    pulumi.export(outputs.OWNER, owner)
    pulumi.export(outputs.PROGRAM, PROGRAM_VERSION)
    pulumi.export(outputs.HEALTH_PATH, fleet.health_path)
    pulumi.export(outputs.FENCE, fence)
    pulumi.export(outputs.UPDATES, number)
    # As it was given: a service starts from the last update that was accepted.
    pulumi.export(outputs.FLEET, config.require_object("fleet"))


def _slots(fleet: FleetSettings, owner: str, last: LastUpdate) -> SlotSet:
    """The slots of this update.

    Refuses what would end machines in vain: one that no slot accounts for lives, the GPU does not
    exist, or a machine could not join the tailnet.
    """
    stack = pulumi.get_stack()
    explicit, recorded = load("slots", SlotSet), last.output(outputs.SLOTS)
    before = None if recorded is None else SlotSet.model_validate(recorded)
    namer = Namer(owner=owner, stack=stack, shards=fleet.shard_count)
    slots = plan(fleet, last=before, explicit=explicit, namer=namer)
    # The planned ones too: what a failed update rented of them is adopted by the next.
    known = [*slots.names, *(before.names if before else ())]
    if fleet.tailnet is not None:
        tailnet_key(os.environ)
    with _client() as client:
        labels = [instance.label for instance in client.instances()]
        live = live_slots(labels, owner=owner, stack=stack)
        require_known(live, known, recover=recover_command(stack, offline=offline()))
        if fleet.gpu not in _gpus(last):
            require_gpu(fleet.gpu, client.gpu_names())
    return slots


def _client() -> VastClient:
    return VastClient(Credentials.read(os.environ))


def _gpus(last: LastUpdate) -> set[str]:
    """GPUs of the last update: these exist."""
    return {str(record["gpu"]) for record in last.output(outputs.INSTANCES) or ()}
