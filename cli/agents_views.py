"""What `agent-docker agents list` and `status` show."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cli.views import View, out, show_rows
from contracts.rollouts import rollout
from operations.cluster import Cluster, Object
from ossa.objects import MANAGED_BY, PREFIX

_OURS = ",".join(f"{name}={value}" for name, value in MANAGED_BY.items())


class AgentView(View):
    """One agent: what runs, and why it is not well if it is not."""

    namespace: str
    name: str
    image: str | None
    ready: int
    wanted: int
    healthy: bool
    reason: str | None
    tier: str | None
    api_version: str | None

    @classmethod
    def gone(cls, namespace: str, name: str) -> "AgentView":
        """An agent whose Deployment somebody has removed."""
        return cls(
            namespace=namespace,
            name=name,
            image=None,
            ready=0,
            wanted=0,
            healthy=False,
            reason="its Deployment is not there; deploy it again",
            tier=None,
            api_version=None,
        )


class UpdateView(View):
    """One update that an agent has had."""

    back: int
    at: datetime
    image: str | None
    succeeded: bool


class AgentsView(View):
    """Agents, and of a single one the updates that it has had."""

    agents: tuple[AgentView, ...]
    updates: tuple[UpdateView, ...] = ()


def view_of(
    cluster: Cluster, *, namespace: str | None = None, name: str | None = None
) -> tuple[AgentView, ...]:
    """Every agent of ours that the cluster has, or one of them."""
    selector = _OURS if name is None else f"{_OURS},app={name}"
    return tuple(_row(cluster, found) for found in cluster.deployments(selector, namespace))


def show_agents(view: AgentsView) -> None:
    """A table, and a line for whatever is not well."""
    show_rows(
        "agents",
        [
            {
                "namespace": one.namespace,
                "agent": one.name,
                "ready": f"{one.ready}/{one.wanted}",
                "tier": one.tier,
                "apiVersion": one.api_version,
                "image": one.image,
            }
            for one in view.agents
        ],
    )
    for one in view.agents:
        if one.reason:
            out.print(f"{one.namespace}/{one.name}: {one.reason}", markup=False)
    if view.updates:
        show_rows(
            "updates",
            [
                {
                    "back": one.back,
                    "at": f"{one.at:%F %T}",
                    "image": one.image or "the manifest's",
                    "": "" if one.succeeded else "failed",
                }
                for one in view.updates
            ],
        )


def _row(cluster: Cluster, found: Object) -> AgentView:
    metadata, spec = found["metadata"], found["spec"]
    state: Mapping[str, Any] = found.get("status") or {}
    namespace, name = str(metadata["namespace"]), str(metadata["name"])
    told: Mapping[str, str] = metadata.get("annotations") or {}
    ready, wanted = int(state.get("readyReplicas") or 0), int(spec.get("replicas") or 0)
    # Pods of the version before may be ready while those of this one are not.
    healthy = rollout(found).done
    return AgentView(
        namespace=namespace,
        name=name,
        image=str(spec["template"]["spec"]["containers"][0]["image"]),
        ready=ready,
        wanted=wanted,
        healthy=healthy,
        reason=None if healthy else _reason(cluster, found, namespace, name),
        tier=told.get(f"{PREFIX}/access-tier"),
        api_version=told.get(f"{PREFIX}/api-version"),
    )


def _reason(cluster: Cluster, found: Any, namespace: str, name: str) -> str:  # noqa: ANN401
    seen = rollout(
        found,
        cluster.replica_sets(namespace, name),
        cluster.pods(namespace, name),
        cluster.events(namespace),
    )
    return seen.failure or seen.progress
