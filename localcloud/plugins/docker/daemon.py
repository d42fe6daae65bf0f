"""The daemon as the provider's settings name it, connected at first use."""

import importlib.util
import os
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localcloud.plugins.docker.registries import Registry, registries
from localcloud.plugins.model import PluginError
from localcloud.plugins.values import Properties, text_of, texts_of
from providers.ssh_relay import relayed

if TYPE_CHECKING:
    from docker import APIClient

DEFAULT_HOST = "unix:///var/run/docker.sock"
# For the first answer; later ones take as long as a pull or a stop with its grace.
CONNECT_SECONDS = 20
ANSWER_SECONDS = 600
_NOT_DONE = ("caMaterial", "certMaterial", "context", "keyMaterial")


@dataclass
class Daemon:
    """One Docker Engine. Threads share it; the first that needs it connects."""

    host: str
    cert_path: str
    registries: tuple[Registry, ...]
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _api: "APIClient | None" = field(default=None, init=False)
    _has_bridge: bool | None = field(default=None, init=False)
    _way: ExitStack = field(default_factory=ExitStack, init=False)

    @property
    def api(self) -> Any:  # noqa: ANN401 - an APIClient; its stubs leave every answer untyped
        """The connected client. Raises PluginError, which names the host, when nobody answers."""
        with self._lock:
            if self._api is None:
                self._api = self._connected()
            return self._api

    @property
    def has_bridge(self) -> bool:
        """Whether there is the network `bridge`; a daemon may run without (--bridge=none)."""
        if self._has_bridge is None:
            with answering("networks cannot be listed"):
                found: list[dict[str, Any]] = self.api.networks(names=["bridge"])
            self._has_bridge = any(network["Name"] == "bridge" for network in found)
        return self._has_bridge

    def _connected(self) -> "APIClient":
        # Importing the package takes longer than all else: a preview does without.
        from docker import APIClient  # noqa: PLC0415
        from docker.errors import DockerException  # noqa: PLC0415
        from docker.tls import TLSConfig  # noqa: PLC0415

        tls: TLSConfig | bool = False
        host, relay = self.host, None
        if host.startswith("ssh://"):
            # For as long as this process lives.
            relay = self._way.enter_context(relayed(host))
            host = f"unix://{relay.path}"
        try:
            if self.cert_path:
                files = [os.path.join(self.cert_path, name) for name in ("cert.pem", "key.pem")]  # noqa: PTH118 - texts are what it takes
                authority = os.path.join(self.cert_path, "ca.pem")  # noqa: PTH118
                tls = TLSConfig(client_cert=(files[0], files[1]), ca_cert=authority, verify=True)
            api = APIClient(base_url=host, version="auto", timeout=CONNECT_SECONDS, tls=tls)
        except (DockerException, OSError) as error:
            said = relay.said() if relay is not None else ""
            raise PluginError(
                f"the Docker daemon at {self.host} cannot be reached: {said or error}\n"
                "hint: start it, or set the docker provider's `host` to one that runs"
            ) from error
        api.timeout = ANSWER_SECONDS
        return api


def configured(settings: Properties) -> Daemon:
    """Make a Daemon of the provider's settings."""
    if importlib.util.find_spec("docker") is None:
        raise PluginError(
            "the Python package docker is not installed\nhint: pip install 'agent-docker[nas]'"
        )
    host = text_of(settings, "host") or os.environ.get("DOCKER_HOST", "") or DEFAULT_HOST
    refused = [name for name in _NOT_DONE if text_of(settings, name)]
    if host.startswith("ssh://") and texts_of(settings, "sshOpts"):
        refused.append("sshOpts")
    if refused:
        raise PluginError(
            f"the offline docker plugin does not do the provider's {', '.join(refused)}\n"
            "hint: set `host` (and `certPath`); options of ssh go to ~/.ssh/config"
        )
    return Daemon(host, text_of(settings, "certPath"), registries(settings))


@contextmanager
def answering(what: str) -> Generator[None]:
    """Turn the daemon's refusals into errors that say `what` was not done."""
    from docker.errors import APIError, DockerException  # noqa: PLC0415 - see _connected

    try:
        yield
    except APIError as error:
        raise PluginError(f"{what}: {error.explanation or error}") from error
    except (DockerException, OSError) as error:  # a connection's failure is an OSError
        raise PluginError(f"{what}: {error}") from error


@contextmanager
def unless_gone() -> Generator[None]:
    """Take an object that is not there as no failure."""
    from docker.errors import NotFound  # noqa: PLC0415 - see _connected

    try:
        yield
    except NotFound:
        return
