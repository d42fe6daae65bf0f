"""Digests of image references, as a registry tells them to the NAS's own daemon."""

from typing import Any

from contracts.errors import AgentDockerError
from operations import docker_client
from operations.docker_client import docker_api

_SECONDS = 30


class NoDigest(AgentDockerError):
    """No registry told the digest of a reference; none is ever made up."""


def digest(url: str, reference: str) -> str:
    """The digest of `reference`, asked through the daemon at `url`, whose logins are used.

    NoDigest when the registry does not answer, or has no such image.
    """
    try:
        with docker_api(url, timeout=_SECONDS) as api:
            told: dict[str, Any] = api.inspect_distribution(reference)
    except (docker_client.DockerException, docker_client.RequestException, OSError) as error:
        said = " ".join(str(error).split())
        raise NoDigest(f"{reference}: no registry told its digest: {said}") from None
    descriptor: dict[str, Any] = told.get("Descriptor") or {}
    found = str(descriptor.get("digest") or "")
    if not found.startswith("sha256:"):
        raise NoDigest(f"{reference}: its registry told no digest, got {found!r}")
    return found
