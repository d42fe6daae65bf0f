"""The two worlds of the nas stack: this machine's Docker daemon, and the NAS."""

import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from cli import leftovers, services
from cli.engine_env import engine_env
from cli.files import LocalFiles, write_whole
from cli.processes import plain_env
from cli.progress import Progress
from cli.settings import read_yaml, settings_file, stack_settings
from contracts.errors import AgentDockerError, SettingsError
from contracts.nas import NasDocuments
from contracts.program import PROJECT
from contracts.services import TUNNEL_TOKEN
from contracts.settings import parse
from operations.daemon import Daemon
from operations.gate import Gate
from operations.jobs import OPERATIONS_AT_ONCE
from operations.nas import Nas
from operations.shell import backend_target
from operations.stack import Stack
from operations.target import Target

NAS = "nas"
SOCKET_VARIABLE = "AGENT_DOCKER_DOCKER_SOCKET"
PREFIX = "agent-docker-local-"
CLOUDFLARE = "cloudflare"
_AT_ONCE_OVER_SSH = 4
_SOCKET = "/var/run/docker.sock"
# Of its own, so that a database of this machine keeps its port; only Linux has all of 127/8.
_ADDRESS = "127.65.0.1" if sys.platform == "linux" else "127.0.0.1"


class NoDaemon(AgentDockerError):
    """No Docker daemon answers on this machine."""


@dataclass(frozen=True, kw_only=True)
class NasProfile:
    """What the nas commands of one profile work with."""

    kind: Literal["local", "production"]
    target: Target
    files: LocalFiles | None = None

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings that a deploy takes."""
        return self.target.settings

    @cached_property
    def documents(self) -> NasDocuments:
        """The same, checked."""
        keys = ("nas", "services", "ingress", "images", "backups")
        given = {key: self.settings[key] for key in keys if self.settings.get(key) is not None}
        return parse(NasDocuments, given, where=f"Pulumi.{NAS}.yaml", key=PROJECT)

    def nas(self, progress: Progress) -> Nas:
        """Operations on the stack."""
        # Each operation over ssh is a session; sshd turns more than a few at once away.
        far = self.documents.nas.docker.startswith("ssh://")
        parallel = _AT_ONCE_OVER_SSH if far else OPERATIONS_AT_ONCE
        stack = Stack(target=self.target, on_event=progress.on_event, parallel=parallel)

        def told(well: int, count: int) -> None:
            progress.say(f"services start: {well} of {count} work")

        def gate(daemon: Daemon) -> Gate:
            return Gate(daemon=daemon, stack=NAS, deadline=deadline(self), on_progress=told)

        return Nas(stack=stack, gate=gate)


def deadline(profile: NasProfile) -> float:
    """Seconds that the slowest service may take until it works."""
    checks = (service.health for service in profile.documents.services.root.values())
    return 15.0 + max(
        (
            check.start_period_seconds
            + check.retries * (check.interval_seconds + check.timeout_seconds)
            for check in checks
        ),
        default=0,
    )


def production_nas(env: Mapping[str, str]) -> NasProfile:
    """The stack of the backend that the shell names, with the checkout's settings and secrets."""
    path = settings_file(NAS, env)
    document: Mapping[str, Any] = read_yaml(path) or {}
    target = backend_target(
        NAS,
        # A context of the shell's docker command would win over the daemon in the settings.
        {name: value for name, value in env.items() if not name.startswith("DOCKER_")},
        settings=stack_settings(NAS, env),
        document={key: value for key, value in document.items() if key != "config"},
        secrets=tuple(env[name] for name in _SECRETS if env.get(name)),
    )
    return NasProfile(kind="production", target=target)


_SECRETS = ("CLOUDFLARE_API_TOKEN", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_ACCESS_TOKEN")


def local_nas(files: LocalFiles, env: Mapping[str, str], progress: Progress) -> NasProfile:
    """The stack on this machine's daemon, with stand-ins for what it cannot have.

    NoDaemon when there is none. Starts the Cloudflare emulator unless it runs.
    """
    files.prepare()
    url = local_daemon(env)
    cloudflare = _cloudflare(files)
    settings = _local_settings(stack_settings(NAS, env), url, cloudflare)
    made = _secrets_of(files, settings)
    target = Target(
        stack=NAS,
        env=engine_env(
            files,
            env,
            progress,
            files.nas_backend,
            CLOUDFLARE_BASE_URL=cloudflare["url"],
            CLOUDFLARE_API_TOKEN=cloudflare["token"],
        ),
        state=files.folder / "nas",
        settings=settings,
        secrets=(*made.values(), cloudflare["token"], files.read("passphrase")),
        secret_settings=made,
    )
    return NasProfile(kind="local", target=target, files=files)


def local_daemon(env: Mapping[str, str]) -> str:
    """The URL of this machine's own daemon; DOCKER_HOST may be another machine's and is not read.

    NoDaemon when none answers.
    """
    path = env.get(SOCKET_VARIABLE) or _SOCKET
    url = f"unix://{path}"
    if not Path(path).is_socket() or not os.access(path, os.W_OK):
        raise NoDaemon(
            f"this machine has no Docker daemon at {path}",
            hint=f"start one, or name its socket in {SOCKET_VARIABLE}",
        )
    return url


def _cloudflare(files: LocalFiles) -> dict[str, Any]:
    state = files.folder / "cloudflare-state.json"
    found = services.running(files, CLOUDFLARE)
    if found is not None:
        return found
    env = plain_env(**{leftovers.CLOUD_VARIABLE: str(files.folder)})
    command = ["localcloud.cloudflare", "--port", "0", "--state", str(state)]
    return services.start(files, CLOUDFLARE, command, env)


def _local_settings(
    settings: Mapping[str, Any], url: str, cloudflare: Mapping[str, Any]
) -> dict[str, Any]:
    """Production's settings with local places; the autoscaler runs as a process of its own."""
    given: Sequence[Mapping[str, Any]] = settings.get("services") or ()
    if not given:
        raise SettingsError(f"Pulumi.{NAS}.yaml: {PROJECT}:services is required")
    ingress: Mapping[str, Any] = settings.get("ingress") or {}
    return {
        **{key: value for key, value in settings.items() if key not in {"secrets", "backups"}},
        "nas": {"docker": url, "prefix": PREFIX, "publish": _ADDRESS},
        "services": [service for service in given if service.get("name") != "autoscaler"],
        "ingress": {
            **{key: value for key, value in ingress.items() if key in {"zone", "origin"}},
            "accountId": cloudflare["account_id"],
            "zoneId": cloudflare["zone_id"],
            "access": {"emails": ["you@example.com"], "serviceTokens": ["ci"]},
        },
    }


def _secrets_of(files: LocalFiles, settings: Mapping[str, Any]) -> dict[str, str]:
    """A random value for each secret that the services name; the same ones every time."""
    keys = ("nas", "services", "ingress")
    given = {key: settings[key] for key in keys}
    documents = parse(NasDocuments, given, where=f"Pulumi.{NAS}.yaml", key=PROJECT)
    path = files.folder / "nas-secrets.yaml"
    known: dict[str, str] = dict(read_yaml(path) or {}) if path.exists() else {}
    missing = documents.secrets - set(known) - {TUNNEL_TOKEN}
    if missing:
        known |= {name: secrets.token_urlsafe(18) for name in sorted(missing)}
        write_whole(path, "".join(f"{name}: {value!r}\n" for name, value in known.items()))
    return {name: known[name] for name in sorted(documents.secrets)}
