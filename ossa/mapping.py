"""From a document of any dialect to the one shape of an agent."""

import hashlib
import json
import re

from ossa import sources
from ossa.commands import command
from ossa.environment import environment
from ossa.health import health
from ossa.image import image
from ossa.metadata import tags
from ossa.network import namespace, ports
from ossa.reader import Reader
from ossa.resources import resources
from ossa.roles import prompt, role, tier
from ossa.scale import scale, strategy
from ossa.spec import AgentSpec, Sourced
from ossa.values import Json

# A Service's name is stricter than OSSA's rule, and the name is a label value as well.
_NAME = re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?")


def mapped(reader: Reader, api_version: Sourced[str]) -> AgentSpec:
    """The agent; it means something only if the reader noted no error on the way."""
    checks = health(reader)
    listens = ports(reader, checks)
    probes = checks.at_port(listens.container.value)
    copies = scale(reader)
    needs = resources(reader)
    pulled, policy = image(reader)
    own = tags(reader)
    return AgentSpec(
        name=_name(reader),
        api_version=api_version,
        role=role(reader),
        prompt=prompt(reader),
        tier=tier(reader),
        agent_version=_text(reader, sources.VERSION),
        description=_text(reader, sources.DESCRIPTION),
        namespace=namespace(reader),
        image=pulled,
        pull_policy=policy,
        command=command(reader),
        env=environment(reader),
        port=listens.container,
        service_port=listens.service,
        min_replicas=copies.least,
        max_replicas=copies.most,
        target_cpu_percent=copies.target,
        requests=needs.requests,
        limits=needs.limits,
        liveness=probes.liveness,
        readiness=probes.readiness,
        strategy=strategy(reader),
        labels=own.labels,
        annotations=own.annotations,
        manifest_sha256=digest(reader.document.value),
    )


def name_text(reader: Reader) -> str | None:
    """The name as the document has it, right or wrong."""
    found = reader.first(sources.NAME)
    return found.value if found is not None and isinstance(found.value, str) else None


def digest(value: Json) -> str:
    """SHA-256 of a document's values, whatever its layout and the order of its keys."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _name(reader: Reader) -> Sourced[str]:
    found = reader.first(sources.NAME)
    if found is None:
        at = "/agent/id" if reader.legacy else "/metadata/name"
        reader.error(at, "required", f"{at.rpartition('/')[2]} is missing: the agent has no name")
        return Sourced("")
    allowed = "lower-case letters, digits and -, a letter first, no - last, at most 63"
    return Sourced(reader.matching(found, _NAME, allowed) or "", found.at)


def _text(reader: Reader, paths: tuple[str, ...]) -> Sourced[str | None]:
    found = reader.first(paths)
    return Sourced(None) if found is None else Sourced(reader.text(found), found.at)
