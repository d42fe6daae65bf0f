"""Running the emulator: in the foreground for the command, in a thread for tests."""

import contextlib
import socket
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Unpack

import uvicorn

from localcloud.cloudflare.app import PREFIX, create_app
from localcloud.cloudflare.cloud import Cloud, new_cloud
from localcloud.cloudflare.settings import Options, Settings
from localcloud.serving import Server, listen, serving


class CloudflareServer:
    """One emulator bound to its port, not serving yet."""

    def __init__(self, cloud: Cloud, sock: socket.socket) -> None:
        self.cloud = cloud
        self._sock = sock
        config = uvicorn.Config(
            create_app(cloud),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=5,
        )
        self._server = Server(config)

    async def serve(self, on_ready: Callable[[], None]) -> None:
        """Serve until `stop`; then nothing is in flight any more."""
        self._server.on_ready = on_ready
        await self._server.serve([self._sock])

    def stop(self) -> None:
        """Let `serve` return."""
        self._server.should_exit = True


@dataclass(frozen=True)
class RunningCloudflare:
    """An emulator that serves from a thread."""

    url: str
    """What `CLOUDFLARE_BASE_URL` is set to."""
    admin_url: str
    account_id: str
    zone_id: str
    token: str
    cloud: Cloud
    """The state. Look at it from any thread; change it over HTTP."""


def start_line(cloud: Cloud, root: str) -> dict[str, str]:
    """Return the facts that a parent process needs."""
    return {
        "url": f"{root}{PREFIX}",
        "admin_url": f"{root}/_admin",
        "account_id": cloud.state.account["id"],
        "zone_id": cloud.state.zone["id"],
        "token": cloud.settings.token,
    }


@contextlib.contextmanager
def running_cloudflare(**options: Unpack[Options]) -> Generator[RunningCloudflare]:
    """Run an emulator in a thread."""
    cloud = new_cloud(Settings(**options))
    sock, root = listen(cloud.settings.port)
    with sock, serving(CloudflareServer(cloud, sock), "cloudflare"):
        yield RunningCloudflare(**start_line(cloud, root), cloud=cloud)
