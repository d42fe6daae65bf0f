"""Records of the Vast.ai API, as far as we read them; unknown fields are ignored.

Units are Vast.ai's: memory in MB, disk in GB, network in Mb/s, prices in $/h, times in epoch
seconds. Secrets that the API echoes (`extra_env`, `onstart`, tokens) have no field here, so they
cannot end up in state or in a log.
"""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

# Environment of a rental that no text may show.
SECRET_VARIABLES = ("TAILSCALE_AUTH_KEY",)

# Hosts report null for what they did not measure; for a filter that is as bad as nothing.
Number = Annotated[float, BeforeValidator(lambda value: 0.0 if value is None else value)]
Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]


class Record(BaseModel):
    """A tolerant, frozen record."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


class Offer(Record):
    """Something that can be rented now. `id` changes when the host lists it again."""

    # NaN is neither above nor below a limit, so it would pass each of them.
    model_config = ConfigDict(allow_inf_nan=False)

    id: int
    machine_id: int
    host_id: int
    gpu_name: str
    num_gpus: int
    gpu_ram: Number = 0.0
    cpu_ram: Number = 0.0
    cpu_cores: Number = 0.0
    cpu_cores_effective: Number = 0.0
    disk_space: Number = 0.0
    dph_total: float = Field(ge=0, description="$/h with the storage that the search allocated.")
    storage_total_cost: Number = Field(default=0.0, description="$/h of that storage alone.")
    min_bid: Number = 0.0
    dlperf: Number = 0.0
    reliability2: Number = 0.0
    verification: Text = ""
    hosting_type: Number = 0.0
    direct_port_count: Number = 0.0
    inet_up: Number = 0.0
    inet_down: Number = 0.0
    cuda_max_good: Number = 0.0
    duration: Number = Field(default=0.0, description="Seconds the host still offers it.")
    geolocation: Text = ""
    rentable: bool = True
    rented: bool | None = False

    @property
    def country(self) -> str:
        """Two-letter code: the last part of `Texas, US`."""
        return self.geolocation.rsplit(",", 1)[-1].strip().upper()


class Instance(Record):
    """A rented machine."""

    id: int
    label: str | None = None
    machine_id: int | None = None
    host_id: int | None = None
    gpu_name: Text = ""
    num_gpus: int | None = None
    disk_space: Number = 0.0
    actual_status: str | None = None
    intended_status: str | None = None
    cur_state: str | None = None
    status_msg: Text = ""
    image_uuid: Text = ""
    is_bid: bool | None = None
    dph_total: Number = 0.0
    storage_total_cost: Number = 0.0
    start_date: Number = 0.0
    public_ipaddr: Text = ""


class User(Record):
    """The account behind the key."""

    id: int
    username: Text = ""
    credit: Number = 0.0


class Rental(BaseModel):
    """The body of a create. Holds the tailnet key in `env`: never printed, never stored."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    image: str
    disk: float = Field(description="GB.")
    label: str
    env: dict[str, str] = Field(default_factory=dict, repr=False)
    onstart: str | None = Field(default=None, repr=False)
    args: list[str] = Field(default_factory=list, repr=False)
    runtype: str = "args"
    price: float | None = Field(default=None, description="Bid in $/h; None means on-demand.")

    def body(self) -> dict[str, Any]:
        """What `PUT /asks/{id}/` takes; fails rather than leaving a stopped, billed instance."""
        return {
            **self.model_dump(exclude_none=True),
            "client_id": "me",
            "price": self.price,
            "target_state": "running",
            "cancel_unavail": True,
        }
