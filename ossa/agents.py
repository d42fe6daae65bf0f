"""From a deployment's settings and its manifest to one agent that can be deployed, or why not."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from contracts.agents import ENFORCED, AgentDeployment, AgentsSettings
from contracts.errors import SettingsError
from contracts.outputs import AgentOutput
from ossa.check import check
from ossa.environment import looks_secret
from ossa.quantities import quantity
from ossa.report import Report
from ossa.spec import DEFAULT, AgentSpec, Probe, Sourced

T = TypeVar("T")
Read = Callable[[str], bytes]
DEFAULT_NAMESPACE = "agents"


@dataclass(frozen=True, kw_only=True)
class Agent:
    """One agent as it is deployed: the manifest with the settings laid over it."""

    spec: AgentSpec
    deployment: AgentDeployment
    namespace: str
    image: str

    @property
    def name(self) -> str:
        """What its objects are called, and the value of their label `app`."""
        return self.spec.name.value

    @property
    def record(self) -> AgentOutput:
        """What the stack's outputs say of it."""
        spec = self.spec
        return AgentOutput.model_validate(
            {
                "name": self.name,
                "namespace": self.namespace,
                "image": self.image,
                "min_replicas": spec.min_replicas.value,
                "max_replicas": spec.max_replicas.value,
                "api_version": spec.api_version.value,
                "tier": spec.tier.value,
                "manifest": self.deployment.manifest,
                "manifest_sha256": spec.manifest_sha256,
                "service": f"http://{self.name}.{self.namespace}.svc:{spec.service_port.value}",
            },
            by_name=True,
        )


def resolve_all(settings: AgentsSettings, read: Read, *, where: str) -> list[Agent]:
    """Every deployment's agent. One SettingsError names whatever stands in the way of any."""
    agents: list[Agent] = []
    problems: list[str] = []
    for number, deployment in enumerate(settings.deployments):
        at = f"agents.deployments.{number}"
        found, wrong = resolve(deployment, read, at=at)
        if found is not None:
            wrong = [*wrong, *_not_allowed(found, settings, at)]
            agents.append(found)
        problems += wrong
    problems += _twins(agents)
    if problems:
        raise SettingsError(f"{where} cannot be deployed:\n" + "\n".join(problems))
    return agents


def resolve(deployment: AgentDeployment, read: Read, *, at: str) -> tuple[Agent | None, list[str]]:
    """The agent of one deployment, and a line for each thing that is wrong; `at` is its path."""
    try:
        data = (
            read(deployment.manifest)
            if deployment.document is None
            else deployment.document.encode()
        )
    except OSError as error:
        reason = error.strerror or str(error)
        return None, [f"  {at}.manifest: {deployment.manifest} cannot be read: {reason}"]
    reports = check(data, file=deployment.manifest, values=deployment.values)
    problems = [line for report in reports for line in errors_of(report)]
    specs = [report.spec for report in reports if report.spec is not None]
    if problems:
        return None, problems
    if len(specs) != 1:
        names = ", ".join(spec.name.value for spec in specs)
        told = f"{deployment.manifest} has {len(specs)} agents ({names}); one file deploys one"
        return None, [f"  {at}.manifest: {told}"]
    return _laid_over(specs[0], deployment, at)


def errors_of(report: Report) -> list[str]:
    """A line for each error of one document."""
    return [
        f"  {report.file}{'' if found.line is None else f':{found.line}'} "
        f"{found.dotted}: {found.message}"
        for found in report.findings
        if found.severity == "error"
    ]


def _laid_over(
    spec: AgentSpec, deployment: AgentDeployment, at: str
) -> tuple[Agent | None, list[str]]:
    problems: list[str] = []
    least = _over(spec.min_replicas, deployment.replicas.min, f"{at}.replicas.min")
    most = _over(spec.max_replicas, deployment.replicas.max, f"{at}.replicas.max")
    fixed = spec.max_replicas.source == spec.min_replicas.source
    if deployment.replicas.max is None and (fixed or most.value < least.value):
        # Only a number was asked for: it is no wish to scale where the manifest has none either.
        most = least
    if most.value < least.value:
        problems.append(
            f"  {at}.replicas.max: {most.value} is less than the {least.value} of {least.source}"
        )
    requests, limits = dict(spec.requests), dict(spec.limits)
    for name, wanted in (("cpu", deployment.cpu), ("memory", deployment.memory)):
        if wanted is None:
            continue
        text = f"{wanted:g}" if isinstance(wanted, float) else str(wanted)
        try:
            quantity(text)
        except ValueError as error:
            problems.append(f"  {at}.{name}: {error}")
        # As the flat form of a manifest: what is asked for is what there is.
        requests[name] = limits[name] = Sourced(text, f"{at}.{name}")
    image = deployment.image or spec.image.value
    if image is None:
        problems.append(
            f"  {at}.image: is required, since {deployment.manifest} names none "
            "(--image on the command line)"
        )
    problems += [
        f"  {at}.secrets.{name}: {deployment.manifest} sets it in clear; remove it there"
        for name in sorted(set(spec.env) & set(deployment.secrets))
    ]
    problems += [
        f"  {at}.env.{name}: looks like a secret; name where it comes from under secrets"
        for name, value in sorted(deployment.env.items())
        if value and looks_secret(name)
    ]
    if problems or image is None:
        return None, problems
    port = _over(spec.port, deployment.port, f"{at}.port")
    made = replace(
        spec,
        min_replicas=least,
        max_replicas=most,
        requests=requests,
        limits=limits,
        port=port,
        service_port=port if spec.service_port.source == DEFAULT else spec.service_port,
        liveness=_at_port(spec.liveness, spec.port.value),
        readiness=_at_port(spec.readiness, spec.port.value),
    )
    namespace = deployment.namespace or spec.namespace.value or DEFAULT_NAMESPACE
    return Agent(spec=made, deployment=deployment, namespace=namespace, image=image), []


def _over(own: Sourced[T], wanted: T | None, source: str) -> Sourced[T]:
    return own if wanted is None else Sourced(wanted, source)


def _at_port(probe: Probe | None, port: int) -> Probe | None:
    """`probe` follows the container's port wherever that goes, if it was there before."""
    return replace(probe, port=None) if probe is not None and probe.port == port else probe


def _not_allowed(agent: Agent, settings: AgentsSettings, at: str) -> list[str]:
    namespace = settings.namespace(agent.namespace)
    refused = sorted(ENFORCED & set(agent.deployment.exemptions))
    if namespace.existing or namespace.pod_security != "restricted" or not refused:
        return []
    way = f"set agents.namespaces.{agent.namespace}.podSecurity to baseline or privileged"
    told = f"namespace {agent.namespace} refuses such a pod; {way}"
    return [f"  {at}.exemptions.{refused[0]}: {told}"]


def _twins(agents: Iterable[Agent]) -> list[str]:
    first: dict[tuple[str, str], str] = {}
    problems: list[str] = []
    for agent in agents:
        place, file = (agent.namespace, agent.name), agent.deployment.manifest
        if place in first:
            problems.append(
                f"  {file} and {first[place]}: both deploy {agent.name} to {agent.namespace}"
            )
        first.setdefault(place, file)
    return problems
