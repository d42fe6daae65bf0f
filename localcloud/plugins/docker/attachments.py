"""Which networks a container is made in, and how it gets to the others."""

from dataclasses import dataclass

from localcloud.plugins.docker.daemon import Daemon, answering
from localcloud.plugins.values import Values, maps_of, text_of, texts_of

_BRIDGE = frozenset({"", "bridge", "default"})


@dataclass(frozen=True)
class Attachments:
    """Where a container begins (`None`: where the daemon puts it) and what it joins before it runs.

    `leave` is the network to leave first: whoever names networks is not on the default one.
    """

    begins: Values | None
    joins: tuple[Values, ...]
    leave: str | None = None


def planned(inputs: Values, *, has_bridge: bool) -> Attachments:
    """Plan as the official plugin does: created on `bridge`, disconnected, then connected.

    A daemon with --bridge=none has no such network, and with no network at all a container cannot
    join one later. There it is created in the first of its own networks.
    """
    wanted = tuple(maps_of(inputs, "networksAdvanced"))
    on_bridge = text_of(inputs, "networkMode") in _BRIDGE
    if not wanted or not on_bridge:
        return Attachments(None, wanted)
    if has_bridge:
        return Attachments(None, wanted, leave="bridge")
    return Attachments(wanted[0], wanted[1:])


def mode(inputs: Values, plan: Attachments) -> str | None:
    """The network mode to create with; None leaves it to the daemon."""
    if plan.begins is not None:
        return text_of(plan.begins, "name")
    return text_of(inputs, "networkMode") or None


def endpoint(network: Values) -> Values:
    """One connection as the API takes it."""
    address: Values = {
        "IPv4Address": text_of(network, "ipv4Address"),
        "IPv6Address": text_of(network, "ipv6Address"),
        "LinkLocalIPs": list(texts_of(network, "linkLocalIps")),
    }
    address = {name: value for name, value in address.items() if value}
    made: Values = {
        "Aliases": list(texts_of(network, "aliases")),
        "DriverOpts": dict(_options(network)),
        "MacAddress": text_of(network, "macAddress"),
        "IPAMConfig": address,
    }
    return {name: value for name, value in made.items() if value}


def join(daemon: Daemon, container: str, plan: Attachments) -> None:
    """Leave and connect, as planned."""
    if plan.leave is not None:
        with answering(f"container cannot leave the network {plan.leave}"):
            daemon.api.disconnect_container_from_network(container, plan.leave)
    for network in plan.joins:
        name = text_of(network, "name")
        with answering(f"container cannot join the network {name}"):
            daemon.api.connect_container_to_network(
                container,
                name,
                aliases=texts_of(network, "aliases") or None,
                ipv4_address=text_of(network, "ipv4Address") or None,
                ipv6_address=text_of(network, "ipv6Address") or None,
                link_local_ips=texts_of(network, "linkLocalIps") or None,
                driver_opt=dict(_options(network)) or None,
                mac_address=text_of(network, "macAddress") or None,
            )


def _options(network: Values) -> list[tuple[str, str]]:
    pairs = [option.partition("=") for option in texts_of(network, "driverOpts")]
    return [(name, value) for name, _, value in pairs]
