"""The generated parts of docs/: `python -m cli.documentation [--check]` writes or verifies them.

Each part stands between two markers in a page that is otherwise written by hand. What is generated
is read from the code that it describes: settings models, outputs, commands, errors, folders.
"""

import argparse
import ast
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from autoscaler.settings import AutoscalerSettings
from autoscaler.signals.settings import Bullmq, HttpJson, Prometheus, RedisList, RedisStream
from cli.catalogue import hosts_table, services_table
from cli.reference import (
    ROOT,
    codes_table,
    commands_text,
    outputs_table,
    record_table,
    settings_table,
)
from contracts.agents import (
    AgentDeployment,
    AgentsSettings,
    ClusterSettings,
    NamespaceSettings,
    ReplicasSettings,
    SecretSource,
)
from contracts.backups import BackupSettings
from contracts.errors import AgentDockerError
from contracts.fleet import FleetSettings, Selection
from contracts.nas import Access, Held, IngressSettings, NasSettings, Registry
from contracts.outputs import (
    AGENTS_OUTPUTS,
    GPU_OUTPUTS,
    NAS_OUTPUTS,
    AgentOutput,
    InstanceOutput,
    ServiceOutput,
)
from contracts.services import Health, Host, PostgresSchema, Service, Volume
from contracts.slots import Slot, SlotSet

_SIGNALS: Mapping[str, type[BaseModel]] = {
    "redis-list": RedisList,
    "redis-stream": RedisStream,
    "bullmq": Bullmq,
    "http-json": HttpJson,
    "prometheus": Prometheus,
}
_TIERS: Mapping[str, str] = {
    "clients": "the vendor's own CLI and SDK against the emulator",
    "docker": "images and containers on a real dockerd, with an engine inside",
    "engine": "the real engine, file backend and local cloud",
    "faults": "operations cut by kill -9 and lost replies, then recovered",
    "redis": "signals, lease and memory on a real redis-server",
    "kubernetes": "a real API server with its controllers: agents are admitted, roll out, go back",
    "graph": "the program under Pulumi's mocks: names, parents, inputs",
    "unit": "nothing outside the process, or one small part of it",
}
_NAS: Mapping[str, type[BaseModel]] = {
    "nas.": NasSettings,
    "nas.registry.": Registry,
    "services[].": Service,
    "services[].health.": Health,
    "services[].host.": Host,
    "services[].volumes[].": Volume,
    "services[].postgres.": PostgresSchema,
    "ingress.": IngressSettings,
    "ingress.access.": Access,
    "held.<service>.": Held,
}
_AGENTS: Mapping[str, type[BaseModel]] = {
    "agents.": AgentsSettings,
    "agents.cluster.": ClusterSettings,
    "agents.namespaces.<name>.": NamespaceSettings,
    "agents.deployments[].": AgentDeployment,
    "agents.deployments[].replicas.": ReplicasSettings,
    "agents.deployments[].secrets.<variable>.": SecretSource,
}
_FOLDERS: Mapping[str, str] = {
    "docs": "these pages",
    "docs/adr": "decisions, one page each",
    "examples": "things to try",
    "examples/agents": "manifests of two agents that run on any cluster",
    "tests": "one folder a tier",
}


def parts() -> dict[tuple[str, str], Callable[[], str]]:
    """Every generated part: page and name of the markers, and what renders it."""
    return {
        ("docs/settings.md", "fleet"): lambda: settings_table(FleetSettings, "fleet."),
        ("docs/settings.md", "selection"): lambda: settings_table(Selection, "fleet.selection."),
        ("docs/settings.md", "slots"): lambda: settings_table(SlotSet, "slots."),
        ("docs/settings.md", "slot"): lambda: settings_table(Slot, "slots.slots[]."),
        **{
            ("docs/signals.md", kind): partial(settings_table, model, "signal.")
            for kind, model in _SIGNALS.items()
        },
        ("docs/autoscaler.md", "settings"): lambda: settings_table(AutoscalerSettings, ""),
        **{
            ("docs/settings.md", prefix.strip(".[]")): partial(settings_table, model, prefix)
            for prefix, model in {**_NAS, **_AGENTS}.items()
        },
        ("docs/backups.md", "settings"): lambda: settings_table(BackupSettings, "backups."),
        ("docs/services.md", "services"): services_table,
        ("docs/services.md", "ingress"): hosts_table,
        ("docs/outputs.md", "outputs"): partial(outputs_table, GPU_OUTPUTS),
        ("docs/outputs.md", "nas"): partial(outputs_table, NAS_OUTPUTS),
        ("docs/outputs.md", "agents"): partial(outputs_table, AGENTS_OUTPUTS),
        ("docs/outputs.md", "agent"): lambda: record_table(AgentOutput),
        ("docs/outputs.md", "service"): lambda: record_table(ServiceOutput),
        ("docs/outputs.md", "instance"): lambda: record_table(InstanceOutput),
        ("docs/cli.md", "commands"): commands_text,
        ("docs/cli.md", "exit-codes"): codes_table,
        ("docs/architecture.md", "tree"): tree,
        ("docs/architecture.md", "contracts"): import_contracts,
    }


