"""A client of a Docker daemon. Docker's package is loaded with its first use, not before."""

import contextlib
import importlib
import shutil
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, cast

from contracts.errors import AgentDockerError
from providers.ssh_relay import relayed

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


def _loaded(name: str) -> type[Exception]:
    found: type[Exception] = getattr(sys.modules[__name__], name)
    return found


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

    Its type stubs leave most of what a daemon says open. Its errors are the caller's to name;
    Unreachable when ssh itself fails.
    """
    if not url.startswith("ssh://"):
        with _client(url, timeout) as api:
            yield api
        return
    if shutil.which("ssh") is None:
        raise unreachable(url, OSError("there is no command ssh"))
    with relayed(url) as relay:
        try:
            with _client(f"unix://{relay.path}", timeout) as api:
                yield api
        except (_loaded("DockerException"), _loaded("RequestException"), OSError) as error:
            # What the daemon itself answers is no matter of the way to it.
            if isinstance(error, _loaded("APIError")) or not relay.said():
                raise
            raise unreachable(url, OSError(relay.said())) from None


@contextlib.contextmanager
def _client(url: str, timeout: float | None) -> Generator[Any]:
    import docker  # noqa: PLC0415 - see above

    client = docker.DockerClient(base_url=url, version="auto", timeout=cast("int", timeout))
    with contextlib.closing(client):
        yield client.api
