"""The agents layer: namespaces, and the agents whose manifests the settings name."""

from pathlib import Path

import pulumi

from components.kubernetes_kinds import PACKAGE
from components.ossa_agent import AgentNamespace, AgentNamespaceArgs, OssaAgent, OssaAgentArgs
from components.plain import given, version
from contracts import outputs
from contracts.agents import KUBECONFIG_SECRET, AgentsSettings
from contracts.errors import AgentDockerError
from contracts.fence import next_update
from contracts.program import PROGRAM_VERSION
from ossa.agents import resolve_all
from stacks.last_update import LastUpdate
from stacks.settings import read_secrets, refuse, required


def build() -> None:
    """Make what the settings name; nothing when they or a manifest are wrong."""
    last = LastUpdate()
    settings = required("agents", AgentsSettings)
    stack = pulumi.get_stack()
    try:
        number = next_update(pulumi.Config().get_int("base"), last.output(outputs.UPDATES))
        secrets = read_secrets(settings.secrets)
        agents = resolve_all(settings, _read, where=f"Pulumi.{stack}.yaml")
    except AgentDockerError as error:
        raise refuse(error) from None
    opts = pulumi.ResourceOptions(provider=_cluster(settings, secrets))
    names = {agent.namespace for agent in agents} | set(settings.namespaces)
    namespaces = {
        name: AgentNamespace(
            name,
            AgentNamespaceArgs(namespace=name, settings=settings.namespace(name), stack=stack),
            opts,
        )
        for name in sorted(names)
    }
    for agent in agents:
        args = OssaAgentArgs(
            agent=agent,
            rollout_seconds=settings.rollout_seconds,
            secrets=secrets,
            after=namespaces[agent.namespace].ready,
        )
        OssaAgent(f"{agent.namespace}.{agent.name}", args, opts)
    records = [agent.record.model_dump(mode="json") for agent in agents]
    pulumi.export(outputs.DEPLOYMENTS, records)
    pulumi.export(outputs.PROGRAM, PROGRAM_VERSION)
    pulumi.export(outputs.UPDATES, number)


def _read(path: str) -> bytes:
    return Path(path).read_bytes()


def _cluster(
    settings: AgentsSettings, secrets: dict[str, pulumi.Input[str]]
) -> pulumi.ProviderResource:
    """Never the default provider: that one would take whatever cluster the shell is at."""
    path = settings.cluster.kubeconfig
    config = (
        pulumi.Output.secret(secrets[KUBECONFIG_SECRET])
        if path is None
        else str(Path(path).expanduser())
    )
    return pulumi.ProviderResource(
        "kubernetes",
        "cluster",
        given(
            kubeconfig=config,
            context=settings.cluster.context,
            # Changed in place: to replace one would be to take it from the pods that use it.
            enableSecretMutable="true",
            enableConfigMapMutable="true",
        ),
        pulumi.ResourceOptions(version=version(PACKAGE)),
    )
