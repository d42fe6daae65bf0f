"""The two worlds a command may work in: the local profile, and production.

The local profile builds the environment of its children from an allow-list, so nothing of the
shell (keys, backends, clusters, daemons) can lead it to a real account. Production passes the
shell's environment on, and is only ever chosen by name.
"""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import platformdirs
from ruamel.yaml import YAML

from contracts.errors import AgentDockerError, SettingsError
from contracts.program import PROJECT
from operations.fleet import Fleet
from operations.process import Limits, OnEvent
from operations.stack import Stack
from operations.target import Target
from providers.vastai.client import VastClient
from providers.vastai.credentials import DUMMY_PREFIX, KEY_ALIAS, KEY_VARIABLE, Credentials

ROOT = Path(__file__).resolve().parent.parent
GPU = "gpu"
Kind = Literal["local", "production"]
TAILNET_KEY = "TAILSCALE_AUTH_KEY"
_SECRETS = (KEY_VARIABLE, KEY_ALIAS, TAILNET_KEY, "PULUMI_CONFIG_PASSPHRASE", "PULUMI_ACCESS_TOKEN")


class NotRunning(AgentDockerError):
    """The local profile is down."""


def stack_settings(stack: str, root: Path = ROOT) -> dict[str, Any]:
    """The settings that `Pulumi.<stack>.yaml` holds, keys without the project's name."""
    path = root / f"Pulumi.{stack}.yaml"
    if not path.exists():
        raise SettingsError(f"{path.name} does not exist", hint="the stacks are: gpu")
    document = YAML(typ="safe").load(path) or {}
    config: Mapping[str, Any] = document.get("config") or {}
    return {key.removeprefix(f"{PROJECT}:"): value for key, value in config.items()}


@dataclass(frozen=True, kw_only=True)
class LocalFiles:
    """Where the local profile keeps its things; `folder` is private and ignored by git."""

    folder: Path

    @classmethod
    def of(cls, env: Mapping[str, str]) -> "LocalFiles":
        """`AGENT_DOCKER_LOCAL_DIR`, else `.local` in the checkout."""
        return cls(folder=Path(env.get("AGENT_DOCKER_LOCAL_DIR") or ROOT / ".local"))

    def prepare(self) -> None:
        """Make the folders and the random secrets, once."""
        for name in ("backend", "home", "tmp", "run", "operations"):
            (self.folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, value in (
            ("passphrase", secrets.token_urlsafe(24)),
            ("vast-key", DUMMY_PREFIX + secrets.token_hex(16)),
            ("tailnet-key", DUMMY_PREFIX + secrets.token_hex(16)),
            ("owner", secrets.token_hex(6)),
        ):
            _write_once(self.folder / name, value)

    def read(self, name: str) -> str:
        """The content of one of the random files."""
        return (self.folder / name).read_text().strip()

    @property
    def cloud(self) -> Path:
        """What the local cloud said when it started, and its process."""
        return self.folder / "cloud.json"


def _write_once(path: Path, value: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(value)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What the commands of one profile work with."""

    kind: Kind
    target: Target

    @property
    def local(self) -> bool:
        """Whether nothing beyond this machine is reached."""
        return self.kind == "local"

    def vast(self) -> VastClient:
        """A client of the account this profile rents from."""
        return VastClient(Credentials.read(self.target.env))

    def fleet(self, on_event: OnEvent, limits: Limits | None = None) -> Fleet:
        """The gpu stack of this profile."""
        stack = Stack(target=self.target, on_event=on_event, limits=limits or Limits())
        return Fleet(stack=stack, cloud=self.vast)


def local_profile(env: Mapping[str, str]) -> Profile:
    """The profile of the local cloud that runs; NotRunning when none does."""
    files = LocalFiles.of(env)
    try:
        cloud = json.loads(files.cloud.read_text())
    except (OSError, ValueError):
        raise NotRunning(
            "the local profile is down", hint="start it with `make up` (`agent-docker up`)"
        ) from None
    return Profile(kind="local", target=local_target(files, cloud, env))


def local_target(files: LocalFiles, cloud: Mapping[str, Any], env: Mapping[str, str]) -> Target:
    """The gpu stack on the local cloud: production's settings, with local places and keys."""
    from tools import engine  # noqa: PLC0415 - production needs no engine of ours

    settings = stack_settings(GPU)
    places = {"endpoint": cloud["endpoint_template"].replace("{port}", "{local_port}")}
    return Target(
        stack=GPU,
        env=engine.child_environment(
            engine.ensure(env),
            python=python(),
            home=files.folder / "home",
            backend_url=f"file://{files.folder / 'backend'}",
            passphrase_file=files.folder / "passphrase",
            extra={
                "TMPDIR": str(files.folder / "tmp"),
                "VAST_URL": cloud["url"],
                KEY_VARIABLE: files.read("vast-key"),
                TAILNET_KEY: files.read("tailnet-key"),
                "AGENT_DOCKER_VAST_PACE": "off",
                "AGENT_DOCKER_RUN_DIR": str(files.folder / "run"),
                "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            },
        ),
        state=files.folder / "operations",
        settings={
            **settings,
            "owner": files.read("owner"),
            "fleet": {**settings["fleet"], **places, "router": None},
        },
        secrets=tuple(files.read(name) for name in ("passphrase", "vast-key", "tailnet-key")),
    )


def production_profile(stack: str, env: Mapping[str, str]) -> Profile:
    """The stack of the backend that the shell names; nothing local is involved."""
    if not env.get("PULUMI_BACKEND_URL"):
        raise SettingsError(
            "PULUMI_BACKEND_URL is not set, so production's stacks cannot be found",
            hint="export PULUMI_BACKEND_URL=s3://… (or postgres://…), as for `pulumi` itself",
        )
    state = platformdirs.user_state_path("agent-docker", ensure_exists=True) / stack
    target = Target(
        stack=stack,
        env=dict(env),
        state=state,
        settings=stack_settings(stack),
        secrets=tuple(env[name] for name in _SECRETS if env.get(name)),
    )
    return Profile(kind="production", target=target)


def python() -> Path:
    """The interpreter that runs the program: this one."""
    import sys  # noqa: PLC0415 - the only use

    return Path(sys.executable)
