"""What runs beside the local cloud: a Redis, agent-router's stand-in, and the autoscaler."""

import json
from collections.abc import Mapping
from typing import Any

from cli import leftovers, processes
from cli.files import LocalFiles, write_whole
from cli.processes import NotStarted
from cli.profile import Profile
from cli.progress import Progress
from contracts.errors import AgentDockerError
from contracts.fleet import FleetSettings

REDIS, ROUTER, AUTOSCALER = "redis", "router", "autoscaler"
QUEUE = "inference"
PARALLEL = 4
# A person watches: everything happens in seconds that takes minutes in production.
_HURRIED: Mapping[str, Any] = {
    "step": "auto",
    "checkIntervalMs": 2_000,
    "healthIntervalSeconds": 0.5,
    "stabilizationSeconds": 6,
    "bootDeadlineSeconds": 60,
    "unhealthyDeadlineSeconds": 10,
    "drainDeadlineSeconds": 20,
    "listen": "127.0.0.1:0",
}


class ServiceFailed(AgentDockerError):
    """A service of the local profile did not start."""


def ensure_passive(files: LocalFiles, progress: Progress) -> None:
    """Redis and router run; those that do already are left alone."""
    with progress.phase("router", "a queue and agent-router's stand-in"):
        redis = _ensure(files, REDIS, ["localcloud.redis", "--port", "0"])
        command = ["localcloud.router", "--port", "0", "--queue", QUEUE]
        command += ["--parallel", str(PARALLEL)]
        _ensure(files, ROUTER, command, REDIS_URL=str(redis["url"]))


def start_autoscaler(files: LocalFiles, profile: Profile, progress: Progress) -> None:
    """The autoscaler of the local gpu stack, in a hurry; ServiceFailed when it does not start."""
    with progress.phase("autoscaler", "the autoscaler"):
        env = autoscaler_env(files, profile)
        start(files, AUTOSCALER, ["autoscaler"], env)


def autoscaler_env(files: LocalFiles, profile: Profile) -> dict[str, str]:
    """The environment of an autoscaler on the local profile; writes its settings file."""
    redis, router = running(files, REDIS), running(files, ROUTER)
    if redis is None or router is None:
        raise ServiceFailed("the local profile has no Redis or no router", hint="run `make up`")
    fleet = FleetSettings.model_validate(profile.target.settings["fleet"])
    document = {
        **_HURRIED,
        "router": router["url"],
        "minInstances": fleet.min,
        "maxInstances": fleet.max,
        "signal": {"kind": "redis-list", "queue": QUEUE, "inFlight": f"{QUEUE}:processing"},
    }
    path = files.folder / "autoscaler.yaml"
    write_whole(path, json.dumps(document, indent=1))
    kept = {k: v for k, v in profile.target.env.items() if k != leftovers.COMMAND_VARIABLE}
    return kept | {
        "REDIS_URL": str(redis["url"]),
        "AGENT_DOCKER_AUTOSCALER_FILE": str(path),
        "AGENT_DOCKER_STATE_DIR": str(files.operations),
        leftovers.SERVICE_VARIABLE: str(files.folder),
    }


def stop_autoscaler(files: LocalFiles) -> bool:
    """End the autoscaler, letting it finish what it does to the stack; whether one ran."""
    ran = leftovers.end_services(files)
    processes.record(files, AUTOSCALER).unlink(missing_ok=True)
    return ran


def forget_passive(files: LocalFiles) -> None:
    """Redis and router have ended with the cloud."""
    for name in (REDIS, ROUTER):
        processes.record(files, name).unlink(missing_ok=True)


def running(files: LocalFiles, name: str) -> dict[str, Any] | None:
    """What the service said at its start, if it runs."""
    said = processes.recorded(files, name)
    variable = leftovers.SERVICE_VARIABLE if name == AUTOSCALER else leftovers.CLOUD_VARIABLE
    return said if processes.lives(said, variable, str(files.folder)) else None


def _ensure(files: LocalFiles, name: str, command: list[str], **env: str) -> dict[str, Any]:
    found = running(files, name)
    if found is not None:
        return found
    marked = {leftovers.CLOUD_VARIABLE: str(files.folder), **env}
    return start(files, name, command, processes.plain_env(**marked))


def start(
    files: LocalFiles, name: str, command: list[str], env: Mapping[str, str]
) -> dict[str, Any]:
    """Start a service that goes on after this command; what it said of itself."""
    try:
        return processes.start(files, name, command, env)
    except NotStarted as error:
        raise ServiceFailed(
            f"the local {name} did not start: {error.said}", hint=f"see {error.log}"
        ) from None
