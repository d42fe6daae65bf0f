"""Running the router: in the foreground for the command, in a thread for tests."""

import contextlib
import socket
from collections.abc import Generator
from dataclasses import dataclass
from typing import Unpack

from localcloud.router.app import create_app
from localcloud.router.settings import Options, Settings
from localcloud.router.state import Router
from localcloud.serving import Bound, listen, serving


class RouterServer(Bound):
    """One router bound to its port, not serving yet."""

    def __init__(self, settings: Settings, sock: socket.socket) -> None:
        self.router = Router(settings)
        super().__init__(create_app(self.router), sock)


@dataclass(frozen=True)
class RunningRouter:
    """A router that serves from a thread."""

    url: str
    """What the setting `fleet.router` is set to."""
    admin_url: str
    router: Router
    """The state. Look at it from any thread; change it over HTTP."""


def start_line(url: str) -> dict[str, str]:
    """Return the facts that a parent process needs."""
    return {"url": url, "admin_url": f"{url}/_admin"}


@contextlib.contextmanager
def running_router(redis_url: str, **options: Unpack[Options]) -> Generator[RunningRouter]:
    """Run a router in a thread; on leaving, what was in flight is back in the queue."""
    settings = Settings(redis_url=redis_url, **options)
    sock, url = listen(settings.port)
    with sock:
        server = RouterServer(settings, sock)
        with serving(server, "router"):
            yield RunningRouter(**start_line(url), router=server.router)
