"""Where an agent lives and listens: its namespace and its ports."""

import re
from dataclasses import dataclass

from ossa import sources
from ossa.health import Health, port_number
from ossa.reader import Found, Reader
from ossa.spec import Sourced

DEFAULT_PORT = 3000
_NAMESPACE = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class Ports:
    """The container's port, and the one under which its service is reached."""

    container: Sourced[int]
    service: Sourced[int]


def namespace(reader: Reader) -> Sourced[str | None]:
    """The namespace that the document asks for; None leaves it to the deployment."""
    for path in sources.NAMESPACE:
        found = reader.find(path)
        if found is not None and isinstance(found.value, dict):
            # The extension also tells how to create it, with or without a name.
            found = reader.inner(found, "name")
        if found is not None:
            allowed = "lower-case letters, digits and -, at most 63, no - at either end"
            return Sourced(reader.matching(found, _NAMESPACE, allowed), found.at)
    return Sourced(None)


def ports(reader: Reader, health: Health) -> Ports:
    """The ports by the first place that names one; the service's is the container's own."""
    container = _container(reader, health)
    named = reader.find(sources.SERVICE_PORT)
    number = port_number(reader, named) if named is not None else None
    if named is None or number is None:
        return Ports(container=container, service=Sourced(container.value))
    return Ports(container=container, service=Sourced(number, named.at))


def _container(reader: Reader, health: Health) -> Sourced[int]:
    found = reader.find(sources.PORT) or _first_of_list(reader)
    probe = health.first_port
    if found is None and probe is not None and probe.port is not None:
        return Sourced(probe.port, probe.source)
    found = found or reader.find(sources.TARGET_PORT)
    number = port_number(reader, found) if found is not None else None
    return Sourced(DEFAULT_PORT) if found is None or number is None else Sourced(number, found.at)


def _first_of_list(reader: Reader) -> Found | None:
    found = reader.find(sources.PORTS)
    if found is None or found.value == []:
        return None
    if not isinstance(found.value, list):
        reader.wrong_type(found, "a list")
        return None
    first = Found(at=f"{found.at}/0", value=found.value[0])
    return reader.inner(first, "containerPort") or first