# The tree.


def folders(root: Path = ROOT) -> dict[str, str]:
    """Every top-level folder, package and test tier with one line about it."""
    found = dict(_FOLDERS)
    found |= {f"tests/{tier.name}": _TIERS[tier.name] for tier in _tiers(root)}
    for init in sorted(root.glob("[a-z]*/**/__init__.py")):
        package = init.parent.relative_to(root).as_posix()
        if not package.startswith(("tests/", "build/")):
            found[package] = _first_line(init)
    return dict(sorted(found.items()))


def _tiers(root: Path) -> list[Path]:
    return sorted(path for path in (root / "tests").iterdir() if any(path.glob("test_*.py")))


def _first_line(init: Path) -> str:
    docstring = ast.get_docstring(ast.parse(init.read_text())) or ""
    return docstring.splitlines()[0].rstrip(".") if docstring else ""


def tree(root: Path = ROOT) -> str:
    """The folders as a tree."""
    found = folders(root)
    names = {path: "  " * path.count("/") + path.rsplit("/", 1)[-1] + "/" for path in found}
    width = max(map(len, names.values())) + 2
    lines = [f"{names[path]:<{width}}{text}" for path, text in found.items()]
    return "```text\n" + "\n".join(lines) + "\n```"


def import_contracts(root: Path = ROOT) -> str:
    """The import rules that import-linter checks, by their names."""
    config = tomllib.loads((root / "pyproject.toml").read_text())
    rules = config["tool"]["importlinter"]["contracts"]
    return "\n".join(f"- {rule['name']}: {_rule(rule)}" for rule in rules)


def _rule(rule: Mapping[str, Any]) -> str:
    if rule["type"] == "layers":
        return " > ".join(f"`{layer}`" for layer in rule["layers"])
    sources = ", ".join(f"`{name}`" for name in rule["source_modules"])
    return f"{sources} never import {', '.join(f'`{name}`' for name in rule['forbidden_modules'])}"


# Writing.


def rendered(page: str, root: Path = ROOT) -> str:
    """The text of `page` with its generated parts made anew."""
    text = (root / page).read_text()
    for (name, part), render in parts().items():
        if name == page:
            text = put(text, page, part, render())
    return text


def put(text: str, page: str, part: str, body: str) -> str:
    """`text` with `body` between the markers of `part`."""
    begin, end = f"<!-- generated: {part} -->", f"<!-- end: {part} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise AgentDockerError(f"{page} lacks the markers {begin} and {end}")
    return f"{before}{begin}\n{body}\n{end}{after}"


def pages() -> list[str]:
    """Every page with a generated part."""
    return sorted({page for page, _ in parts()})


def stale(root: Path = ROOT) -> list[str]:
    """The pages whose generated parts are not what the code says."""
    return [page for page in pages() if rendered(page, root) != (root / page).read_text()]


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Write the stale pages, or with --check only name them; 1 when there are any."""
    parser = argparse.ArgumentParser(prog="python -m cli.documentation", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if a page is stale")
    check = parser.parse_args(arguments).check
    found = stale(root)
    for page in found:
        if not check:
            (root / page).write_text(rendered(page, root))
        sys.stdout.write(f"{page} {'is stale: run `make docs`' if check else 'written'}\n")
    return int(check and bool(found))


if __name__ == "__main__":
    sys.exit(main())
