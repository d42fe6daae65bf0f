"""The stack that a shell or a container names."""

from pathlib import Path

import pytest

from contracts.errors import SettingsError
from operations.redaction import Redactor
from operations.shell import shell_target

ENV = {
    "PULUMI_BACKEND_URL": "file:///tmp/backend",
    "VASTAI_API_KEY": "key-of-the-account",
    "TAILSCALE_AUTH_KEY": "tskey-auth",
    "REDIS_URL": "redis://:password@redis:6379/0",
    "PATH": "/bin",
}


def test_an_engine_gets_the_environment_but_for_the_password_of_redis(tmp_path: Path) -> None:
    target = shell_target("gpu", {**ENV, "AGENT_DOCKER_STATE_DIR": str(tmp_path)})
    assert "REDIS_URL" not in target.env
    assert target.env["PATH"] == "/bin"
    assert target.state == tmp_path
    assert set(target.secrets) == {"key-of-the-account", "tskey-auth"}
    assert "key-of-the-account" not in repr(target)


def test_the_password_of_the_backend_is_a_secret() -> None:
    url = "postgres://pulumi:canary%2Fof-it@db/state"
    target = shell_target("gpu", {**ENV, "PULUMI_BACKEND_URL": url})
    assert target.env["PULUMI_BACKEND_URL"] == url
    said = f'unable to open state database "{url}": canary/of-it'
    assert "of-it" not in Redactor(target.secrets).clean(said)


def test_settings_of_a_first_update_come_with_it() -> None:
    assert shell_target("gpu", ENV, settings=lambda: {"fleet": {}}).settings == {"fleet": {}}


@pytest.mark.parametrize("missing", ["PULUMI_BACKEND_URL", "VASTAI_API_KEY"])
def test_what_is_missing_is_named_before_anything_begins(missing: str) -> None:
    env = {name: value for name, value in ENV.items() if name != missing}
    with pytest.raises(SettingsError, match=f"{missing} is not set"):
        shell_target("gpu", env)
