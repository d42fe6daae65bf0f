"""A client of a Docker daemon. Docker's package is loaded with its first use, not before."""

import contextlib
import importlib
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, cast

from contracts.errors import AgentDockerError

if TYPE_CHECKING:
    from docker.errors import APIError, DockerException, ImageNotFound, NotFound
    from requests import RequestException

    __all__ = ["APIError", "DockerException", "ImageNotFound", "NotFound", "RequestException"]
else:
    _FROM = {
        "APIError": "docker.errors",
        "DockerException": "docker.errors",
        "ImageNotFound": "docker.errors",
        "NotFound": "docker.errors",
        "RequestException": "requests",
    }

    def __getattr__(name: str) -> type[Exception]:
        if name not in _FROM:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        # It takes 0.15 s, which every command of ours would pay.
        return getattr(importlib.import_module(_FROM[name]), name)


class Unreachable(AgentDockerError):
    """The daemon does not answer; whatever runs there goes on."""


def unreachable(url: str, error: BaseException) -> Unreachable:
    """What to raise when `error` kept the daemon at `url` from answering."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    return Unreachable(
        f"the Docker daemon {url} does not answer: {said}",
        hint="see that the machine is on, and that this user may use its docker command",
    )


@contextlib.contextmanager
def docker_api(url: str, *, timeout: float | None) -> Generator[Any]:
    """The API of the daemon at `url` (unix:// or ssh://); `timeout` is that of a call, seconds.

    Its type stubs leave most of what a daemon says open. Its errors are the caller's to name.
    """
    import docker  # noqa: PLC0415 - see above

    client = docker.DockerClient(
        base_url=url,
        version="auto",
        timeout=cast("int", timeout),
        use_ssh_client=url.startswith("ssh://"),
    )
    with contextlib.closing(client):
        yield client.api
