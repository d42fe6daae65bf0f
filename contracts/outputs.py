"""Names of the stacks' outputs, and what the gpu stack's outputs mean."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

SLOTS = "slots"
INSTANCES = "instances"
COST_PER_HOUR = "costPerHour"
OWNER = "owner"
PROGRAM = "program"
HEALTH_PATH = "healthPath"
FENCE = "fence"
UPDATES = "updates"
FLEET = "fleet"
DEPLOYMENTS = "deployments"
SERVICES = "services"
HELD = "held"
TUNNEL = "tunnel"

GPU_OUTPUTS = (SLOTS, INSTANCES, COST_PER_HOUR, OWNER, PROGRAM, HEALTH_PATH, FENCE, UPDATES, FLEET)

NAS_OUTPUTS = (SERVICES, HELD, TUNNEL, PROGRAM, UPDATES)

AGENTS_OUTPUTS = (DEPLOYMENTS, PROGRAM, UPDATES)


class Recorded(BaseModel):
    """A record that a later version may read although it has keys of an even later one."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        defer_build=True,
        alias_generator=to_camel,
        serialize_by_alias=True,
    )


class ServiceOutput(Recorded):
    """One service as the nas stack records it."""

    name: str
    container: str = Field(description="Name of the container on the NAS.")
    declared: str = Field(description="Image that the settings name.")
    image: str = Field(description="Image that it is to run: another one while it is held back.")
    previous: str | None = Field(
        default=None,
        description="Image that it was to run before; of an update that failed it never ran.",
    )
    port: int | None = None
    address: str | None = Field(default=None, description="Where its port is open on the NAS.")
    host: str | None = Field(default=None, description="Its name on the internet.")
    public: bool = Field(default=False, description="Whether nobody has to log in there.")
    owner: str = Field(description="Who answers for it.")


class AgentOutput(Recorded):
    """One agent as the agents stack records it."""

    name: str
    namespace: str
    image: str
    min_replicas: int
    max_replicas: int = Field(description="More than the least where it scales by CPU.")
    api_version: str = Field(description="The manifest's, as it is written there.")
    tier: str = Field(description="Access tier.")
    manifest: str = Field(description="Where the manifest was read.")
    manifest_sha256: str = Field(description="Of its content; comments and order do not count.")
    service: str = Field(description="Its address inside the cluster.")


class InstanceOutput(Recorded):
    """One machine of the fleet as the gpu stack records it."""

    slot: str
    contract: int = Field(description="Vast.ai's id of the rental.")
    machine: int | None = Field(default=None, description="Vast.ai's id of the physical machine.")
    host: int | None = Field(default=None, description="Vast.ai's id of the machine's owner.")
    gpu: str
    gpu_count: int
    cost_per_hour: float = Field(description="$/h with storage, as agreed at the last reading.")
    endpoint: str
    status: str = Field(description="What the last refresh or create saw.")
    image: str
    revision: int = 0
