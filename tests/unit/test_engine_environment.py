"""A child's environment holds what the arguments say and nothing of the shell."""

from pathlib import Path

import pytest

from tools.engine import Engine, child_environment
from tools.engine.model import OFFLINE_PLUGINS, PINNED

HOSTILE = {
    "AWS_SECRET_ACCESS_KEY": "x",
    "CLOUDFLARE_API_TOKEN": "x",
    "DOCKER_HOST": "tcp://production:2375",
    "GOFLAGS": "-mod=mod",
    "HOME": "/home/of/the/shell",
    "KUBECONFIG": "/home/of/the/shell/.kube/config",
    "LD_PRELOAD": "",
    "PATH": "/opt/hostile/bin",
    "PULUMI_ACCESS_TOKEN": "x",
    "PULUMI_BACKEND_URL": "https://api.example.com",
    "PULUMI_CONFIG_PASSPHRASE": "x",
    "PULUMI_DEBUG_LANGUAGES": "python:1",
    "PULUMI_HOME": "/home/of/the/shell/.pulumi",
    "PULUMI_SKIP_CHECKPOINTS": "true",
    "PYTHONPATH": "/opt/hostile/lib",
    "PYTHONSTARTUP": "/opt/hostile/start.py",
    "VAST_API_KEY": "x",
    "VIRTUAL_ENV": "/opt/hostile",
}


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in HOSTILE.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("TMPDIR", "/scratch")
    monkeypatch.delenv("LANG", raising=False)


def environment(engine: Engine, **more: object) -> dict[str, str]:
    return child_environment(
        engine,
        python=Path("/env/bin/python"),
        home=Path("/run/home"),
        backend_url="file:///run/state",
        passphrase_file=Path("/run/passphrase"),
        **more,  # type: ignore[arg-type]
    )


ENGINE = Engine(Path("/cache/bin/pulumi"), "go", PINNED, (OFFLINE_PLUGINS,))


@pytest.mark.usefixtures("shell")
def test_the_whole_environment_is_this() -> None:
    assert environment(ENGINE) == {
        "PATH": f"{OFFLINE_PLUGINS}:/cache/bin:/usr/bin:/bin",
        "HOME": "/run/home",
        "TMPDIR": "/scratch",
        "LANG": "C.UTF-8",
        "PULUMI_HOME": "/run/home/.pulumi",
        "PULUMI_BACKEND_URL": "file:///run/state",
        "PULUMI_CONFIG_PASSPHRASE_FILE": "/run/passphrase",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true",
        "PULUMI_PYTHON_CMD": "/env/bin/python",
        "AGENT_DOCKER_OFFLINE": "1",
        "AGENT_DOCKER_PYTHON": "/env/bin/python",
    }


@pytest.mark.usefixtures("shell")
def test_the_callers_plugins_come_first_and_its_extras_last() -> None:
    env = environment(
        ENGINE,
        plugin_dirs=[Path("/project/plugins")],
        extra={"VAST_URL": "http://127.0.0.1:1", "TMPDIR": "/run/tmp"},
    )
    assert env["PATH"].split(":")[:2] == ["/project/plugins", str(OFFLINE_PLUGINS)]
    assert (env["VAST_URL"], env["TMPDIR"]) == ("http://127.0.0.1:1", "/run/tmp")


def test_a_folder_stands_on_the_path_once() -> None:
    official = Engine(Path("/opt/pulumi/bin/pulumi"), "path", PINNED, (Path("/opt/pulumi/bin"),))
    assert environment(official)["PATH"] == "/opt/pulumi/bin:/usr/bin:/bin"
