"""Settings of the GPU fleet: the document `agent-docker:fleet`."""

import re
from math import ceil
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from contracts.settings import Strict

Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
Price = Annotated[float, Field(gt=0, le=128)]
AUTO = "auto"
# What a slot's start script or the provider fills in; a setting would put a secret into state.
_RESERVED_ENV = frozenset(
    {
        "AGENT_DOCKER_MODELS",
        "AGENT_DOCKER_SLOT",
        "CONTAINER_ID",
        "TAILSCALE_AUTH_KEY",
        "VASTAI_API_KEY",
        "VAST_API_KEY",
        "VAST_CONTAINERLABEL",
    }
)
# Vast.ai takes docker flags as names; whatever is no plain variable could be one.
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IMAGE = re.compile(r"^[^\s:@]+(:\d+/[^\s:@]+)?(:(?P<tag>[\w.-]+))?(@sha256:[0-9a-f]{64})?$")


class Selection(Strict):
    """Which offers may be rented. Applies to new rentals only: a change touches no machine."""

    max_price_per_hour: Price = Field(
        default=0.60, description="Dearest rental accepted, $/h with its storage."
    )
    min_reliability: float = Field(
        default=0.95, ge=0, le=1, description="Host reliability as Vast.ai measures it, 0 to 1."
    )
    verified: bool = Field(default=True, description="Only machines that Vast.ai has verified.")
    datacenter: bool = Field(default=False, description="Only hosts in a data centre.")
    regions: tuple[Country, ...] = Field(
        default=(), description="Two-letter country codes; empty means anywhere."
    )
    min_inet_down_mbps: float = Field(
        default=200, ge=0, description="Slowest download accepted, Mb/s: models are large."
    )
    min_inet_up_mbps: float = Field(default=20, ge=0, description="Slowest upload accepted, Mb/s.")
    min_gpu_ram_gb: float = Field(
        default=0, ge=0, description="Memory per GPU, GB; 7 % less is tolerated, hosts round."
    )
    min_cpu_ram_gb: float = Field(default=16, ge=0, description="Our share of host memory, GB.")
    min_cpu_cores: float = Field(default=4, ge=0, description="Our share of CPU cores.")
    min_direct_ports: int = Field(
        default=0, ge=0, description="Open ports of the host; the tailnet needs none."
    )
    min_cuda: float = Field(default=12.0, ge=0, description="Oldest CUDA the driver may offer.")
    min_hours_left: float = Field(
        default=24, ge=0, description="Hours for which the host still offers the machine."
    )
    exclude_machines: tuple[int, ...] = Field(
        default=(), description="Machine ids that are never rented."
    )
    exclude_hosts: tuple[int, ...] = Field(
        default=(), description="Host ids whose machines are never rented."
    )


