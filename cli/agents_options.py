"""What the agents' commands are told of a deployment, and the settings that it makes."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from contracts.agents import AgentDeployment
from contracts.errors import SettingsError
from contracts.settings import parse

Image = Annotated[
    str | None, typer.Option(help="Image with a version, e.g. …/critic:1.4.", metavar="IMAGE")
]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Namespace; else the manifest's, else agents."),
]
Pods = Annotated[
    int | None, typer.Option("--min", min=0, help="Pods, or the least of them.", metavar="N")
]
Most = Annotated[
    int | None, typer.Option("--max", min=1, help="The most pods; it scales by CPU.", metavar="N")
]
Env = Annotated[
    list[str] | None,
    typer.Option("--env", help="A variable; may be repeated.", metavar="NAME=VALUE"),
]
Secret = Annotated[
    list[str] | None,
    typer.Option(
        "--secret",
        help="A variable from a Secret that the cluster has; may be repeated.",
        metavar="NAME=SECRET/KEY",
    ),
]
Value = Annotated[
    list[str] | None,
    typer.Option(
        "--value", help="Fills ${NAME} in the manifest; may be repeated.", metavar="NAME=VALUE"
    ),
]


def deployment_of(
    manifest: str,
    *,
    image: str | None = None,
    namespace: str | None = None,
    pods: tuple[int | None, int | None] = (None, None),
    env: Sequence[str] | None = None,
    secret: Sequence[str] | None = None,
    values: Sequence[str] | None = None,
) -> AgentDeployment:
    """The options as settings; SettingsError names the option that is wrong."""
    least, most = pods
    given: dict[str, Any] = {
        "manifest": manifest,
        "image": image,
        "namespace": namespace,
        "replicas": {
            name: count for name, count in (("min", least), ("max", most)) if count is not None
        },
        "env": pairs(env, "--env"),
        "secrets": {
            name: _source(name, source) for name, source in pairs(secret, "--secret").items()
        },
        "values": pairs(values, "--value"),
    }
    said = {name: value for name, value in given.items() if value not in (None, {})}
    return parse(AgentDeployment, said, where="the command", key="agent")


def pairs(given: Sequence[str] | None, option: str) -> dict[str, str]:
    """`NAME=VALUE` of a repeated option."""
    found: dict[str, str] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise SettingsError(f"{option} takes NAME=VALUE, got {text!r}")
        found[name] = value
    return found


def _source(name: str, text: str) -> dict[str, str]:
    secret, slash, key = text.partition("/")
    if not slash or not secret or not key:
        raise SettingsError(
            f"--secret takes NAME=SECRET/KEY, got {name}={text}",
            hint="the value itself must not stand on a command line: everybody can read those",
        )
    return {"secret": secret, "key": key}
