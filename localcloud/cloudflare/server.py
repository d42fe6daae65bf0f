"""Running the emulator: in the foreground for the command, in a thread for tests."""

import contextlib
from collections.abc import Generator
from dataclasses import dataclass
from typing import Unpack

from localcloud.cloudflare.app import PREFIX, create_app
from localcloud.cloudflare.cloud import Cloud, new_cloud
from localcloud.cloudflare.settings import Options, Settings
from localcloud.serving import Bound, listen, serving


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
    with sock, serving(Bound(create_app(cloud), sock), "cloudflare"):
        yield RunningCloudflare(**start_line(cloud, root), cloud=cloud)
