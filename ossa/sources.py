"""Where each value of an agent may stand, in every dialect; the first that is present wins.

`ext` is `extensions`, or `spec.extensions` where there is no `extensions` at the top.
"""

from dataclasses import dataclass

NAME = ("metadata.name", "agent.id")
VERSION = ("metadata.version", "agent.version")
DESCRIPTION = ("metadata.description", "agent.description")

# From 0.2.2 on `spec.role` is the system prompt; where it reads as a short role it is one.
PROMPT = "spec.role"
ROLE = (
    "spec.separation.role",
    "spec.type",
    "metadata.agentKind",
    "agent.role",
    "metadata.labels.role",
)

# `metadata.labels.tier` is not here: it means production, worker or core.
TIER = (
    "spec.access_tier",
    "spec.access.tier",
    "spec.identity.access_tier",
    "security.tier",
    "metadata.labels.access_tier",
    "spec.taxonomy.recommended_tier",
)

NAMESPACE = (
    "metadata.namespace",
    "ext.kubernetes.namespace",
    "runtime.kubernetes.namespace",
    "ext.kagent.kubernetes.namespace",
    "spec.deployment.kubernetes.agent.namespace",
)

IMAGE = (
    "spec.deployment.image",
    "spec.runtime.image",
    "ext.kubernetes.deployment.image",
    "ext.runtime.image",
    "ext.buildkit.container.image",
    "agent.runtime.image",
)

RUNTIMES = ("spec.runtime", "agent.runtime")
ENVIRONMENT = ("environment", "env")

PORT = "spec.deployment.port"
PORTS = "spec.deployment.ports"
TARGET_PORT = "ext.kubernetes.service.targetPort"
SERVICE_PORT = "ext.kubernetes.service.port"

STRATEGY = (
    "spec.deployment.strategy",
    "ext.kubernetes.deployment.strategy",
    "ext.kagent.deployment.strategy",
)


@dataclass(frozen=True)
class Replicas:
    """Paths that tell the replicas together: a least and a most of two blocks never mix.

    `least` may also hold both, as `min` and `max`. `switch` set to false turns `most` off, and
    `automatic` is read only while it is on.
    """

    least: tuple[str, ...]
    most: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    switch: str | None = None
    automatic: tuple[str, ...] = ()


_SCALING = "spec.deployment.scaling"
_AUTOSCALING = "spec.deployment.kubernetes.autoscaling"
_KAGENT = "ext.kagent.scaling"

REPLICAS = (
    Replicas(
        (f"{_SCALING}.min_replicas", f"{_SCALING}.minReplicas", "spec.deployment.replicas"),
        (f"{_SCALING}.max_replicas", f"{_SCALING}.maxReplicas"),
        (f"{_SCALING}.target_cpu_utilization", f"{_SCALING}.targetCPUUtilization"),
        switch=f"{_SCALING}.enabled",
    ),
    Replicas(
        ("spec.deployment.kubernetes.replicas",),
        (f"{_AUTOSCALING}.max_replicas", f"{_AUTOSCALING}.maxReplicas"),
        (f"{_AUTOSCALING}.target_cpu_utilization", f"{_AUTOSCALING}.targetCPUUtilization"),
        switch=f"{_AUTOSCALING}.enabled",
        automatic=(f"{_AUTOSCALING}.min_replicas", f"{_AUTOSCALING}.minReplicas"),
    ),
    Replicas(("ext.kubernetes.deployment.replicas",)),
    Replicas(("ext.kubernetes.replicas",)),
    Replicas(
        (f"{_KAGENT}.minReplicas", f"{_KAGENT}.min_replicas"),
        (f"{_KAGENT}.maxReplicas", f"{_KAGENT}.max_replicas"),
        switch=f"{_KAGENT}.enabled",
    ),
    Replicas(("ext.kagent.deployment.replicas",)),
    Replicas(("ext.buildkit.deployment.replicas",)),
    Replicas(("agent.bridge.kagent.deployment.replicas",)),
)

RESOURCES = (
    "spec.deployment.resources",
    "spec.deployment.kubernetes.resources",
    "ext.kubernetes.deployment.resources",
    "ext.kubernetes.resources",
    "spec.resources",
    "spec.constraints.resources",
    "ext.kagent.kubernetes.resourceLimits",
    "ext.buildkit.container.resources",
    "ext.runtime.resources",
    "spec.runtime.config.resources",
    "agent.runtime.resources",
    "agent.bridge.kagent.deployment.resources",
    "runtime.resource_limits",
    "security.sandboxing.resource_limits",
)


@dataclass(frozen=True)
class Health:
    """Where a health check stands: one for both probes, or one for each."""

    liveness: tuple[str, ...]
    readiness: tuple[str, ...] = ()


HEALTH = (
    Health(("spec.monitoring.health_check",), ("spec.monitoring.readiness_check",)),
    Health(("spec.monitoring.healthCheck",)),
    Health(("spec.deployment.healthChecks",)),
    Health(("ext.kubernetes.probes.liveness",), ("ext.kubernetes.probes.readiness",)),
    Health(("ext.kubernetes.healthCheck",)),
    Health(("spec.reliability.health_check",)),
    Health(("ext.runtime.health_check",)),
    Health(("ext.buildkit.deployment.health_check",)),
    Health(
        ("spec.health.endpoints.live", "spec.health.endpoints.health"),
        ("spec.health.endpoints.ready",),
    ),
    Health(("runtime.kubernetes.health_check_endpoint",)),
    Health(("agent.runtime.health_check",)),
    Health(("agent.monitoring.health_check",), ("agent.monitoring.readiness_check",)),
    Health(("agent.integration.endpoints.health",)),
)
