"""Settings of the NAS itself and of the ingress, and what must hold across all its documents."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Literal, Self

from pydantic import Field, RootModel, field_validator, model_validator

from contracts.backups import BackupSettings
from contracts.images import pinned, require_versioned
from contracts.outputs import ServiceOutput
from contracts.services import TUNNEL_TOKEN, Service, Services
from contracts.settings import Strict

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
REGISTRY_PASSWORD = "registry-password"  # noqa: S105 - its name
_CLOUDFLARE_ID = r"^[0-9a-f]{32}$"
_DAEMON = r"^(unix:///|ssh://|tcp://127\.)\S*$"
_ANYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - refused


class Registry(Strict):
    """A registry that asks who one is; the password is the secret `registry-password`."""

    address: str = Field(description="Its host, e.g. `registry.gitlab.com`.")
    username: str = Field(description="A deploy token's name.")


class NasSettings(Strict):
    """The machine that the services run on."""

    docker: str = Field(
        pattern=_DAEMON,
        description="Its Docker daemon: `ssh://user@host`, or `unix:///var/run/docker.sock`.",
    )
    ssh_options: tuple[str, ...] = Field(
        default=(), description="Options of the ssh command, e.g. `-o`, `ControlMaster=auto`."
    )
    hostname: str | None = Field(
        default=None, pattern=r"^[a-z0-9.-]+$", description="Its name in the tailnet."
    )
    network: str = Field(
        default="agent-platform",
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$",
        description="Docker network on which services talk by name.",
    )
    prefix: str = Field(
        default="",
        pattern=r"^[a-z0-9-]*$",
        description="Before the name of each container and volume.",
    )
    publish: str | None = Field(
        default="127.0.0.1",
        description="Address of the NAS on which ports are open: loopback, its tailnet's, or none.",
    )
    registry: Registry | None = Field(default=None, description="Where own images come from.")
    swap_limit: bool = Field(
        default=True,
        description="Services get no swap; false where the NAS's kernel does not count swap: "
        "`docker info` warns `No swap limit support`.",
    )

    @field_validator("publish")
    @classmethod
    def _publish_is_an_address(cls, publish: str | None) -> str | None:
        if publish is None:
            return None
        try:
            address = ip_address(publish)
        except ValueError:
            raise ValueError(f"must be an IP address of the NAS or null, got {publish!r}") from None
        if publish in _ANYWHERE or address.is_unspecified:
            raise ValueError(
                f"{publish} would open every service to the whole network, past any firewall"
            )
        return publish


class Access(Strict):
    """Who may come in where a host is not public."""

    emails: tuple[str, ...] = Field(default=(), description="People by e-mail address.")
    email_domains: tuple[str, ...] = Field(default=(), description="Everybody of these domains.")
    service_tokens: tuple[str, ...] = Field(
        default=(), description="Names of machine clients; each gets a token of its own."
    )
    session: str = Field(
        default="24h", pattern=r"^\d+(m|h)$", description="How long a login holds, e.g. `24h`."
    )
    token_lifetime: str = Field(
        default="8760h", pattern=r"^\d+h$", description="How long a service token holds."
    )


class IngressSettings(Strict):
    """The Cloudflare tunnel, its hosts, and who may use them."""

    zone: str = Field(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$", description="The DNS zone.")
    account_id: str = Field(pattern=_CLOUDFLARE_ID, description="Cloudflare's id of the account.")
    zone_id: str = Field(pattern=_CLOUDFLARE_ID, description="Cloudflare's id of the zone.")
    tunnel: str = Field(default="agent-platform", min_length=1, description="The tunnel's name.")
    tunnel_id: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        description="A tunnel that exists and is taken over; none means a new one.",
    )
    origin: Literal["container", "tailnet"] = Field(
        default="container",
        description="How the tunnel reaches a service: by name, or by `nas.hostname`.",
    )
    team: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9-]+$",
        description="Access team; with it the tunnel itself checks that Access let a request in.",
    )
    access: Access = Field(default_factory=Access, description="Who may come in.")
    records: dict[str, str] = Field(
        default_factory=dict,
        description="Cloudflare's ids of DNS records that exist and are taken over, by host name.",
    )


class Held(Strict):
    """A service that was put back to its last good image, until another one is declared."""

    failed: str = Field(description="The declared image that is not used.")
    image: str = Field(description="The image that is used instead.")
    reason: str = Field(description="Why.")

    @field_validator("image")
    @classmethod
    def _image_names_a_version(cls, image: str) -> str:
        return require_versioned(image)


class HeldServices(RootModel[dict[str, Held]]):
    """Every service that is held back, by name."""


class Digests(RootModel[dict[str, Digest]]):
    """The digest of each image reference, as a registry told it."""


@dataclass(frozen=True, kw_only=True)
class PublicHost:
    """One host: its full name, the URL its requests go to, and whether anyone may come."""

    label: str
    fqdn: str
    origin: str
    public: bool


class NasDocuments(Strict):
    """All documents of the nas stack, checked against each other."""

    nas: NasSettings
    services: Services
    ingress: IngressSettings | None = None
    images: Digests = Digests({})
    backups: BackupSettings | None = None
    held: HeldServices = HeldServices({})

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        hosts = {n: s.host for n, s in self.services.root.items() if s.host is not None}
        if self.ingress is None:
            for name, service in self.services.root.items():
                if TUNNEL_TOKEN in service.secrets:
                    raise ValueError(f"services.{name} runs a tunnel, so `ingress` is required")
            return self
        if self.ingress.origin == "tailnet":
            publish = self.nas.publish
            if self.nas.hostname is None:
                raise ValueError("ingress.origin `tailnet` needs nas.hostname")
            if publish is None or ip_address(publish).is_loopback:
                raise ValueError(
                    "ingress.origin `tailnet` needs nas.publish to be the NAS's tailnet address, "
                    f"got {publish!r}: nothing would answer there"
                )
        guarded = sorted(name for name, host in hosts.items() if not host.public)
        access = self.ingress.access
        if guarded and not (access.emails or access.email_domains or access.service_tokens):
            raise ValueError(
                f"ingress.access lets nobody in, but {', '.join(guarded)} are not public: "
                "name emails, emailDomains or serviceTokens"
            )
        unknown = set(self.ingress.records) - {host.name for host in hosts.values()}
        if unknown:
            raise ValueError(f"ingress.records: no service has the host {min(unknown)!r}")
        return self

    def image(self, name: str) -> str:
        """The reference that service `name` runs: what is declared, unless it is held back."""
        declared = self.services.root[name].image
        held = self.held.root.get(name)
        wanted = held.image if held is not None and held.failed == declared else declared
        return pinned(wanted, self.images.root.get(wanted))

    def is_held(self, name: str) -> bool:
        """Whether service `name` runs another image than the declared one."""
        held = self.held.root.get(name)
        return held is not None and held.failed == self.services.root[name].image

    def still_held(self) -> dict[str, Held]:
        """Those of `held` whose declared image is the one that failed."""
        known = self.services.root
        return {n: held for n, held in self.held.root.items() if n in known and self.is_held(n)}

    def hosts(self) -> dict[str, PublicHost]:
        """Every public host by the name of its service, in the order of the tunnel's rules."""
        if self.ingress is None:
            return {}
        return {
            name: PublicHost(
                label=service.host.name,
                fqdn=f"{service.host.name}.{self.ingress.zone}",
                origin=self._origin(name, service),
                public=service.host.public,
            )
            for name, service in self.services.root.items()
            if service.host is not None
        }

    @property
    def secrets(self) -> frozenset[str]:
        """Names of the secrets that the stack's settings must have."""
        registry = () if self.nas.registry is None else (REGISTRY_PASSWORD,)
        return self.services.secrets.union(registry)

    def record(self, name: str, before: Mapping[str, str | None] | None) -> ServiceOutput:
        """What the stack records of service `name`, given what it recorded `before`."""
        service, host = self.services.root[name], self.hosts().get(name)
        image = self.image(name)
        return ServiceOutput.model_validate(
            {
                "name": name,
                "container": f"{self.nas.prefix}{name}",
                "declared": service.image,
                "image": image,
                "previous": _previous(image, before or {}),
                "port": service.port,
                "address": self.nas.publish if service.port else None,
                "host": host and host.fqdn,
                "public": host is not None and host.public,
                "owner": service.owner,
            }
        )

    def _origin(self, name: str, service: Service) -> str:
        tailnet = self.ingress is not None and self.ingress.origin == "tailnet"
        return f"http://{self.nas.hostname if tailnet else name}:{service.port}"


def _previous(image: str, before: Mapping[str, str | None]) -> str | None:
    """What ran before `image`: the same as `before` while the image is the same."""
    ran = before.get("image")
    return before.get("previous") if ran == image else ran
