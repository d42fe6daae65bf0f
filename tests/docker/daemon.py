"""A dockerd of our own, and a Debian to build on: no image can be pulled here.

The daemon has folders, a socket and processes of its own and makes no network, so it touches
neither a daemon that runs already nor the machine's firewall.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from localcloud.redis.tether import tether

START_SECONDS = 60.0
STOP_SECONDS = 60.0
NEEDED = {"dockerd": "docker.io", "debootstrap": "debootstrap"}
RELEASE = "bookworm"


@dataclass
class Docker:
    """The command, pointed at one daemon, which can be stopped and started again."""

    command: str
    host: str
    folder: Path
    daemon: subprocess.Popen[bytes] | None = None

    @property
    def lives(self) -> bool:
        return self.daemon is not None and self.daemon.poll() is None

    def start(self) -> None:
        flags = {
            "--data-root": self.folder / "data",
            "--exec-root": self.folder / "exec",
            "--pidfile": self.folder / "dockerd.pid",
            "--host": self.host,
            "--iptables": "false",
            "--ip6tables": "false",
            "--bridge": "none",
        }
        found = shutil.which("dockerd")
        assert found is not None
        with (self.folder / "log").open("a") as log:
            self.daemon = daemon = subprocess.Popen(
                [found, *(f"{name}={value}" for name, value in flags.items())],
                stdout=log,
                stderr=log,
                start_new_session=True,
                # Whatever ends the tests ends it too.
                preexec_fn=tether(signal.SIGTERM),  # noqa: PLW1509 - calls only prctl
            )
        until(
            lambda: daemon.poll() is not None or "Server" in self("version", ok=False),
            START_SECONDS,
        )
        assert daemon.poll() is None, (self.folder / "log").read_text()[-4000:]

    def stop(self) -> None:
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGTERM)
        self.daemon.wait(STOP_SECONDS)

    def __call__(self, *arguments: str, ok: bool = True) -> str:
        """Run `docker ARGUMENTS`; what it printed."""
        done = subprocess.run(
            [self.command, "--host", self.host, *arguments],
            env={"PATH": os.defpath, "HOME": "/nonexistent", "DOCKER_BUILDKIT": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 or not ok, f"{arguments}: {done.stdout[-4000:]}{done.stderr}"
        return done.stdout + ("" if ok else done.stderr)

    def inspect(self, name: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(self("inspect", name))
        return found[0]


def lack(reason: str) -> NoReturn:
    """A laptop skips, CI fails."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


def require() -> None:
    """What this tier needs is here; without it a laptop skips and CI fails."""
    missing = [package for name, package in NEEDED.items() if shutil.which(name) is None]
    reasons = [f"Debian's {' and '.join(missing)} not installed"] if missing else []
    reasons += ["dockerd needs root"] if os.getuid() else []
    reasons += ["Linux only"] if sys.platform != "linux" else []
    if reasons:
        lack("; ".join(reasons))


@contextlib.contextmanager
def running_docker() -> Iterator[Docker]:
    """A daemon with nothing in it, which ends with everything that it ran."""
    require()
    # A socket's path may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="adk-", dir="/tmp"))
    # The one of the same package: another version would build in another way.
    command = shutil.which("docker", path=os.defpath)
    assert command is not None, "docker.io has both"
    docker = Docker(command, f"unix://{folder}/docker.sock", folder)
    try:
        docker.start()
        yield docker
    finally:
        if docker.lives:
            for name in docker("ps", "--all", "--quiet").split():
                docker("rm", "--force", "--volumes", name)
            docker.stop()
        _unmount(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _unmount(folder: Path) -> None:
    """What a daemon leaves mounted: the machine's own network, as a file."""
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for path in reversed(mounted):
        if path.startswith(f"{folder}/"):
            subprocess.run(["umount", path], check=False)


def until(holds: Any, seconds: float, what: str = "") -> None:  # noqa: ANN401 - a thunk
    """Poll until `holds`."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)


def debian(folder: Path, *packages: str) -> Path:
    """A minimal Debian with these packages in `folder`."""
    root = folder / "debian"
    subprocess.run(
        [
            "debootstrap",
            "--variant=minbase",
            f"--include={','.join(packages)}",
            RELEASE,
            str(root),
        ],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return root


def imported(docker: Docker, root: Path, tag: str) -> None:
    """Make an image of the files below `root`."""
    with subprocess.Popen(
        ["tar", "--create", "--directory", str(root), "."], stdout=subprocess.PIPE
    ) as tar:
        subprocess.run(
            [docker.command, "--host", docker.host, "import", "-", tag],
            stdin=tar.stdout,
            stdout=subprocess.DEVNULL,
            check=True,
        )
    assert tar.returncode == 0


def build(docker: Docker, context: Path, file: Path, tag: str, args: Mapping[str, str]) -> str:
    """Build an image from `file` with the machine's own loopback in reach."""
    given = [part for name, value in args.items() for part in ("--build-arg", f"{name}={value}")]
    options = ["--network=host", "--file", str(file), "--tag", tag, *given]
    return docker("build", *options, str(context))
