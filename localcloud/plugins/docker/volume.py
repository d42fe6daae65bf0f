"""The resource type Volume."""

from collections.abc import Mapping
from typing import Any

from localcloud.plugins.docker.creation import labels_of
from localcloud.plugins.docker.daemon import Daemon, answering, unless_gone
from localcloud.plugins.docker.readback import labels
from localcloud.plugins.docker.sameness import same
from localcloud.plugins.docker.shapes import VOLUME
from localcloud.plugins.model import Call, Found, Made, Old, ResourceType
from localcloud.plugins.shapes import Refusal, written
from localcloud.plugins.values import Properties, Values, string_map_of, text_of


def check(inputs: Properties) -> list[Refusal]:
    """Refuse what this plugin does not do."""
    if "cluster" not in inputs:
        return []
    reason = "the offline docker plugin does not do a volume's cluster (Swarm): leave it out"
    return [Refusal("cluster", reason)]


def create(call: Call[Daemon], inputs: Properties) -> Made:
    """Create it. The daemon hands out the one that has this name already, with its data."""
    name = text_of(inputs, "name")
    with answering(f"volume {name} cannot be created"):
        found: Mapping[str, Any] = call.client.api.create_volume(
            name,
            driver=text_of(inputs, "driver") or None,
            driver_opts=string_map_of(inputs, "driverOpts") or None,
            labels=labels_of(inputs) or None,
        )
    return Made(name, _state(found))


def read(call: Call[Daemon], old: Old) -> Found | None:
    """Look at the volume; its id is its name."""
    found: Mapping[str, Any] | None = None
    with answering(f"volume {old.id} cannot be inspected"), unless_gone():
        found = call.client.api.inspect_volume(old.id)
    if found is None:
        return None
    state = _state(found)
    return Found(found["Name"], state, written(state, VOLUME))


def delete(call: Call[Daemon], old: Old) -> None:
    """Remove it with its data; one that is in use is refused by the daemon."""
    with answering(f"volume {old.id} cannot be removed"), unless_gone():
        call.client.api.remove_volume(old.id)


def _state(found: Mapping[str, Any]) -> Values:
    return {
        "name": found["Name"],
        "driver": found["Driver"],
        "driverOpts": found.get("Options") or {},
        "labels": labels(found.get("Labels")),
        "mountpoint": found["Mountpoint"],
    }


TYPE = ResourceType[Daemon](
    token="docker:index/volume:Volume",  # noqa: S106 - a type's name
    inputs=VOLUME,
    create=create,
    read=read,
    delete=delete,
    computed=frozenset({"mountpoint"}),
    autoname="name",
    check=check,
    same=same,
)
