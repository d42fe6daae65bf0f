"""The gpu layer: which slots the fleet has, one machine for each, and what others may know."""

import os
import re
from collections.abc import Iterable

import pulumi

from components.gpu_fleet import GpuFleet, GpuFleetArgs
from contracts import outputs
from contracts.errors import AgentDockerError, SettingsError
from contracts.fleet import FleetSettings
from contracts.labels import OWNER_PATTERN, live_slots
from contracts.program import PROGRAM_VERSION, recover_command
from contracts.slots import Namer, SlotSet, plan, require_known
from providers.vastai.client import VastClient
from providers.vastai.credentials import Credentials
from stacks.last_update import last_output
from stacks.settings import load, offline, refuse, required


def build() -> None:
    """Rent what the settings ask for."""
    fleet = required("fleet", FleetSettings)
    try:
        owner = _owner()
        slots = _slots(fleet, owner)
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


def _owner() -> str:
    owner, stack = pulumi.Config().get("owner"), pulumi.get_stack()
    if not owner:
        raise SettingsError(
            f"Pulumi.{stack}.yaml has no agent-docker:owner, so machines could not be told apart",
            hint=f"run `agent-docker init {stack}` once; it writes a random owner id",
        )
    if not re.fullmatch(OWNER_PATTERN, owner):
        raise SettingsError(f"agent-docker:owner must match {OWNER_PATTERN}, got {owner!r}")
    return owner


def _slots(fleet: FleetSettings, owner: str) -> SlotSet:
    """The slots of this update; refuses while a machine lives that no slot accounts for."""
    stack = pulumi.get_stack()
    explicit, recorded = load("slots", SlotSet), last_output(outputs.SLOTS)
    last = None if recorded is None else SlotSet.model_validate(recorded)
    known = [*(explicit.names if explicit else ()), *(last.names if last else ())]
    recover = recover_command(stack, offline=offline())
    require_known(live_slots(_live_labels(), owner=owner, stack=stack), known, recover=recover)
    namer = Namer(owner=owner, stack=stack, shards=fleet.shard_count)
    return plan(fleet, last=last, explicit=explicit, namer=namer)


def _live_labels() -> Iterable[str | None]:
    with VastClient(Credentials.read(os.environ)) as client:
        return [instance.label for instance in client.instances()]
