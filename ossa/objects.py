"""The Kubernetes objects of one agent and of its namespace, as plain documents.

The program registers them and `agents render` prints them: what is printed is what is deployed.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from contracts.agents import NamespaceSettings
from ossa.agents import Agent
from ossa.labels import is_value, label_value, version_label
from ossa.spec import Probe, Sourced

Object = dict[str, Any]

# Of our own; the OSSA project's tools use four prefixes with different meanings.
PREFIX: Final = "agent-docker"
POLICIES: Final = frozenset({"agents", "default-deny"})
STACK: Final = f"{PREFIX}/stack"
MANAGED_BY: Final = {"app.kubernetes.io/managed-by": "agent-docker"}
# All annotations of an object together have 256 KiB; a prompt longer than this is told by digest.
_LONGEST_TEXT = 16 * 1024
_REVISIONS = 5
_DIGITS = 10
_PRESTOP_SECONDS = 5
_GRACE_SECONDS = 30
_DNS_PORT = 53


def namespace_objects(name: str, settings: NamespaceSettings, *, stack: str) -> list[Object]:
    """A namespace of ours and what its pods may reach; nothing for an existing one.

    It says which `stack` made it: only that one may change it, and take it away.
    """
    if settings.existing:
        return []
    level = {"enforce": settings.pod_security, "warn": settings.pod_security}
    labels = {f"pod-security.kubernetes.io/{mode}": value for mode, value in level.items()}
    metadata = {
        "name": name,
        "labels": {**MANAGED_BY, **labels},
        "annotations": {STACK: stack},
    }
    peers: list[Object] = [{"podSelector": {}}, *map(_from_namespace, settings.ingress_from)]
    names = [{"protocol": protocol, "port": _DNS_PORT} for protocol in ("UDP", "TCP")]
    ports = [{"protocol": "TCP", "port": port} for port in settings.egress_ports]
    allowed: list[Object] = [{"ports": names}, {"to": [{"podSelector": {}}]}]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata},
        # Whatever else comes to run there has no network until somebody allows it one.
        _policy(name, "default-deny", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}),
        _policy(
            name,
            "agents",
            {
                "podSelector": {"matchLabels": MANAGED_BY},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [{"from": peers}],
                "egress": [*allowed, {"ports": ports}] if ports else allowed,
            },
        ),
    ]


def agent_objects(agent: Agent, *, rollout_seconds: int) -> list[Object]:
    """The objects of one agent, in the order in which they are made.

    A Secret has the names of its values only: they are put in where they are known.
    """
    spec, name = agent.spec, agent.name
    scales = spec.max_replicas.value > spec.min_replicas.value
    found: list[Object] = [
        _object(agent, "v1", "ServiceAccount", {"automountServiceAccountToken": False}),
    ]
    if agent.deployment.config_secrets:
        found.append(_object(agent, "v1", "Secret", {"type": "Opaque", "data": {}}))
    long = _long_role(agent)
    if long is not None:
        found.append(_object(agent, "v1", "ConfigMap", {"data": {"role": long}}))
    found.append(_deployment(agent, rollout_seconds, scales=scales))
    found.append(_service(agent))
    if scales:
        found.append(_autoscaler(agent))
    if spec.min_replicas.value > 1:
        budget = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": name}}}
        found.append(_object(agent, "policy/v1", "PodDisruptionBudget", {"spec": budget}))
    return found


def _object(agent: Agent, version: str, kind: str, rest: Mapping[str, Any]) -> Object:
    metadata: Object = {
        "name": agent.name,
        "namespace": agent.namespace,
        "labels": {"app": agent.name, **MANAGED_BY},
    }
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def _deployment(agent: Agent, rollout_seconds: int, *, scales: bool) -> Object:
    spec = agent.spec
    rolling = {"maxUnavailable": 0, "maxSurge": 1}
    strategy: Object = {"type": spec.strategy.value}
    if spec.strategy.value == "RollingUpdate":
        strategy["rollingUpdate"] = rolling
    made = _object(
        agent,
        "apps/v1",
        "Deployment",
        {
            "spec": {
                # An autoscaler's count is its own: applying one would undo it.
                **({} if scales else {"replicas": spec.min_replicas.value}),
                # For ever the same: tier and version may change, a selector may not.
                "selector": {"matchLabels": {"app": agent.name}},
                "strategy": strategy,
                "progressDeadlineSeconds": rollout_seconds,
                "revisionHistoryLimit": _REVISIONS,
                "template": {
                    "metadata": {"labels": _labels(agent), "annotations": _annotations(agent)},
                    "spec": _pod(agent),
                },
            }
        },
    )
    made["metadata"] |= {"labels": _labels(agent), "annotations": _annotations(agent)}
    return made


def _labels(agent: Agent) -> dict[str, str]:
    spec = agent.spec
    return {
        **spec.labels,
        **MANAGED_BY,
        "app": agent.name,
        "ossa.version": version_label(spec.api_version.value),
        "role": _role_label(agent),
        "tier": label_value(spec.tier.value),
    }


def _role_label(agent: Agent) -> str:
    role = agent.spec.role.value
    if agent.deployment.hide_role and not is_value(role):
        # A prompt: not even its first words.
        return f"role-{hashlib.sha256(role.encode()).hexdigest()[:_DIGITS]}"
    return label_value(role)


def _annotations(agent: Agent) -> dict[str, str]:
    """The exact values: labels are for selecting, these for reading."""
    spec = agent.spec
    role = _role(agent)
    told: dict[str, str | None] = {
        "api-version": spec.api_version.value,
        "role": None if agent.deployment.hide_role or _long_role(agent) else role,
        "role-sha256": hashlib.sha256(role.encode()).hexdigest(),
        "role-source": spec.role.source,
        "access-tier": spec.tier.value,
        "tier-source": spec.tier.source,
        "agent-version": spec.agent_version.value,
        "manifest-sha256": spec.manifest_sha256,
        "exemptions": "; ".join(
            f"{name}: {reason}" for name, reason in sorted(agent.deployment.exemptions.items())
        )
        or None,
    }
    ours = {f"{PREFIX}/{name}": value for name, value in told.items() if value is not None}
    return {**spec.annotations, **ours}


def _role(agent: Agent) -> str:
    """The whole of `spec.role`, else the short role that was found elsewhere."""
    return agent.spec.prompt.value or agent.spec.role.value


def _long_role(agent: Agent) -> str | None:
    """The role where it is too long for an annotation and need not be hidden."""
    role = _role(agent)
    too_long = len(role.encode()) > _LONGEST_TEXT
    return role if too_long and not agent.deployment.hide_role else None


def _pod(agent: Agent) -> Object:
    exempt = agent.deployment.exemptions
    security: Object = {}
    if "nonRoot" not in exempt:
        user = agent.deployment.user
        security |= {
            "runAsNonRoot": True,
            "runAsUser": user,
            "runAsGroup": user,
            "fsGroup": user,
        }
    if "seccomp" not in exempt:
        security["seccompProfile"] = {"type": "RuntimeDefault"}
    return {
        "serviceAccountName": agent.name,
        "automountServiceAccountToken": False,
        # Else every Service of the namespace would be in every pod's environment.
        "enableServiceLinks": False,
        "securityContext": security,
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "containers": [_container(agent)],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }


def _container(agent: Agent) -> Object:
    spec, exempt = agent.spec, agent.deployment.exemptions
    security: Object = {
        "allowPrivilegeEscalation": "privilegeEscalation" in exempt,
        "readOnlyRootFilesystem": "readOnlyRoot" not in exempt,
    }
    if "capabilities" not in exempt:
        security["capabilities"] = {"drop": ["ALL"]}
    made: Object = {
        "name": agent.name,
        "image": agent.image,
        "ports": [{"name": "http", "containerPort": spec.port.value, "protocol": "TCP"}],
        "env": _env(agent),
        "resources": {"requests": _plain(spec.requests), "limits": _plain(spec.limits)},
        # Endpoints learn of an ending pod a moment after it does.
        "lifecycle": {"preStop": {"sleep": {"seconds": _PRESTOP_SECONDS}}},
        "securityContext": security,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - inside the container
    }
    if spec.pull_policy.value is not None:
        made["imagePullPolicy"] = spec.pull_policy.value
    if spec.command.value:
        made["command"] = list(spec.command.value)
    for name, probe in (("livenessProbe", spec.liveness), ("readinessProbe", spec.readiness)):
        if probe is not None:
            made[name] = _probe(probe, spec.port.value)
    return made


def _env(agent: Agent) -> list[Object]:
    spec, deployment = agent.spec, agent.deployment
    plain = {
        "OSSA_AGENT_NAME": agent.name,
        "OSSA_API_VERSION": spec.api_version.value,
        "PORT": str(spec.port.value),
        **_plain(spec.env),
        **deployment.env,
    }
    found: dict[str, Object] = {name: {"value": value} for name, value in plain.items()}
    for name, source in deployment.secrets.items():
        own = source.secret is None
        reference = {"name": agent.name if own else source.secret}
        key = {"key": name if own else source.key}
        found[name] = {"valueFrom": {"secretKeyRef": {**reference, **key}}}
    return [{"name": name, **value} for name, value in sorted(found.items())]


def _probe(probe: Probe, port: int) -> Object:
    # By name where it is the container's own port, as the platform's plan has it.
    at: int | str = "http" if probe.port is None or probe.port == port else probe.port
    if probe.kind == "exec":
        action: Object = {"exec": {"command": list(probe.command)}}
    elif probe.kind == "tcp":
        action = {"tcpSocket": {"port": at}}
    else:
        action = {"httpGet": {"path": probe.path, "port": at}}
    timing = {
        "initialDelaySeconds": probe.initial_delay_seconds,
        "periodSeconds": probe.period_seconds,
        "timeoutSeconds": probe.timeout_seconds,
        "failureThreshold": probe.failure_threshold,
    }
    return {**action, **{name: value for name, value in timing.items() if value is not None}}


def _service(agent: Agent) -> Object:
    spec = agent.spec
    port = {"name": "http", "port": spec.service_port.value, "targetPort": "http"}
    made = _object(
        agent,
        "v1",
        "Service",
        {
            "spec": {
                "type": "ClusterIP",
                "selector": {"app": agent.name},
                "ports": [{**port, "protocol": "TCP"}],
            }
        },
    )
    # The Deployment is waited for already; a Service would be for ten seconds more.
    made["metadata"]["annotations"] = {"pulumi.com/skipAwait": "true"}
    return made


def _autoscaler(agent: Agent) -> Object:
    spec = agent.spec
    target = {"type": "Utilization", "averageUtilization": spec.target_cpu_percent.value}
    made = _object(
        agent,
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        {
            "spec": {
                "scaleTargetRef": {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "name": agent.name,
                },
                # None at all is more than an autoscaler by CPU can do: nothing would wake it.
                "minReplicas": max(1, spec.min_replicas.value),
                "maxReplicas": spec.max_replicas.value,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            }
        },
    )
    # It works as soon as there are metrics, which a deploy does not wait for.
    made["metadata"]["annotations"] = {"pulumi.com/skipAwait": "true"}
    return made


def _policy(namespace: str, name: str, spec: Object) -> Object:
    metadata = {"name": name, "namespace": namespace, "labels": dict(MANAGED_BY)}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": spec,
    }


def _from_namespace(name: str) -> Object:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _plain(values: Mapping[str, Sourced[str]]) -> dict[str, str]:
    return {name: sourced.value for name, sourced in values.items()}
