"""The two worlds a command may work in: the local profile, and production.

The local profile builds the environment of its children from an allow-list, so nothing of the
shell (keys, backends, clusters, daemons) can lead it to a real account. Production passes the
shell's environment on, and is only ever chosen by name.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cli import cloud_process, leftovers, processes
from cli.files import LocalFiles
from cli.settings import stack_settings
from contracts.errors import AgentDockerError
from operations.fleet import Fleet
from operations.process import Limits, OnEvent
from operations.shell import shell_target
from operations.stack import Stack
from operations.target import Target
from providers.vastai.client import VastClient
from providers.vastai.credentials import KEY_VARIABLE, Credentials

GPU = "gpu"
Kind = Literal["local", "production"]
TAILNET_KEY = "TAILSCALE_AUTH_KEY"
# The local cloud answers a create at once: nobody has to wait as for the real one.
_LOCAL_LIMITS = Limits(first_wait=20.0, second_wait=5.0)


class NotRunning(AgentDockerError):
    """The local profile is down."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What the commands of one profile work with. `files` only in the local one."""

    kind: Kind
    target: Target
    files: LocalFiles | None = None

    def vast(self) -> VastClient:
        """A client of the account this profile rents from."""
        return VastClient(Credentials.read(self.target.env))

    def fleet(self, on_event: OnEvent) -> Fleet:
        """The gpu stack of this profile."""
        limits = _LOCAL_LIMITS if self.kind == "local" else Limits()
        stack = Stack(target=self.target, on_event=on_event, limits=limits)
        return Fleet(stack=stack, cloud=self.vast)


def local_profile(env: Mapping[str, str]) -> Profile:
    """The profile of the local cloud that runs; NotRunning when none does."""
    from tools import engine  # noqa: PLC0415 - production needs no engine of ours

    files = LocalFiles.of(env)
    start = "start it with `make up` (`agent-docker up`)"
    cloud = files.cloud()
    if cloud is None:
        raise NotRunning("the local profile is down", hint=start)
    if not cloud_process.lives(files):
        raise NotRunning("the local cloud has ended, and its machines with it", hint=start)
    if engine.locate(env) is None:
        raise NotRunning(f"there is no Pulumi engine {engine.PINNED}", hint="`make up` installs it")
    return profile_on(files, cloud, env)


def profile_on(files: LocalFiles, cloud: Mapping[str, Any], env: Mapping[str, str]) -> Profile:
    """The gpu stack on `cloud`: production's settings, with local places and keys."""
    from tools import engine  # noqa: PLC0415 - see above

    settings = stack_settings(GPU, env)
    places = {"endpoint": cloud["endpoint_template"].replace("{port}", "{local_port}")}
    target = Target(
        stack=GPU,
        env=engine.child_environment(
            engine.ensure(env),
            python=Path(sys.executable),
            home=files.folder / "home",
            backend_url=f"file://{files.backend}",
            passphrase_file=files.folder / "passphrase",
            extra={
                "TMPDIR": str(files.folder / "tmp"),
                "VAST_URL": cloud["url"],
                KEY_VARIABLE: files.read("vast-key"),
                TAILNET_KEY: files.read("tailnet-key"),
                "AGENT_DOCKER_VAST_PACE": "off",
                "AGENT_DOCKER_RUN_DIR": str(files.folder / "run"),
                "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
                **leftovers.mark(files),
            },
        ),
        state=files.folder / "operations",
        settings={
            **settings,
            "owner": files.read("owner"),
            "fleet": {**(settings.get("fleet") or {}), **places, "router": _router(files)},
        },
        secrets=tuple(files.read(name) for name in ("passphrase", "vast-key", "tailnet-key")),
    )
    return Profile(kind="local", target=target, files=files)


def _router(files: LocalFiles) -> str | None:
    """agent-router's stand-in, while it runs."""
    said = processes.recorded(files, "router")
    mark = leftovers.CLOUD_VARIABLE, str(files.folder)
    return str(said["url"]) if said and processes.lives(said, *mark) else None


def production_profile(stack: str, env: Mapping[str, str]) -> Profile:
    """The stack of the backend that the shell names; nothing local is involved."""
    target = shell_target(stack, env, settings=lambda: stack_settings(stack, env))
    return Profile(kind="production", target=target)
