"""The stack that an environment names: a shell's in production, a container's."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import platformdirs

from contracts.errors import SettingsError
from operations.redaction import passwords
from operations.target import Target
from providers.vastai.credentials import KEY_ALIAS, KEY_VARIABLE, Credentials

STATE_VARIABLE = "AGENT_DOCKER_STATE_DIR"
# May hold the password of Redis; an engine has no use for it.
_NOT_FOR_ENGINES = frozenset({"REDIS_URL"})
_SECRETS = (
    KEY_VARIABLE,
    KEY_ALIAS,
    "TAILSCALE_AUTH_KEY",
    "PULUMI_CONFIG_PASSPHRASE",
    "PULUMI_ACCESS_TOKEN",
)


def shell_target(
    stack: str,
    env: Mapping[str, str],
    *,
    settings: Callable[[], Mapping[str, Any]] = dict[str, Any],
) -> Target:
    """`stack` in the backend that `env` names; `settings` are those of a first update.

    SettingsError when the backend or the account's key is missing: neither must be noticed first
    in the middle of an operation.
    """
    require_backend(env)
    document = settings()
    Credentials.read(env)
    secrets = tuple(env[name] for name in _SECRETS if env.get(name))
    return backend_target(stack, env, settings=document, secrets=secrets)


def backend_target(
    stack: str,
    env: Mapping[str, str],
    *,
    settings: Mapping[str, Any],
    document: Mapping[str, Any] | None = None,
    secrets: tuple[str, ...] = (),
) -> Target:
    """As `shell_target`, for a stack that rents nothing: no key of an account is asked for."""
    require_backend(env)
    return Target(
        stack=stack,
        env={name: value for name, value in env.items() if name not in _NOT_FOR_ENGINES},
        state=_state_folder(stack, env),
        settings=settings,
        document=document or {},
        # The engine quotes the URL when it cannot open the backend.
        secrets=(*secrets, *passwords(env["PULUMI_BACKEND_URL"])),
    )


def require_backend(env: Mapping[str, str]) -> None:
    """SettingsError unless `env` names production's backend."""
    if not env.get("PULUMI_BACKEND_URL"):
        raise SettingsError(
            "PULUMI_BACKEND_URL is not set, so production's stacks cannot be found",
            hint="export PULUMI_BACKEND_URL=s3://… (or postgres://…), as for `pulumi` itself",
        )


def _state_folder(stack: str, env: Mapping[str, str]) -> Path:
    named = env.get(STATE_VARIABLE)
    return Path(named) if named else platformdirs.user_state_path("agent-docker") / stack
