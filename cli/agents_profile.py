"""The two worlds of the agents' commands: a cluster on this machine, and production's."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from cli.engine_env import engine_env
from cli.files import LocalFiles, write_whole
from cli.progress import Progress
from cli.settings import settings_file, stack_settings
from contracts.agents import AgentsSettings, ClusterSettings
from contracts.errors import AgentDockerError, SettingsError
from contracts.settings import parse
from operations.agents import Agents
from operations.cluster import Cluster
from operations.process import OnEvent
from operations.shell import backend_target
from operations.stack import Stack
from operations.target import Target

AGENTS = "agents"
Kubeconfig = Annotated[
    str | None,
    typer.Option(
        help="The cluster; KUBECONFIG of the shell is not read.",
        metavar="FILE",
        envvar="AGENT_DOCKER_KUBECONFIG",
    ),
]
Context = Annotated[str | None, typer.Option(help="Its context, if not the current one.")]
_SECRETS = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_ACCESS_TOKEN")


class NoCluster(AgentDockerError):
    """No cluster is named, and none of ours runs."""


@dataclass(frozen=True, kw_only=True)
class AgentsProfile:
    """What the agents' commands of one profile work with."""

    target: Target
    cluster: ClusterSettings

    def agents(self, progress: Progress) -> Agents:
        """Operations on agents that are stacks of their own."""
        return Agents(
            stack=lambda name: self.stack(name, progress.on_event),
            cluster=self.reader(),
            settings=self.cluster,
        )

    def stack(self, name: str, on_event: OnEvent) -> Stack:
        """Operations on the stack of that name."""
        return Stack(target=replace(self.target, stack=name), on_event=on_event)

    def reader(self) -> Cluster:
        """The cluster itself."""
        assert self.cluster.kubeconfig is not None  # noqa: S101 - both profiles see to it
        return Cluster(kubeconfig=self.cluster.kubeconfig, context=self.cluster.context)


def production_agents(
    env: Mapping[str, str], kubeconfig: str | None, context: str | None
) -> AgentsProfile:
    """The backend that the shell names, and the cluster of the settings or of the options."""
    where = settings_file(AGENTS, env)
    document: Mapping[str, object] = stack_settings(AGENTS, env).get(AGENTS) or {}
    named = parse(AgentsSettings, document, where=where.name, key=AGENTS).cluster
    # Absolute: an operation works in a folder of its own.
    if kubeconfig is not None:
        path = _within(Path.cwd(), kubeconfig)
    elif named.kubeconfig is not None:
        path = _within(where.parent, named.kubeconfig)
    else:
        raise SettingsError(
            f"{where.name} names no cluster: agent-docker:agents.cluster.kubeconfig is not set",
            hint="set it, or name one with --kubeconfig",
        )
    secrets = tuple(env[name] for name in _SECRETS if env.get(name))
    # What an agent is told is in its own stack's settings, never in those of all agents.
    target = backend_target(AGENTS, env, settings={}, secrets=secrets)
    cluster = ClusterSettings(kubeconfig=path, context=context or named.context)
    return AgentsProfile(target=target, cluster=cluster)


def local_agents(
    files: LocalFiles,
    env: Mapping[str, str],
    progress: Progress,
    kubeconfig: str | None,
    context: str | None,
) -> AgentsProfile:
    """A cluster named by its kubeconfig, else the control plane of ours; NoCluster without both."""
    files.prepare()
    path = kubeconfig or _own_cluster(files)
    backend = files.agents_backend(kubeconfig)
    backend.mkdir(mode=0o700, exist_ok=True)
    if kubeconfig is not None:
        path = _within(Path.cwd(), kubeconfig)
        write_whole(backend / "kubeconfig", path)
    target = Target(
        stack=AGENTS,
        env=engine_env(files, env, progress, backend),
        state=files.folder / "agents",
        secrets=(files.read("passphrase"),),
    )
    cluster = ClusterSettings(kubeconfig=path, context=context)
    return AgentsProfile(target=target, cluster=cluster)


def _within(folder: Path, path: str) -> str:
    return str((folder / Path(path).expanduser()).resolve())


def _own_cluster(files: LocalFiles) -> str:
    from tools import cluster  # noqa: PLC0415 - only the local profile needs it

    found = cluster.running(files.cluster)
    if found is None:
        raise NoCluster(
            "no cluster is named, and none of ours runs",
            hint="`make up` starts one where `make cluster` has built it; or name yours with "
            "--kubeconfig",
        )
    return str(found.kubeconfig)
