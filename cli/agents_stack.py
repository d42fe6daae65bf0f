"""`agent-docker agents deploy|list|status|scale|rollback|logs|delete`: one agent at a time."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cli import completion
from cli.agents import read
from cli.agents_options import (
    Env,
    Image,
    Most,
    Namespace,
    Pods,
    Secret,
    Value,
    deployment_of,
)
from cli.agents_profile import (
    AgentsProfile,
    Context,
    Kubeconfig,
    local_agents,
    production_agents,
)
from cli.agents_views import AgentsView, AgentView, UpdateView, show_agents, view_of
from cli.context import Json, Production
from cli.files import LocalFiles
from cli.progress import Progress, progress
from cli.views import out, show_json
from contracts.agents import AgentsSettings, NamespaceSettings
from contracts.errors import SettingsError
from operations.agents import Deployed, NoSuchPod, Place
from ossa.agents import DEFAULT_NAMESPACE, resolve_all

Name = Annotated[
    str, typer.Argument(help="The agent.", metavar="AGENT", autocompletion=completion.agents)
]
In = Annotated[str, typer.Option("--namespace", "-n", help="Its namespace.")]
Tail = Annotated[int, typer.Option(min=1, help="Lines shown.")]


def deploy(  # noqa: PLR0913 - each is an option
    manifest: Annotated[Path, typer.Argument(help="Its manifest.", metavar="MANIFEST")],
    *,
    image: Image = None,
    namespace: Namespace = None,
    existing_namespace: Annotated[
        bool, typer.Option("--existing-namespace", help="Use one that is there, and leave it.")
    ] = False,
    minimum: Pods = None,
    maximum: Most = None,
    env: Env = None,
    secret: Secret = None,
    value: Value = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    production: Production = False,
    as_json: Json = False,
) -> None:
    """Bring one agent up, or change it, and wait until it has rolled out."""
    data = read(manifest)
    deployment = deployment_of(
        str(manifest), image=image, namespace=namespace, pods=(minimum, maximum),
        env=env, secret=secret, values=value,
    )  # fmt: skip
    # All that is wrong is told before a cluster is asked.
    settings = AgentsSettings(deployments=(deployment,))
    (agent,) = resolve_all(settings, lambda _path: data, where=str(manifest))
    deployment = deployment.model_copy(update={"document": data.decode("utf-8-sig")})
    place = Place(namespace=agent.namespace, name=agent.name)
    with _world(kubeconfig, context, production=production) as (profile, shown):
        agents = profile.agents(shown)
        with shown.phase("deploy", f"{place.name} has rolled out in {place.namespace}"):
            done = agents.deploy(
                place, deployment, namespace=NamespaceSettings(existing=existing_namespace)
            )
    _show_deployed(done, as_json=as_json)


def list_(
    *,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    production: Production = False,
    as_json: Json = False,
) -> None:
    """Show every agent of the cluster that we deployed, and how it is."""
    with _world(kubeconfig, context, production=production) as (profile, shown):
        shown.say("asking the cluster")
        view = AgentsView(agents=view_of(profile.reader()))
    if as_json:
        show_json(view)
    else:
        show_agents(view)


def status(
    agent: Name,
    *,
    namespace: In = DEFAULT_NAMESPACE,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    production: Production = False,
    as_json: Json = False,
) -> None:
    """Show one agent, why it is not well if it is not, and the updates it has had.

    Exits with 1 unless all its pods are ready.
    """
    with _world(kubeconfig, context, production=production) as (profile, shown):
        place = Place(namespace=namespace, name=agent)
        agents = profile.agents(shown)
        found = view_of(profile.reader(), namespace=namespace, name=agent)
        updates = agents.updates(place)
        if not found:
            agents.recorded(place)
    view = AgentsView(
        agents=found or (AgentView.gone(namespace, agent),),
        updates=tuple(UpdateView(**vars(one)) for one in updates),
    )
    if as_json:
        show_json(view)
    else:
        show_agents(view)
    if not all(one.healthy for one in view.agents):
        raise typer.Exit(1)


def scale(  # noqa: PLR0913 - each is an option
    agent: Name,
    pods: Annotated[int, typer.Argument(min=0, help="How many pods, or the least.", metavar="N")],
    *,
    maximum: Most = None,
    namespace: In = DEFAULT_NAMESPACE,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    production: Production = False,
    as_json: Json = False,
) -> None:
    """Run so many pods of an agent, or between two numbers by CPU."""
    if maximum is not None and maximum < pods:
        raise SettingsError(f"--max {maximum} is less than {pods}")
    with _world(kubeconfig, context, production=production) as (profile, shown):
        done = profile.agents(shown).scale(Place(namespace=namespace, name=agent), pods, maximum)
    _show_deployed(done, as_json=as_json)


def rollback(
    agent: Name,
    *,
    back: Annotated[
        int | None,
        typer.Option(min=1, help="So many updates back, as status counts them.", metavar="N"),
    ] = None,
    namespace: In = DEFAULT_NAMESPACE,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    production: Production = False,
    as_json: Json = False,
) -> None:
    """Deploy again what the last good update had that was another one."""
    with _world(kubeconfig, context, production=production) as (profile, shown):
        done = profile.agents(shown).rollback(Place(namespace=namespace, name=agent), back=back)
    _show_deployed(done, as_json=as_json)


def logs(
    agent: Name,
    *,
    tail: Tail = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it writes.")] = False,
    namespace: In = DEFAULT_NAMESPACE,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    production: Production = False,
) -> None:
    """Show what the newest pod of an agent wrote last."""
    with _world(kubeconfig, context, production=production) as (profile, _):
        cluster = profile.reader()
        pods = cluster.pods(namespace, agent)
    if not pods:
        raise NoSuchPod(
            f"{agent} has no pod in namespace {namespace}", hint="see `agent-docker agents status`"
        )
    newest = max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    name = str(newest["metadata"]["name"])
    for part in cluster.logs(namespace, name, tail=tail, follow=follow):
        out.print(part, end="", markup=False, emoji=False)


def delete(
    agent: Name,
    *,
    namespace: In = DEFAULT_NAMESPACE,
    yes: Annotated[
        bool, typer.Option("--yes", help="In production, do it without asking.")
    ] = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    production: Production = False,
) -> None:
    """Remove an agent; its namespace goes with the last one, unless it was there before."""
    if production and not yes:
        typer.confirm(f"Remove {agent} from namespace {namespace}?", abort=True)
    with (
        _world(kubeconfig, context, production=production) as (profile, shown),
        shown.phase("delete", f"{agent} is gone from {namespace}"),
    ):
        left = profile.agents(shown).delete(Place(namespace=namespace, name=agent))
    if left:
        out.print(f"namespace {namespace} stays, since it has {', '.join(left)}", markup=False)


@contextmanager
def _world(
    kubeconfig: str | None, context: str | None, *, production: bool
) -> Generator[tuple[AgentsProfile, Progress]]:
    with progress() as shown:
        if production:
            yield production_agents(os.environ, kubeconfig, context), shown
        else:
            files = LocalFiles.of(os.environ)
            yield local_agents(files, os.environ, shown, kubeconfig, context), shown


def _show_deployed(done: Deployed, *, as_json: bool) -> None:
    agent = done.agent
    if as_json:
        show_json({"agent": agent.model_dump(mode="json"), "changes": done.changes})
        return
    changed = f"{len(done.changes)} resources changed" if done.changes else "unchanged"
    out.print(f"{agent.name} is up in {agent.namespace} as {agent.image}, {changed}", markup=False)
