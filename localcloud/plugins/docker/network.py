"""The resource type Network and the function getNetwork."""

from collections.abc import Mapping
from typing import Any

from localcloud.plugins.docker.creation import labels_of
from localcloud.plugins.docker.daemon import Daemon, answering, unless_gone
from localcloud.plugins.docker.readback import labels
from localcloud.plugins.docker.sameness import same
from localcloud.plugins.docker.shapes import GET_NETWORK, NETWORK
from localcloud.plugins.docker.waits import until
from localcloud.plugins.model import Call, Found, Function, Made, Old, PluginError, ResourceType
from localcloud.plugins.shapes import written
from localcloud.plugins.values import (
    Properties,
    Value,
    Values,
    flag_of,
    maps_of,
    string_map_of,
    text_of,
)

# As long as the official plugin waits for the last container to leave.
DELETE_SECONDS = 30.0


def create(call: Call[Daemon], inputs: Properties) -> Made:
    """Create it; a second one of the same name is refused."""
    name = text_of(inputs, "name")
    with answering(f"network {name} cannot be created"):
        made = call.client.api.create_network(
            name,
            driver=text_of(inputs, "driver") or None,
            options=string_map_of(inputs, "options") or None,
            ipam=_ipam(inputs),
            check_duplicate=True,
            internal=flag_of(inputs, "internal"),
            labels=labels_of(inputs) or None,
            enable_ipv6=flag_of(inputs, "ipv6"),
            attachable=flag_of(inputs, "attachable") or None,
            ingress=flag_of(inputs, "ingress") or None,
        )
    found = inspect(call, made["Id"])
    if found is None:
        raise PluginError(f"network {name} was removed while it was created")
    return Made(made["Id"], _state(found))


def inspect(call: Call[Daemon], network: str) -> Mapping[str, Any] | None:
    """`docker network inspect`; None when there is none of that id or name."""
    with answering(f"network {network[:12]} cannot be inspected"), unless_gone():
        found: Mapping[str, Any] = call.client.api.inspect_network(network)
        return found
    return None


def read(call: Call[Daemon], old: Old) -> Found | None:
    """Look at the network; an import may name it by name or id."""
    found = inspect(call, old.id)
    if found is None:
        return None
    state = _state(found)
    return Found(found["Id"], state, written(state, NETWORK))


def delete(call: Call[Daemon], old: Old) -> None:
    """Remove it once the last container has left."""
    name = text_of(old.outputs, "name", old.id[:12])

    def is_free() -> bool:
        found = inspect(call, old.id)
        return found is None or not found.get("Containers")

    if not until(is_free, call, DELETE_SECONDS):
        raise PluginError(
            f"network {name} cannot be removed: containers are still connected after"
            f" {DELETE_SECONDS:g} s\nhint: remove or disconnect them: docker network inspect {name}"
        )
    with answering(f"network {name} cannot be removed"), unless_gone():
        call.client.api.remove_network(old.id)


def get_network(call: Call[Daemon], given: Properties) -> Values:
    """Find a network that somebody else made."""
    name = text_of(given, "name")
    found = inspect(call, name)
    if found is None:
        raise PluginError(
            f"no network {name} on {call.client.host}\nhint: docker network create {name}"
        )
    state = _state(found)
    kept = ("driver", "internal", "ipamConfigs", "name", "options", "scope")
    return {
        **{key: state[key] for key in kept},
        "id": found["Id"],
        "containers": [_container(key, item) for key, item in _sorted(found, "Containers")],
    }


def _ipam(inputs: Values) -> Values | None:
    configs: list[Value] = [
        {
            "Subnet": config.get("subnet"),
            "Gateway": config.get("gateway"),
            "IPRange": config.get("ipRange"),
            "AuxiliaryAddresses": config.get("auxAddress"),
        }
        for config in maps_of(inputs, "ipamConfigs")
    ]
    driver, options = text_of(inputs, "ipamDriver"), string_map_of(inputs, "ipamOptions")
    if not (configs or driver or options):
        return None
    ipam: Values = {"Driver": driver or "default", "Config": configs}
    return {**ipam, "Options": dict(options)} if options else ipam


def _state(found: Mapping[str, Any]) -> Values:
    ipam: Mapping[str, Any] = found.get("IPAM") or {}
    configs: list[Mapping[str, Any]] = ipam.get("Config") or []
    return {
        "name": found["Name"],
        "driver": found["Driver"],
        "scope": found["Scope"],
        "internal": found["Internal"],
        "attachable": found["Attachable"],
        "ingress": found["Ingress"],
        "ipv6": found["EnableIPv6"],
        "options": found.get("Options") or {},
        "labels": labels(found.get("Labels")),
        "ipamDriver": ipam.get("Driver"),
        "ipamOptions": ipam.get("Options") or {},
        "ipamConfigs": [_config(config) for config in configs],
    }


def _config(config: Mapping[str, Any]) -> Value:
    made: Values = {
        "subnet": config.get("Subnet"),
        "gateway": config.get("Gateway"),
        "ipRange": config.get("IPRange"),
        "auxAddress": config.get("AuxiliaryAddresses"),
    }
    return {name: value for name, value in made.items() if value}


def _sorted(found: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    items: Mapping[str, Any] = found.get(name) or {}
    return sorted(items.items())


def _container(container: str, found: Mapping[str, Any]) -> Value:
    return {
        "containerId": container,
        "endpointId": found["EndpointID"],
        "ipv4Address": found["IPv4Address"],
        "ipv6Address": found["IPv6Address"],
        "macAddress": found["MacAddress"],
        "name": found["Name"],
    }


TYPE = ResourceType[Daemon](
    token="docker:index/network:Network",  # noqa: S106 - a type's name
    inputs=NETWORK,
    create=create,
    read=read,
    delete=delete,
    computed=frozenset({"scope"}),
    autoname="name",
    same=same,
)
GET = Function[Daemon](
    token="docker:index/getNetwork:getNetwork",  # noqa: S106 - likewise
    inputs=GET_NETWORK,
    run=get_network,
)
