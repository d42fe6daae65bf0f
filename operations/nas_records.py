"""What the nas stack records: its services, its documents, and who is held back. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from contracts import outputs
from contracts.nas import Held, NasDocuments
from contracts.outputs import ServiceOutput
from contracts.program import PROJECT
from contracts.settings import parse
from operations.errors import NoSuchService, Refused
from operations.state import StackState

CONTAINER = "docker:index/container:Container"
RECORD = "cloudflare:index/dnsRecord:DnsRecord"
TUNNEL = "cloudflare:index/zeroTrustTunnelCloudflared:ZeroTrustTunnelCloudflared"
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


def containers_of(state: StackState) -> frozenset[str]:
    """Ids of the recorded containers, those too that only write files."""
    return frozenset(one.id for one in state.there if one.kind == CONTAINER)


def require_foreign(documents: NasDocuments, state: StackState) -> None:
    """Refused when the settings take over what the stack has by itself, or under another name.

    The engine would put it in the place of the old one, and delete the old one: the very same.
    """
    ingress = documents.ingress
    if ingress is None:
        return
    wanted = [
        (f"ingress.records.{name}", RECORD, name, ingress.zone_id, id_)
        for name, id_ in ingress.records.items()
    ]
    if ingress.tunnel_id is not None:
        tunnel = ("ingress.tunnelId", TUNNEL, "tunnel", ingress.account_id, ingress.tunnel_id)
        wanted.insert(0, tunnel)
    own = [
        f"{setting}: this stack has {id_} already"
        for setting, kind, name, owner, id_ in wanted
        for one in state.there
        if (one.kind, one.id) == (kind, id_)
        and (one.name, one.imported) != (name, f"{owner}/{id_}")
    ]
    if own:
        raise Refused(
            "\n".join(own),
            hint="take it out of the settings: taking it over would delete it at Cloudflare; "
            "nothing was changed",
        )


def service_of(services: Sequence[ServiceOutput], name: str) -> ServiceOutput:
    """The service of that name; NoSuchService says which there are."""
    for service in services:
        if service.name == name:
            return service
    known = ", ".join(service.name for service in services) or "none"
    raise NoSuchService(f"there is no service {name!r}", hint=f"the services are: {known}")
