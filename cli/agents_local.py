"""The agents stack as a part of the local profile: up with it, down with it."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cli.agents_profile import AGENTS, AgentsProfile, local_agents
from cli.ending import complain
from cli.files import LocalFiles
from cli.lock import exclusive
from cli.progress import Progress
from cli.settings import settings_file, stack_settings
from contracts.agents import AgentsSettings
from contracts.errors import AgentDockerError, SettingsError
from contracts.outputs import DEPLOYMENTS
from contracts.settings import parse


def up(
    files: LocalFiles, env: Mapping[str, str], progress: Progress, kubeconfig: str | None
) -> list[str] | None:
    """The agents of the settings on a cluster; None, and it is said, when there is none.

    The cluster is the one that is named, else the control plane of ours if it has been built.
    """
    try:
        settings_file(AGENTS, env)
    except SettingsError as error:
        progress.tell(f"[yellow]·[/yellow] the agents are left out: {error.message}")
        return None
    with exclusive(files, "up"):
        if kubeconfig is None and not _start_cluster(files, progress):
            progress.tell(
                "[yellow]·[/yellow] the agents are left out: no cluster is named by --kubeconfig, "
                "and `make cluster` has not built one"
            )
            return None
        profile = local_agents(files, env, progress, kubeconfig, None)
        with progress.phase("agents", "the agents have rolled out"):
            # Those that roll out stay up when another one does not.
            applied = profile.stack(AGENTS, progress.on_event).deploy(
                local_settings(profile, env), persevere=True, refresh=True
            )
    return [f"{row['namespace']}/{row['name']}" for row in applied.state.outputs[DEPLOYMENTS]]


def down(files: LocalFiles, env: Mapping[str, str], progress: Progress) -> bool:
    """Remove the agents, and stop the control plane if it is ours. Whether there was anything."""
    from tools import cluster  # noqa: PLC0415 - only the local profile needs it

    ran = _remove_elsewhere(files, env, progress)
    if not files.cluster.exists():
        return ran
    with exclusive(files, "down"), progress.phase("cluster", "the local cluster ends"):
        cluster.stop(files.cluster)
        shutil.rmtree(files.agents_backend(None), ignore_errors=True)
    return True


def local_settings(profile: AgentsProfile, env: Mapping[str, str]) -> dict[str, Any]:
    """Production's settings on the profile's cluster, with every manifest's text in them."""
    where = settings_file(AGENTS, env)
    document: Mapping[str, Any] = stack_settings(AGENTS, env).get(AGENTS) or {}
    parse(AgentsSettings, document, where=where.name, key=AGENTS)
    rows: Sequence[Mapping[str, Any]] = document.get("deployments") or ()
    cluster = profile.cluster.model_dump(mode="json", exclude_none=True)
    return {AGENTS: {**document, "cluster": cluster, "deployments": inlined(rows, where.parent)}}


def inlined(rows: Sequence[Mapping[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Each deployment with the text of its manifest: an operation works in a folder of its own."""
    made: list[dict[str, Any]] = []
    for number, row in enumerate(rows):
        path = folder / str(row["manifest"])
        try:
            made.append({**row, "document": row.get("document") or path.read_text()})
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SettingsError(
                f"agents.deployments.{number}.manifest: {path} cannot be read: {reason}"
            ) from None
    return made


def _start_cluster(files: LocalFiles, progress: Progress) -> bool:
    """Start our own control plane unless it runs; False when it has not been built."""
    from tools import cluster  # noqa: PLC0415 - only the local profile needs it

    if cluster.running(files.cluster) is not None:
        return True
    if cluster.locate() is None:
        return False
    if not files.cluster.exists():
        # What an earlier cluster ran died with it; one that was only cut off goes on.
        shutil.rmtree(files.agents_backend(None), ignore_errors=True)
    with progress.phase("cluster", "a local Kubernetes control plane"):
        cluster.start(files.cluster, on_progress=progress.say)
    return True


def _remove_elsewhere(files: LocalFiles, env: Mapping[str, str], progress: Progress) -> bool:
    """Destroy what runs on clusters that were named: they live on, and the agents must not."""
    removed = False
    for backend in files.agents_backends:
        stacks = list((backend / ".pulumi" / "stacks").rglob(f"{AGENTS}*.json"))
        if not stacks:
            continue
        path = (backend / "kubeconfig").read_text().strip()
        try:
            with exclusive(files, "down"), progress.phase("agents", f"the agents of {path} end"):
                profile = local_agents(files, env, progress, path, None)
                agents = profile.agents(progress)
                for place in agents.places():
                    agents.delete(place)
                if any(stack.stem == AGENTS for stack in stacks):
                    profile.stack(AGENTS, progress.on_event).destroy(remove=True)
                removed = True
        except AgentDockerError as error:
            # The rest of the profile goes down all the same.
            complain(f"the agents stay: {error.message}", error.hint, kind="warning")
    return removed
