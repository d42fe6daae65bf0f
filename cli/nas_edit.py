"""`agent-docker nas add|update|remove` and `nas images lock`: the services' settings file."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from cli.context import Json, Production
from cli.nas_profile import NAS, local_daemon, production_nas
from cli.progress import progress
from cli.settings import Editable, settings_file
from cli.views import out, show_json, talk
from contracts.errors import AgentDockerError, SettingsError
from contracts.program import PROJECT
from contracts.services import Services
from contracts.settings import parse

_SERVICES = f"{PROJECT}:services"
_IMAGES = f"{PROJECT}:images"
# Lists and mappings of ruamel, which keep comments; their parts are of any type.
Rows = Any
_DEPLOY = "deploy it with `agent-docker nas up`"
Name = Annotated[str, typer.Argument(help="The service, e.g. redis.", metavar="SERVICE")]
Image = Annotated[str, typer.Option(help="Image with a version.", metavar="IMAGE")]


class NotLocked(AgentDockerError):
    """Some images have no digest in the settings."""


def add(
    service: Name,
    *,
    image: Image,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port that it listens on.")],
    health: Annotated[
        str, typer.Option(help="Path that answers when it works.", metavar="PATH")
    ] = "/health",
    host: Annotated[
        str | None, typer.Option(help="Its name on the internet, behind Cloudflare Access.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Nobody has to log in there.")] = False,
    depends_on: Annotated[
        list[str] | None, typer.Option(help="Started before it; may be repeated.")
    ] = None,
) -> None:
    """Add a service to Pulumi.nas.yaml; nothing is deployed."""
    record: dict[str, Any] = {"name": service, "image": image, "port": port}
    record["health"] = _flow({"http": health})
    if host is not None:
        record["host"] = _flow({"name": host, "public": True}) if public else host
    if depends_on:
        record["dependsOn"] = _flow_list(depends_on)

    def change(services: Rows) -> None:
        if _find(services, service) is not None:
            raise SettingsError(
                f"there is a service {service!r} already", hint="`agent-docker nas update` it"
            )
        services.append(CommentedMap(record))

    _edit(change)
    out.print(f"{service} is in {_path().name}; {_DEPLOY}")


def update(service: Name, *, image: Image) -> None:
    """Declare another image of a service in Pulumi.nas.yaml; nothing is deployed."""

    def change(services: Rows) -> None:
        _required(services, service)["image"] = image

    _edit(change)
    out.print(f"{service} is declared as {image}; {_DEPLOY}")


def remove(service: Name) -> None:
    """Take a service out of Pulumi.nas.yaml; its data stays, and nothing is deployed."""

    def change(services: Rows) -> None:
        services.remove(_required(services, service))

    _edit(change)
    out.print(f"{service} is not in {_path().name} any more; {_DEPLOY}")


def lock(*, production: Production = False, as_json: Json = False) -> None:
    """Write the digest of every image into Pulumi.nas.yaml, as its registry tells it.

    The NAS's daemon is asked, locally this machine's. Exits with 1 when a registry did not answer;
    what was locked before stays then. No digest is ever made up.
    """
    from operations.registries import NoDigest, digest  # noqa: PLC0415 - loads the docker client

    with progress() as shown:
        if production:
            url = production_nas(os.environ).documents.nas.docker
        else:
            url = local_daemon(os.environ)
        settings, services = _opened()
        config = settings.config
        locked: dict[str, str] = dict(config.get(_IMAGES) or {})
        images = {str(row.get("image")) for row in services if row.get("image")}
        wanted = sorted(image for image in images if "@" not in image)
        missing: list[str] = []
        for reference in wanted:
            shown.say(f"asking for {reference}")
            try:
                locked[reference] = digest(url, reference)
            except NoDigest as error:
                missing.append(reference)
                talk.print(error.message, style="yellow", markup=False)
        config[_IMAGES] = {ref: locked[ref] for ref in wanted if ref in locked}
        settings.write()
    if as_json:
        show_json({"images": dict(config[_IMAGES]), "missing": missing})
    else:
        out.print(f"{len(config[_IMAGES])} of {len(wanted)} images are locked in {_path().name}")
    if missing:
        raise NotLocked(
            f"no digest of {', '.join(missing)}",
            hint="`docker login` here for a private registry, or see that the image exists",
        )


# The file.


def _path() -> Path:
    return settings_file(NAS, os.environ)


def _opened() -> tuple[Editable, Rows]:
    settings = Editable(_path())
    services = settings.config.get(_SERVICES)
    if not isinstance(services, list):
        raise SettingsError(f"{settings.path}: {_SERVICES} must be a list of services")
    return settings, cast("Rows", services)


def _edit(change: Callable[[Rows], None]) -> None:
    """Change the services; the file is written only when they are right afterwards."""
    settings, services = _opened()
    change(services)
    plain: Any = YAML(typ="safe").load(settings.text)
    parse(Services, plain["config"][_SERVICES], where=str(settings.path), key=_SERVICES)
    settings.write()


def _find(services: Rows, name: str) -> Any:  # noqa: ANN401 - ruamel's own
    return next((row for row in services if row.get("name") == name), None)


def _required(services: Rows, name: str) -> Any:  # noqa: ANN401 - as above
    found = _find(services, name)
    if found is None:
        known = ", ".join(str(row.get("name")) for row in services)
        raise SettingsError(f"there is no service {name!r}", hint=f"the services are: {known}")
    return found


def _flow(values: dict[str, Any]) -> Any:  # noqa: ANN401 - as above
    """A mapping on one line."""
    made: Any = CommentedMap(values)
    made.fa.set_flow_style()
    return made


def _flow_list(values: list[str]) -> Any:  # noqa: ANN401 - as above
    made: Any = CommentedSeq(values)
    made.fa.set_flow_style()
    return made
