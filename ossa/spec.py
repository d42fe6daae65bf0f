"""The one shape of an agent that the deployment takes, whatever dialect it was written in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

T = TypeVar("T")

# The source of a value that no document named.
DEFAULT = "default"

Strategy = Literal["RollingUpdate", "Recreate"]
ProbeKind = Literal["http", "tcp", "exec"]


@dataclass(frozen=True)
class Sourced(Generic[T]):
    """A value and where it came from: a JSON Pointer into the manifest, or DEFAULT."""

    value: T
    source: str = DEFAULT


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A health check; `path` is set for http, `port` for http and tcp, `command` for exec.

    A time of None leaves Kubernetes' own default.
    """

    kind: ProbeKind
    path: str | None
    port: int | None
    command: tuple[str, ...]
    initial_delay_seconds: int
    period_seconds: int
    timeout_seconds: int | None
    failure_threshold: int | None
    source: str


@dataclass(frozen=True, kw_only=True)
class AgentSpec:
    """An agent that can be deployed; every value is one that Kubernetes takes.

    `role` and `tier` are exact texts, not label values: see ossa.labels for those. `prompt` is what
    `spec.role` says, which is seldom a role. `labels` and
    `annotations` are the user's own, without the keys that the platform sets. The digest is of
    the document's values, so comments and layout do not change it.
    """

    name: Sourced[str]
    api_version: Sourced[str]
    role: Sourced[str]
    prompt: Sourced[str | None]
    tier: Sourced[str]
    agent_version: Sourced[str | None]
    description: Sourced[str | None]
    namespace: Sourced[str | None]
    image: Sourced[str | None]
    pull_policy: Sourced[str | None]
    command: Sourced[tuple[str, ...]]
    env: Mapping[str, Sourced[str]]
    port: Sourced[int]
    service_port: Sourced[int]
    min_replicas: Sourced[int]
    max_replicas: Sourced[int]
    target_cpu_percent: Sourced[int]
    requests: Mapping[str, Sourced[str]]
    limits: Mapping[str, Sourced[str]]
    liveness: Probe | None
    readiness: Probe | None
    strategy: Sourced[Strategy]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    manifest_sha256: str
