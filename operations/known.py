"""What a stack records, read together with the settings it was made from."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contracts import outputs
from contracts.errors import SettingsError
from contracts.fleet import FleetSettings
from contracts.labels import Label
from contracts.program import PROGRAM_VERSION, PROJECT
from contracts.settings import parse
from contracts.slots import Namer
from operations.errors import OperationError
from operations.stack import Stack
from operations.state import StackState
from providers.vastai.client import VastClient
from providers.vastai.models import Instance


class NewerProgram(OperationError):
    """The stack was written by a program newer than this service; it holds."""

    exit_code = 4


@dataclass(frozen=True, kw_only=True)
class Known:
    """The recorded state with the settings it was made from."""

    state: StackState
    fleet: FleetSettings
    namer: Namer

    def fits(self, machine: Instance) -> bool:
        """Whether an update with these settings would leave `machine` as it is.

        What Vast.ai does not say of a machine counts as right.
        """
        fleet = self.fleet
        said = (
            (machine.gpu_name or fleet.gpu) == fleet.gpu,
            (machine.num_gpus or fleet.gpu_count) == fleet.gpu_count,
            abs((machine.disk_space or fleet.disk_gb) - fleet.disk_gb) < 1,
            machine.is_bid in {None, fleet.bid_per_hour is not None},
        )
        return all(said)

    def machines(self, client: VastClient) -> dict[str, list[Instance]]:
        """Every machine of this owner and stack that lives, by slot."""
        found: dict[str, list[Instance]] = defaultdict(list)
        for instance in client.instances():
            label = Label.parse(instance.label)
            if label and (label.owner, label.stack) == (self.namer.owner, self.namer.stack):
                found[label.slot].append(instance)
        return dict(found)


def known_of(stack: Stack, *, verify: bool = False) -> Known:
    """What `stack` records; refuses one that a newer program wrote, or that has no owner."""
    seen = stack.snapshot(verify=verify)
    require_program(seen.state)
    name = stack.target.stack
    where = f"Pulumi.{name}.yaml"
    # Pulumi's own record of settings holds those of an update that the program refused, too.
    document = seen.state.fleet or _value(seen.settings, "fleet")
    fleet = parse(FleetSettings, document, where=where, key="fleet")
    owner = _value(seen.settings, "owner")
    if not owner:
        raise SettingsError(f"{where} has no agent-docker:owner, so no machine is known as its")
    namer = Namer(owner=str(owner), stack=name, shards=fleet.shard_count)
    return Known(state=seen.state, fleet=fleet, namer=namer)


def require_program(state: StackState) -> None:
    """Refuse to touch a stack that a newer program wrote."""
    wrote = str(state.outputs.get(outputs.PROGRAM) or PROGRAM_VERSION)
    if _version(wrote) > _version(PROGRAM_VERSION):
        raise NewerProgram(
            f"the stack was last updated by program {wrote}, this is {PROGRAM_VERSION}",
            hint="update this installation of agent-docker",
        )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _value(settings: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401 - any YAML value
    return settings.get(f"{PROJECT}:{key}", settings.get(key))
