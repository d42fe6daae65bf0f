"""One daemon and one image a session: building takes a minute."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.docker.daemon import Docker, build, debian, imported, running_docker
from tools import engine

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "agent-docker-autoscaler:test"
_PYTHON = "3.11"
# What stands in for Pulumi's own image: the engine of this machine, and our language host.
_STAND_IN = '#!/bin/sh\nexec /opt/stand-in/plugins/{name} "$@"\n'


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's
        """Say nothing."""


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    with running_docker() as found:
        yield found


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the locked packages lie: a container has no way, and no certificate, to PyPI."""
    folder = tmp_path_factory.mktemp("wheels")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--only-binary", ":all:", "--python-version", _PYTHON),
            *("--require-hashes", "--requirement", str(ROOT / "requirements-runtime.lock")),
            *("--dest", str(folder)),
        ],
        check=True,
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="session")
def image(docker: Docker, wheels: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of autoscaler/Dockerfile, on a Debian and an engine of this machine."""
    folder = tmp_path_factory.mktemp("image")
    base = debian(folder, "python3", "python3-venv")
    (base / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    shutil.copytree(ROOT / "tools/engine/langhost", base / "opt/stand-in/langhost")
    shutil.copytree(ROOT / "tools/engine/plugins", base / "opt/stand-in/plugins")
    imported(docker, base, "local/python:test")
    shutil.rmtree(base)
    bin_folder = folder / "engine/pulumi/bin"
    bin_folder.mkdir(parents=True)
    shutil.copy(engine.ensure().pulumi, bin_folder / "pulumi")
    for plugin in (ROOT / "tools/engine/plugins").iterdir():
        (bin_folder / plugin.name).write_text(_STAND_IN.format(name=plugin.name))
        (bin_folder / plugin.name).chmod(0o755)
    imported(docker, folder / "engine", "local/pulumi:test")
    arguments = {
        "BASE": "local/python:test",
        "PULUMI": "local/pulumi:test",
        "PIP_FIND_LINKS": wheels,
        "PIP_NO_INDEX": "1",
    }
    build(docker, ROOT, ROOT / "autoscaler/Dockerfile", IMAGE, arguments)
    return IMAGE
