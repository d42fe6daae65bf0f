"""The resource type RemoteImage and the function getRegistryImage."""

from collections.abc import Iterable, Mapping
from typing import Any

from localcloud.plugins.docker.daemon import Daemon, answering, unless_gone
from localcloud.plugins.docker.registries import auth_for, host_of
from localcloud.plugins.docker.sameness import same
from localcloud.plugins.docker.shapes import GET_REGISTRY_IMAGE, REMOTE_IMAGE
from localcloud.plugins.model import Call, Found, Function, Made, Old, PluginError, ResourceType
from localcloud.plugins.shapes import Refusal
from localcloud.plugins.values import Properties, Values, flag_of, text_of


def check(inputs: Properties) -> list[Refusal]:
    """Refuse what this plugin does not do."""
    if "build" not in inputs:
        return []
    return [Refusal("build", "the offline docker plugin does not build images: leave `build` out")]


def create(call: Call[Daemon], inputs: Properties) -> Made:
    """Take the image that is there, whatever the triggers say; pull one that is not."""
    name = text_of(inputs, "name")
    found = _inspect(call, name)
    if found is None:
        _pull(call, name, text_of(inputs, "platform"))
        found = _inspect(call, name)
    if found is None:
        raise PluginError(f"image {name} was pulled, but the daemon does not have it")
    # As the official plugin: two names of one image are two resources.
    return Made(found["Id"] + name, _state(found, name))


def read(call: Call[Daemon], old: Old) -> Found | None:
    """Look at what the name stands for by now."""
    name = text_of(old.outputs, "name") or text_of(old.inputs, "name")
    if not name:
        raise PluginError(
            f"image {old.id} cannot be imported: an image is declared, not taken over\n"
            "hint: leave `import_` out; what is there already is not pulled again"
        )
    found = _inspect(call, name)
    if found is None:
        return None
    return Found(found["Id"] + name, _state(found, name), {"name": name})


def update(call: Call[Daemon], old: Old, inputs: Properties) -> Values:
    """Keep the new `keepLocally` and `forceRemove`; they say what a delete does."""
    del call, inputs
    return {name: old.outputs.get(name) for name in ("imageId", "repoDigest")}


def delete(call: Call[Daemon], old: Old) -> None:
    """Remove the image unless it is kept."""
    if flag_of(old.outputs, "keepLocally"):
        return
    name = text_of(old.outputs, "name")
    with answering(f"image {name} cannot be removed"), unless_gone():
        call.client.api.remove_image(name, force=flag_of(old.outputs, "forceRemove"))


def get_registry_image(call: Call[Daemon], given: Properties) -> Values:
    """Ask the registry, through the daemon, what a tag stands for."""
    name = text_of(given, "name")
    with answering(f"image {name}: {host_of(name)} did not say its digest"):
        found: Mapping[str, Any] = call.client.api.inspect_distribution(
            name, auth_config=auth_for(name, call.client.registries)
        )
    digest: str = found["Descriptor"]["digest"]
    return {"id": digest, "name": name, "sha256Digest": digest}


def _inspect(call: Call[Daemon], name: str) -> Mapping[str, Any] | None:
    with answering(f"image {name} cannot be inspected"), unless_gone():
        found: Mapping[str, Any] = call.client.api.inspect_image(name)
        return found
    return None


def _pull(call: Call[Daemon], name: str, platform: str) -> None:
    # Without a tag the daemon would pull all of them.
    has_tag = ":" in name.rsplit("/", 1)[-1] or "@" in name
    call.log(f"pulling {name}")
    with answering(
        f"image {name} is not on {call.client.host} and cannot be pulled: {host_of(name)} did not"
        " give it\nhint: offline, import it: tar -c . | docker import - NAME. The daemon says"
    ):
        steps: Iterable[Mapping[str, Any]] = call.client.api.pull(
            name,
            tag=None if has_tag else "latest",
            platform=platform or None,
            auth_config=auth_for(name, call.client.registries),
            stream=True,
            decode=True,
        )
        # What fails half-way is told within an answer that began well.
        failed = next((step["error"] for step in steps if "error" in step), None)
    if failed is not None:
        raise PluginError(f"image {name} cannot be pulled: {failed}")


def _state(found: Mapping[str, Any], name: str) -> Values:
    return {"imageId": found["Id"], "repoDigest": _digest(found, name)}


def _digest(found: Mapping[str, Any], name: str) -> str:
    """The digest under this name; empty for an image that came from no registry."""
    repository = name.partition("@")[0]
    head, slash, last = repository.rpartition("/")
    repository = f"{head}{slash}{last.partition(':')[0]}"
    digests: list[str] = found.get("RepoDigests") or []
    return next((digest for digest in digests if digest.partition("@")[0] == repository), "")


TYPE = ResourceType[Daemon](
    token="docker:index/remoteImage:RemoteImage",  # noqa: S106 - a type's name
    inputs=REMOTE_IMAGE,
    create=create,
    read=read,
    update=update,
    delete=delete,
    replaces=frozenset({"build", "name", "platform", "pullTriggers", "triggers"}),
    computed=frozenset({"imageId", "repoDigest"}),
    check=check,
    same=same,
)
GET = Function[Daemon](
    token="docker:index/getRegistryImage:getRegistryImage",  # noqa: S106 - likewise
    inputs=GET_REGISTRY_IMAGE,
    run=get_registry_image,
)
