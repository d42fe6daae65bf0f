"""The local cloud as a process of its own, that outlives the command which started it."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import urlsplit

import httpx
import psutil

from cli import leftovers
from cli.files import LocalFiles, write_whole
from contracts.errors import AgentDockerError

_START_SECONDS = 30.0
_MODULE = "localcloud.vastai"


class CloudFailed(AgentDockerError):
    """The local cloud did not start, or has ended."""


def running(files: LocalFiles) -> dict[str, Any] | None:
    """What the running local cloud said at its start; None when there is none that answers."""
    cloud = files.cloud()
    return cloud if cloud is not None and lives(files) and _answers(cloud) else None


def lives(files: LocalFiles) -> bool:
    """Whether the recorded process runs, and is no other one that has its number by now."""
    try:
        process = psutil.Process(int((files.cloud() or {})["pid"]))
        dead = process.status() == psutil.STATUS_ZOMBIE
    except (psutil.Error, KeyError, ValueError, TypeError):
        return False
    return not dead and leftovers.is_cloud_of(process, files)


def port(cloud: Mapping[str, Any]) -> int | None:
    """The port on which `cloud` serves its Vast.ai."""
    return urlsplit(str(cloud["url"])).port


def start(files: LocalFiles, *, port: int = 0, boot_seconds: float = 2.0) -> dict[str, Any]:
    """Start a local cloud and wait until it answers."""
    log = files.folder / "cloud.log"
    command = [sys.executable, "-u", "-m", _MODULE, "--port", str(port)]
    command += ["--boot-seconds", str(boot_seconds), "--seed", "1"]
    # From nothing: no variable of the shell reaches it, and its key is in no process list.
    env = {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "LOCALCLOUD_VAST_KEY": files.read("vast-key"),
        leftovers.CLOUD_VARIABLE: str(files.folder),
    }
    with log.open("w") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=env,
            cwd=files.folder,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None  # noqa: S101 - asked for above
    with process.stdout as out:
        line = _first_line(out)
    if line:
        # Not recorded before it answers; until then its environment is what `stop` knows it by.
        cloud: dict[str, Any] = {"pid": process.pid, **json.loads(line)}
        write_whole(files.cloud_file, json.dumps(cloud))
        return cloud
    leftovers.end(leftovers.clouds(files))
    process.wait()
    said = log.read_text().strip().splitlines() or ["it did not answer in time"]
    if any("Errno" in part for part in said[-1:]):
        reason = said[-1].rsplit("] ", 1)[-1].lower()
        raise CloudFailed(
            f"the local cloud cannot use port {port}: {reason}",
            hint="choose another with --vast-port, or 0 for any; nothing was started",
        )
    raise CloudFailed(f"the local cloud did not start: {said[-1]}", hint=f"see {log}")


def stop(files: LocalFiles) -> bool:
    """End every local cloud of this profile; whether there was one."""
    found = leftovers.clouds(files)
    leftovers.end(found)
    files.cloud_file.unlink(missing_ok=True)
    return bool(found)


def _first_line(out: IO[str]) -> str:
    """The line that the cloud says when it serves; empty when it ends, or takes too long."""
    ready, _, _ = select.select([out], [], [], _START_SECONDS)
    return out.readline() if ready else ""


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
