"""`agent-docker agents validate|render`: manifests, read without any cluster."""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.markup import escape

from cli.agents_options import (
    Env,
    Image,
    Most,
    Namespace,
    Pods,
    Secret,
    Value,
    deployment_of,
    pairs,
)
from cli.context import Json
from cli.views import out, show_json
from contracts.agents import AgentsSettings
from contracts.errors import SettingsError
from ossa.agents import resolve_all
from ossa.check import check
from ossa.objects import agent_objects, namespace_objects
from ossa.report import Report

Files = Annotated[
    list[Path], typer.Argument(help="Manifests, YAML or JSON; - is standard input.", metavar="FILE")
]


def validate(
    files: Files,
    *,
    strict: Annotated[
        bool, typer.Option("--strict", help="Take what need not stop a deploy as an error too.")
    ] = False,
    schema: Annotated[
        Path | None,
        typer.Option(help="Check against this JSON Schema as well.", metavar="FILE"),
    ] = None,
    value: Value = None,
    as_json: Json = False,
) -> None:
    """Say of each manifest whether it can be deployed, and what is wrong where.

    Exits with 1 when any has an error.
    """
    rules = None if schema is None else _schema(schema)
    values = pairs(value, "--value")
    texts = {file: read(file) for file in files}
    reports = [
        report
        for file, text in texts.items()
        for report in check(text, file=str(file), strict=strict, schema=rules, values=values)
    ]
    if as_json:
        show_json([report.as_json() for report in reports])
    else:
        _show(reports)
    if any(report.errors for report in reports):
        raise typer.Exit(1)


def render(  # noqa: PLR0913 - each is an option
    file: Annotated[Path, typer.Argument(help="A manifest, YAML or JSON.", metavar="FILE")],
    *,
    image: Image = None,
    namespace: Namespace = None,
    minimum: Pods = None,
    maximum: Most = None,
    env: Env = None,
    secret: Secret = None,
    value: Value = None,
    as_json: Json = False,
) -> None:
    """Print the Kubernetes objects of an agent; no cluster is asked.

    Values of secrets are left out: only their names are shown.
    """
    document = deployment_of(
        str(file), image=image, namespace=namespace, pods=(minimum, maximum),
        env=env, secret=secret, values=value,
    )  # fmt: skip
    settings = AgentsSettings(deployments=(document,))
    (agent,) = resolve_all(settings, lambda path: read(Path(path)), where=str(file))
    made = namespace_objects(
        agent.namespace, settings.namespace(agent.namespace), stack=f"agents.{agent.namespace}"
    )
    objects = [
        *made,
        *agent_objects(agent, rollout_seconds=settings.rollout_seconds),
    ]
    for thing in objects:
        if thing["kind"] == "Secret":
            thing["data"] = dict.fromkeys(sorted(agent.deployment.config_secrets), "")
    if as_json:
        show_json(objects)
    else:
        _print_yaml(objects)


def _show(reports: Iterable[Report]) -> None:
    for report in reports:
        what = " ".join(part for part in (report.kind, report.name) if part) or "no agent"
        verdict = "[green]deployable[/green]" if report.deployable else "[red]refused[/red]"
        number = f" ({report.document})" if report.document > 1 else ""
        version = f", {report.api_version}" if report.api_version else ""
        out.print(f"{escape(report.file)}{number}: {escape(what + version)}: {verdict}")
        for found in report.findings:
            colour = "red" if found.severity == "error" else "yellow"
            line = "" if found.line is None else f" line {found.line}"
            out.print(
                f"  [{colour}]{found.severity}[/{colour}] {escape(found.dotted)}"
                f" [dim]{escape(found.pointer)}{line}[/dim] {escape(found.message)}"
            )


def read(file: Path) -> bytes:
    """What is in a file, or on standard input for `-`; SettingsError when it cannot be read."""
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror or error}") from None


def _schema(path: Path) -> Mapping[str, object]:
    try:
        found: object = json.loads(read(path))
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise SettingsError(f"{path} is no JSON Schema: it must be an object")
    return cast("Mapping[str, object]", found)


def _print_yaml(objects: list[dict[str, Any]]) -> None:
    from ruamel.yaml import YAML  # noqa: PLC0415 - for people only

    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 4096
    yaml.explicit_start = True
    yaml.dump_all(objects, sys.stdout)
