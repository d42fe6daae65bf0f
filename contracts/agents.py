"""Settings of the agents stack: which manifests are deployed, where, and what is laid over them."""

from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator
from pydantic.alias_generators import to_camel

from contracts.images import require_versioned
from contracts.settings import Strict

# What a namespace, a ServiceAccount's file and a label of DNS may be called.
_DNS_LABEL = r"^([a-z0-9]|[a-z0-9][-a-z0-9]{0,61}[a-z0-9])$"
_ENV_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
_SECRET_NAME = r"^[a-z][a-z0-9-]*$"  # noqa: S105 - a pattern
KUBECONFIG_SECRET = "kubeconfig"  # noqa: S105 - the name of one

Port = Annotated[int, Field(ge=1, le=65535)]
NamespaceName = Annotated[str, Field(pattern=_DNS_LABEL)]
Image = Annotated[str, AfterValidator(require_versioned)]
# The parts of the restricted profile that one agent may do without, each for a reason.
Exemption = Literal["readOnlyRoot", "nonRoot", "capabilities", "privilegeEscalation", "seccomp"]
# Without one of these the API server refuses a pod under the profile `restricted`.
ENFORCED: frozenset[Exemption] = frozenset(
    {"nonRoot", "capabilities", "privilegeEscalation", "seccomp"}
)


class ClusterSettings(Strict):
    """Which cluster: a kubeconfig by its path, else the secret `kubeconfig` of the stack."""

    kubeconfig: str | None = Field(
        default=None,
        min_length=1,
        description="Path of the kubeconfig; without it the stack's secret `kubeconfig` is one.",
    )
    context: str | None = Field(
        default=None, min_length=1, description="Its context; without it the current one."
    )


class NamespaceSettings(Strict):
    """One namespace. An existing one is used as it is; one of ours gets labels and policies."""

    existing: bool = Field(
        default=False, description="It is there, and others made it: used, never changed."
    )
    pod_security: Literal["restricted", "baseline", "privileged"] = Field(
        default="restricted", description="Pod Security profile that its pods must keep."
    )
    egress_ports: tuple[Port, ...] = Field(
        default=(443, 4000),
        description="TCP ports that agents may reach anywhere: model APIs, and agent-router. "
        "Names are always resolved, and agents of one namespace reach each other.",
    )
    ingress_from: tuple[NamespaceName, ...] = Field(
        default=(), description="Namespaces whose pods may reach the agents."
    )

    @model_validator(mode="after")
    def _leaves_what_is_not_ours(self) -> Self:
        extra = sorted(map(to_camel, self.model_fields_set - {"existing"}))
        if self.existing and extra:
            raise ValueError(f"an existing namespace is not changed: remove {', '.join(extra)}")
        return self


class ReplicasSettings(Strict):
    """How many pods; more `max` than `min` makes an autoscaler by CPU."""

    min: int | None = Field(default=None, ge=0, description="Pods, or the least of them.")
    max: int | None = Field(default=None, ge=0, description="The most pods.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is more than max {self.max}")
        return self


class SecretSource(Strict):
    """Where a secret comes from: the stack's own secrets, or a Secret that the cluster has."""

    config: str | None = Field(
        default=None, pattern=_SECRET_NAME, description="Name below `agent-docker:secrets`."
    )
    secret: str | None = Field(
        default=None, min_length=1, max_length=253, description="A Secret of the namespace."
    )
    key: str | None = Field(default=None, min_length=1, description="The key within it.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.config is None) == (self.secret is None):
            raise ValueError("name either `config` or `secret` and `key`")
        if (self.secret is None) != (self.key is None):
            raise ValueError("`secret` and `key` go together")
        return self


class AgentDeployment(Strict):
    """One agent. What is left open is what its manifest says, then a default that says it is one.

    `document` is the manifest's text; services put it there, so that no file is needed.
    """

    manifest: str = Field(
        min_length=1, description="Path of the manifest; it names the agent in messages too."
    )
    document: str | None = Field(
        default=None, description="The manifest's text; services put it here, people name a file."
    )
    image: Image | None = Field(default=None, description="Image with a version.")
    namespace: NamespaceName | None = Field(default=None, description="Where it is deployed.")
    replicas: ReplicasSettings = Field(
        default_factory=ReplicasSettings,
        description="How many pods, instead of the manifest's number.",
    )
    cpu: str | float | None = Field(
        default=None, description="Requested and the limit, as Kubernetes writes it."
    )
    memory: str | float | None = Field(
        default=None, description="Requested and the limit, as Kubernetes writes it."
    )
    port: Port | None = Field(default=None, description="Port that the container listens on.")
    env: dict[Annotated[str, Field(pattern=_ENV_NAME)], str] = Field(
        default={}, description="Environment variables that are no secrets."
    )
    secrets: dict[Annotated[str, Field(pattern=_ENV_NAME)], SecretSource] = Field(
        default={}, description="Environment variables that are, and where each comes from."
    )
    values: dict[str, str] = Field(default={}, description="Fills `${NAME}` in the manifest.")
    user: int = Field(
        default=10001, ge=1, description="User and group of the process: images may say root."
    )
    exemptions: dict[Exemption, Annotated[str, Field(min_length=1)]] = Field(
        default={},
        description="What the pod does without, and why: "
        + ", ".join(f"`{name}`" for name in get_args(Exemption))
        + ".",
    )
    hide_role: bool = Field(
        default=False, description="Annotate the role's digest only: prompts may be confidential."
    )

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        both = sorted(set(self.env) & set(self.secrets))
        if both:
            raise ValueError(f"{both[0]} is in env and in secrets")
        return self

    @property
    def config_secrets(self) -> dict[str, str]:
        """The names of the stack's secrets it takes, by environment variable."""
        found = {name: source.config for name, source in self.secrets.items()}
        return {name: config for name, config in found.items() if config is not None}


class AgentsSettings(Strict):
    """The whole document below `agent-docker:agents`."""

    cluster: ClusterSettings = Field(
        default_factory=ClusterSettings, description="The cluster that the agents are deployed to."
    )
    namespaces: dict[NamespaceName, NamespaceSettings] = Field(
        default={},
        description="Namespaces by name; one that is not listed is made with the defaults.",
    )
    deployments: tuple[AgentDeployment, ...] = Field(default=(), description="The agents.")
    rollout_seconds: int = Field(
        default=300,
        ge=1,
        le=3600,
        description="How long the pods of one rollout may take to become ready.",
    )

    def namespace(self, name: str) -> NamespaceSettings:
        """The settings of a namespace; one that is not listed is ours, with the defaults."""
        return self.namespaces.get(name, NamespaceSettings())

    @property
    def secrets(self) -> frozenset[str]:
        """Names of the stack's secrets that the deployments need."""
        found = (name for one in self.deployments for name in one.config_secrets.values())
        own = () if self.cluster.kubeconfig is not None else (KUBECONFIG_SECRET,)
        return frozenset({*found, *own})
