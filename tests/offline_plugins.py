"""The offline plugins under test: one as a process that is asked, and programs on all of them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from pulumi.runtime.proto import provider_pb2 as proto
from pulumi.runtime.proto import provider_pb2_grpc

from localcloud.plugins.folders import OURS
from localcloud.plugins.values import encode
from tools import engine

_MANIFEST = """
name: plugins
runtime: python
"""


class Project:
    """A program in folders of its own; `seconds` is what one command may take."""

    seconds = 120.0

    def __init__(self, folder: Path, program: str, **extra: str) -> None:
        self.folder = folder
        self.project = folder / "project"
        for name in ("home", "state", "project"):
            (folder / name).mkdir()
        (folder / "passphrase").write_text("correct horse")
        (self.project / "Pulumi.yaml").write_text(_MANIFEST)
        (self.project / "__main__.py").write_text(program)
        found = engine.ensure()
        self._command = found.pulumi
        self._env = engine.child_environment(
            found,
            python=Path(sys.executable),
            home=folder / "home",
            backend_url=(folder / "state").as_uri(),
            passphrase_file=folder / "passphrase",
            plugin_dirs=[OURS],
            extra=extra,
        )

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command; what it says on either stream is in `stdout`."""
        return subprocess.run(
            [self._command, *arguments, "--non-interactive", "--color=never"],
            cwd=self.project,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=self.seconds,
            check=False,
        )


@contextmanager
def asked(
    name: str, config: dict[str, Any], **env: str
) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    """The plugin of that name as a process of its own, configured; it must end well."""
    process = subprocess.Popen(
        [str(OURS / f"pulumi-resource-{name}")],
        env={
            "PATH": os.defpath,
            "AGENT_DOCKER_OFFLINE": "1",
            "AGENT_DOCKER_PYTHON": sys.executable,
            **env,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        port = int(process.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            stub.Configure(proto.ConfigureRequest(args=encode(config)))
            yield stub
    finally:
        process.stdin.close()
        assert process.wait(20) == 0
        process.stdout.close()
