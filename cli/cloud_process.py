"""The local cloud as a process of its own, that outlives the command which started it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import httpx
import psutil

from cli.profile import LocalFiles
from contracts.errors import AgentDockerError

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_MODULE = "localcloud.vastai"


class CloudFailed(AgentDockerError):
    """The local cloud did not start."""


def running(files: LocalFiles) -> dict[str, Any] | None:
    """What the running local cloud said at its start; None when there is none."""
    try:
        cloud: dict[str, Any] = json.loads(files.cloud.read_text())
    except (OSError, ValueError):
        return None
    return cloud if _process(cloud) is not None and _answers(cloud) else None


def start(files: LocalFiles, *, port: int = 0, boot_seconds: float = 3.0) -> dict[str, Any]:
    """Start a local cloud and wait until it answers."""
    log = files.folder / "cloud.log"
    command = [sys.executable, "-u", "-m", _MODULE, "--port", str(port)]
    command += ["--boot-seconds", str(boot_seconds), "--seed", "1"]
    # From nothing: no variable of the shell reaches it, and its key is in no process list.
    env = {"PATH": os.defpath, "LANG": "C.UTF-8", "LOCALCLOUD_VAST_KEY": files.read("vast-key")}
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
    # Written before it answers: whatever happens now, `down` finds the process.
    created = psutil.Process(process.pid).create_time()
    base = {"pid": process.pid, "created": created}
    files.cloud.write_text(json.dumps(base | {"url": "", "endpoint_template": ""}))
    assert process.stdout is not None  # noqa: S101 - asked for above
    with process.stdout as out:
        line = out.readline()
    if not line:
        files.cloud.unlink(missing_ok=True)
        reason = log.read_text().strip().splitlines() or ["no reason given"]
        taken = any("in use" in part for part in reason)
        raise CloudFailed(
            f"port {port} is taken" if taken else f"the local cloud did not start: {reason[-1]}",
            hint="choose another with --vast-port, or 0 for any" if taken else f"see {log}",
        )
    cloud: dict[str, Any] = base | json.loads(line)
    files.cloud.write_text(json.dumps(cloud))
    return cloud


def stop(files: LocalFiles) -> bool:
    """End the local cloud; whether there was one. Only ever the process that `start` made."""
    try:
        process = _process(json.loads(files.cloud.read_text()))
    except (OSError, ValueError):
        process = None
    if process is not None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()
    files.cloud.unlink(missing_ok=True)
    return process is not None


def _process(cloud: Mapping[str, Any]) -> psutil.Process | None:
    """The process that wrote the file, not another one that has its number by now."""
    try:
        process = psutil.Process(int(cloud["pid"]))
        same = abs(process.create_time() - float(cloud["created"])) < 1
    except (psutil.Error, KeyError, ValueError, TypeError):
        return None
    return process if same and process.status() != psutil.STATUS_ZOMBIE else None


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
