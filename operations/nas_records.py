"""What the nas stack records: its services, its documents, and who is held back. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from contracts import outputs
from contracts.nas import Held, NasDocuments
from contracts.outputs import ServiceOutput
from contracts.program import PROJECT
from contracts.settings import parse
from operations.errors import NoSuchService
from operations.state import StackState

_SERVICES = TypeAdapter(list[ServiceOutput])
_DOCUMENTS = ("nas", "services", "ingress", "images", "backups", outputs.HELD)


def documents_of(
    settings: Mapping[str, Any], state: StackState | None, *, where: str
) -> NasDocuments:
    """The documents in `settings`, and who is held back by `state` where they do not say."""
    # A stack's own record of its settings has their full names.
    known = {key.removeprefix(f"{PROJECT}:"): value for key, value in settings.items()}
    given = {key: known[key] for key in _DOCUMENTS if known.get(key) is not None}
    if state is not None:
        given.setdefault(outputs.HELD, state.outputs.get(outputs.HELD) or {})
    return parse(NasDocuments, given, where=where, key=PROJECT)


def recorded(state: StackState) -> list[ServiceOutput]:
    """The services in a recorded state, in the order of the settings."""
    return _SERVICES.validate_python(state.outputs.get(outputs.SERVICES) or [], by_alias=True)


def held_in(state: StackState) -> dict[str, Held]:
    """Who is held back in a recorded state."""
    found: Mapping[str, Any] = state.outputs.get(outputs.HELD) or {}
    return {name: Held.model_validate(row) for name, row in found.items()}


def dumped(held: Mapping[str, Held]) -> dict[str, Any]:
    """The same as the stack's settings have it."""
    return {name: one.model_dump(mode="json") for name, one in held.items()}


def service_of(services: Sequence[ServiceOutput], name: str) -> ServiceOutput:
    """The service of that name; NoSuchService says which there are."""
    for service in services:
        if service.name == name:
            return service
    known = ", ".join(service.name for service in services) or "none"
    raise NoSuchService(f"there is no service {name!r}", hint=f"the services are: {known}")
