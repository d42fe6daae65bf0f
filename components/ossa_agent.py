"""OSSA agents on Kubernetes: a namespace that they share, and the objects of each."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi

from components.kubernetes_kinds import KINDS
from components.plain import Plain
from contracts.agents import NamespaceSettings
from ossa.agents import Agent
from ossa.objects import PREFIX, Object, agent_objects, namespace_objects

# How long after the deadline the controller may take to say so.
_GRACE_SECONDS = 60
# Changes with every change of the Secret, and says nothing of what is in it.
_SECRET_VERSION = f"{PREFIX}/secret-version"


@dataclass(frozen=True, kw_only=True)
class AgentNamespaceArgs:
    """An existing namespace is left as it is."""

    namespace: str
    settings: NamespaceSettings
    stack: str


class AgentNamespace(pulumi.ComponentResource):
    """A namespace of ours with its Pod Security profile and network policies.

    `ready` is what an agent in it waits for, and what goes after the last agent.
    """

    ready: tuple[pulumi.Resource, ...]

    def __init__(
        self, name: str, args: AgentNamespaceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("agent-docker:agents:AgentNamespace", name, None, opts)
        made: list[pulumi.Resource] = []
        for thing in namespace_objects(args.namespace, args.settings, stack=args.stack):
            own = args.namespace if thing["kind"] == "Namespace" else thing["metadata"]["name"]
            label = own if own == args.namespace else f"{args.namespace}.{own}"
            made.append(_declared(label, thing, pulumi.ResourceOptions(parent=self), after=made))
        self.ready = tuple(made)
        self.register_outputs({})


@dataclass(frozen=True, kw_only=True)
class OssaAgentArgs:
    """`secrets` are the stack's, by name; `after` is what the namespace is made of."""

    agent: Agent
    rollout_seconds: int
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict[str, pulumi.Input[str]])
    after: Sequence[pulumi.Resource] = ()


class OssaAgent(pulumi.ComponentResource):
    """The objects of one agent. It is up when its Deployment has rolled out."""

    def __init__(
        self, name: str, args: OssaAgentArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("agent-docker:agents:OssaAgent", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        # The wait of whichever provider it is: its own default may be shorter than the deadline.
        limit = f"{args.rollout_seconds + _GRACE_SECONDS}s"
        times = pulumi.CustomTimeouts(create=limit, update=limit)
        first: list[pulumi.Resource] = []
        for thing in agent_objects(args.agent, rollout_seconds=args.rollout_seconds):
            after = args.after
            if thing["kind"] == "Secret":
                thing["data"] = _data(args)
            if thing["kind"] == "Deployment":
                # A pod needs its account and its secret the moment it is made.
                after = [*args.after, *first]
                _restart_on_change(thing, first)
            made = _declared(name, thing, own, after=after, times=times)
            if thing["kind"] in {"ServiceAccount", "Secret", "ConfigMap"}:
                first.append(made)
        self.register_outputs({})


def _declared(
    name: str,
    thing: Object,
    opts: pulumi.ResourceOptions,
    *,
    after: Sequence[pulumi.Resource],
    times: pulumi.CustomTimeouts | None = None,
) -> Plain:
    waits = pulumi.ResourceOptions(
        depends_on=list(after),
        # Names are fixed, so the old one goes before the new one comes.
        delete_before_replace=True,
        custom_timeouts=times if thing["kind"] == "Deployment" else None,
    )
    kind = KINDS[thing["apiVersion"], thing["kind"]]
    return Plain(kind, name, thing, pulumi.ResourceOptions.merge(opts, waits))


def _data(args: OssaAgentArgs) -> dict[str, pulumi.Output[str]]:
    taken = args.agent.deployment.config_secrets
    return {
        name: pulumi.Output.secret(args.secrets[own]).apply(_encoded)
        for name, own in sorted(taken.items())
    }


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _version_of(metadata: Mapping[str, Any]) -> str:
    # A preview of the first update has none.
    return str(metadata.get("resourceVersion") or "")


def _restart_on_change(deployment: Object, made: Sequence[pulumi.Resource]) -> None:
    """Roll the pods when the Secret changes: a container reads its environment once."""
    for one in made:
        if isinstance(one, Plain) and one.resource_kind is KINDS["v1", "Secret"]:
            metadata: pulumi.Output[Any] = one.output("metadata")
            version = metadata.apply(_version_of)
            annotations = deployment["spec"]["template"]["metadata"]["annotations"]
            annotations[_SECRET_VERSION] = version
