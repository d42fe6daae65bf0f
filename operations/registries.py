"""Digests of image references, as a registry tells them to the NAS's own daemon."""

import contextlib
from typing import Any

import docker
import requests
from docker.errors import DockerException

from contracts.errors import AgentDockerError

_SECONDS = 30


class NoDigest(AgentDockerError):
    """No registry told the digest of a reference; none is ever made up."""


def digest(url: str, reference: str) -> str:
    """The digest of `reference`, asked through the daemon at `url`, whose logins are used.

    NoDigest when the registry does not answer, or has no such image.
    """
    try:
        client = docker.DockerClient(
            base_url=url,
            version="auto",
            timeout=_SECONDS,
            use_ssh_client=url.startswith("ssh://"),
        )
        with contextlib.closing(client):
            # Its type stubs leave this call open.
            api: Any = client.api
            told: dict[str, Any] = api.inspect_distribution(reference)
    except (DockerException, requests.RequestException, OSError) as error:
        said = " ".join(str(error).split())
        raise NoDigest(f"{reference}: no registry told its digest: {said}") from None
    descriptor: dict[str, Any] = told.get("Descriptor") or {}
    found = str(descriptor.get("digest") or "")
    if not found.startswith("sha256:"):
        raise NoDigest(f"{reference}: its registry told no digest, got {found!r}")
    return found
