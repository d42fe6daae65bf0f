"""The local cloud as a process of its own, that outlives the command which started it."""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from cli import leftovers, processes
from cli.files import LocalFiles
from cli.processes import NotStarted
from contracts.errors import AgentDockerError

_START_SECONDS = 30.0
_NAME = "cloud"
_MODULE = "localcloud.vastai"
# So that a burst of jobs takes a while: a second for each, four at once on a machine.
_WORK_SECONDS = 1.0
_PARALLEL = 4


class CloudFailed(AgentDockerError):
    """The local cloud did not start, or has ended."""


def running(files: LocalFiles) -> dict[str, Any] | None:
    """What the running local cloud said at its start; None when there is none that answers."""
    cloud = files.cloud()
    return cloud if cloud is not None and lives(files) and _answers(cloud) else None


def lives(files: LocalFiles) -> bool:
    """Whether the recorded process runs, and is no other one that has its number by now."""
    return processes.lives(files.cloud(), leftovers.CLOUD_VARIABLE, str(files.folder))


def port(cloud: Mapping[str, Any]) -> int | None:
    """The port on which `cloud` serves its Vast.ai."""
    return urlsplit(str(cloud["url"])).port


def start(files: LocalFiles, *, port: int = 0, boot_seconds: float = 2.0) -> dict[str, Any]:
    """Start a local cloud and wait until it answers."""
    command = [_MODULE, "--port", str(port), "--boot-seconds", str(boot_seconds), "--seed", "1"]
    command += ["--work-seconds", str(_WORK_SECONDS), "--parallel", str(_PARALLEL)]
    # Its key is in no process list.
    env = processes.plain_env(
        LOCALCLOUD_VAST_KEY=files.read("vast-key"),
        **{leftovers.CLOUD_VARIABLE: str(files.folder)},
    )
    try:
        return processes.start(files, _NAME, command, env)
    except NotStarted as error:
        if "Errno" in error.said:
            reason = error.said.rsplit("] ", 1)[-1].lower()
            raise CloudFailed(
                f"the local cloud cannot use port {port}: {reason}",
                hint="choose another with --vast-port, or 0 for any; nothing was started",
            ) from None
        raise CloudFailed(
            f"the local cloud did not start: {error.said}", hint=f"see {error.log}"
        ) from None


def stop(files: LocalFiles) -> bool:
    """End every local cloud of this profile; whether there was one."""
    found = leftovers.clouds(files)
    leftovers.end(found)
    files.cloud_file.unlink(missing_ok=True)
    return bool(found)


def _answers(cloud: Mapping[str, Any]) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            url = f"{cloud['url']}/api/v0/gpu_names/unique/"
            return httpx.get(url, timeout=5, trust_env=False).is_success
        except httpx.TimeoutException:
            continue
        except (httpx.HTTPError, KeyError, httpx.InvalidURL):
            return False
    return False