class FleetSettings(Strict):
    """The desired GPU fleet."""

    desired: Literal["auto"] | Annotated[int, Field(ge=0)] = Field(
        default="auto",
        description="`auto` keeps the slots of the last update; a number means manual.",
    )
    min: int = Field(default=1, ge=0, description="Fewest slots, also of the first update.")
    max: int = Field(default=5, ge=1, le=500, description="Most slots.")
    gpu: str = Field(default="RTX 4090", min_length=2, description="GPU name as Vast.ai spells it.")
    gpu_count: int = Field(default=1, ge=1, le=16, description="GPUs per machine.")
    disk_gb: int = Field(default=50, ge=8, le=4096, description="Disk per machine, GB.")
    bid_per_hour: Price | None = Field(
        default=None,
        description="$/h per machine bid for an interruptible rental; none means on-demand.",
    )
    image: str = Field(description="Container image with a version, e.g. `ollama/ollama:0.12.6`.")
    env: dict[str, str] = Field(
        default_factory=dict, description="Environment of the container; no secrets."
    )
    models: tuple[str, ...] = Field(
        default=("llama3.2", "codellama"), description="Models that each machine pulls."
    )
    port: int = Field(default=11434, ge=1, le=65535, description="Port that Ollama serves on.")
    health_path: str = Field(
        default="/api/version", pattern=r"^/", description="Path that answers when healthy."
    )
    tailnet: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9.-]+$",
        description="Tailnet domain the machines join; none means no tailnet (local profile).",
    )
    endpoint: str = Field(
        default="http://{hostname}.{tailnet}:{port}",
        description="Where a slot answers; fields as in render_endpoint.",
    )
    router: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="agent-router's URL; a slot is deregistered there before it is destroyed.",
    )
    shards: int | None = Field(
        default=None,
        ge=1,
        le=16,
        description="Provider processes for new slots, 4 operations each; none means max / 25.",
    )
    selection: Selection = Field(
        default_factory=Selection, description="Which offers may be rented."
    )

    @field_validator("desired", mode="before")
    @classmethod
    def _desired_is_auto_or_a_count(cls, desired: object) -> object:
        if desired != AUTO and (isinstance(desired, bool) or not isinstance(desired, int)):
            raise ValueError(f"must be `auto` or a whole number, got {desired!r}")
        return desired

    @field_validator("image")
    @classmethod
    def _image_names_a_version(cls, image: str) -> str:
        match = _IMAGE.fullmatch(image)
        if not match or ("@" not in image and match["tag"] in {None, "latest"}):
            raise ValueError(f"must name a version such as `name:1.2`, got {image!r}")
        return image

    @field_validator("env")
    @classmethod
    def _env_holds_no_secret(cls, env: dict[str, str]) -> dict[str, str]:
        for name in env:
            if name in _RESERVED_ENV:
                raise ValueError(f"{name} is filled in when renting, never a setting")
            if not _ENV_NAME.fullmatch(name):
                raise ValueError(
                    f"{name!r} is no variable's name; docker flags are not taken, "
                    "only the tailnet opens ports"
                )
        return env

    @field_validator("endpoint")
    @classmethod
    def _endpoint_is_a_template(cls, endpoint: str) -> str:
        try:
            render_endpoint(endpoint, slot="gpu-0000", contract=1, tailnet="t", port=1)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"must be a template of the known fields, got {endpoint!r}") from error
        return endpoint

    @model_validator(mode="after")
    def _range_is_sound(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min must not be above max, got min {self.min} and max {self.max}")
        if isinstance(self.desired, int) and not self.min <= self.desired <= self.max:
            raise ValueError(
                f"desired must be `auto` or within min..max ({self.min}..{self.max}), "
                f"got {self.desired}"
            )
        if self.bid_per_hour and self.bid_per_hour > self.selection.max_price_per_hour:
            raise ValueError(
                f"bidPerHour {self.bid_per_hour} is above selection.maxPricePerHour "
                f"{self.selection.max_price_per_hour}"
            )
        if "{tailnet}" in self.endpoint and self.tailnet is None:
            raise ValueError("tailnet is required while endpoint names {tailnet}")
        return self

    @property
    def shard_count(self) -> int:
        """Provider processes over which new slots are spread."""
        return self.shards or max(1, min(8, ceil(self.max / 25)))


def hostname(slot: str, contract: int) -> str:
    """The machine's tailnet name: known before it boots, never that of a dead one."""
    return f"{slot}-{contract}"


def render_endpoint(
    template: str, *, slot: str, contract: int, tailnet: str | None, port: int
) -> str:
    """Where a slot's machine answers.

    Fields: `hostname`, `tailnet`, `port`, `slot`, `id` (the contract), and for machines on this
    host `octets` (the id as two bytes, `1.2`) and `local_port` (20000 to 31999, from the id).
    """
    return template.format(
        hostname=hostname(slot, contract),
        tailnet=tailnet,
        port=port,
        slot=slot,
        id=contract,
        octets=f"{contract // 256 % 256}.{contract % 256}",
        local_port=20_000 + contract % 12_000,
    )
