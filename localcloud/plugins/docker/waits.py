"""Waiting for a container: that it runs, that it is healthy."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from localcloud.plugins.docker.daemon import Daemon, answering
from localcloud.plugins.model import Call

# What fails at its start is gone by then.
SETTLE_SECONDS = 0.3
_POLL_SECONDS = 0.1
_HEALTH_POLL_SECONDS = 1.0


def inspect(daemon: Daemon, container: str) -> Mapping[str, Any]:
    """`docker inspect`. Raises PluginError."""
    with answering(f"container {container[:12]} cannot be inspected"):
        found: Mapping[str, Any] = daemon.api.inspect_container(container)
    return found


def trouble_at_start(call: Call[Daemon], container: str) -> str | None:
    """Why a container that must run does not; None when it is up after a moment."""
    end = time.monotonic() + SETTLE_SECONDS
    while True:
        state = inspect(call.client, container)["State"]
        if not state["Running"] and not state.get("Restarting"):
            return _exited(state)
        if time.monotonic() >= end or call.cancelled.wait(_POLL_SECONDS):
            return None


def trouble_with_health(call: Call[Daemon], container: str, seconds: float) -> str | None:
    """Why a container is not healthy within `seconds`; `unhealthy` may still change."""
    end = time.monotonic() + seconds
    state: Mapping[str, Any] = {}
    while time.monotonic() < end:
        found = inspect(call.client, container)
        state = found["State"]
        if (trouble := _hopeless(found)) is not None:
            return trouble
        if state["Health"]["Status"] == "healthy":
            return None
        pause = _HEALTH_POLL_SECONDS
        if call.cancelled.wait(min(pause, max(0.0, end - time.monotonic()))):
            return "the update was cancelled before the container was healthy"
    status = state.get("Health", {}).get("Status", "not asked")
    return f"not healthy within {seconds:g} s: {status}{_last_probe(state)}"


def _hopeless(found: Mapping[str, Any]) -> str | None:
    state = found["State"]
    if not state.get("Health"):
        return "`wait` is set, but neither the container nor its image has a health check"
    comes_back = found["HostConfig"]["RestartPolicy"]["Name"] not in {"", "no"}
    return None if state["Running"] or comes_back else _exited(state)


def _exited(state: Mapping[str, Any]) -> str:
    error = f": {state['Error']}" if state.get("Error") else ""
    return f"exited with code {state['ExitCode']} right after its start{error}"


def _last_probe(state: Mapping[str, Any]) -> str:
    log: list[Mapping[str, Any]] = state.get("Health", {}).get("Log") or []
    return f"; its last probe said: {log[-1]['Output'].strip()[:200]}" if log else ""


def until(holds: Callable[[], bool], call: Call[Daemon], seconds: float) -> bool:
    """Whether `holds` came true within `seconds`."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() >= end or call.cancelled.wait(_POLL_SECONDS):
            return False
    return True
