"""A real sshd of our own before the tests' daemon: how a NAS is reached in production."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from localcloud.redis.tether import tether
from tests.docker.daemon import Docker, lack, until
from tests.ports import free_port

HOST = "nas.test"
START_SECONDS = 30.0

_SERVER = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/client.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
SetEnv DOCKER_HOST={docker}
"""
# One connection for all, as docs/nas.md has it: a server turns away what comes all at once.
_CLIENT = """
Host {host}
  HostName 127.0.0.1
  Port {port}
  HostKeyAlias {host}
  IdentityFile {folder}/client
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  BatchMode yes
  ControlMaster auto
  ControlPath {folder}/cm-%C
  ControlPersist 60s
"""
# A user's own configuration is found by the password file, whatever HOME says.
_COMMAND = '#!/bin/sh\nexec {ssh} -F {folder}/client.conf "$@"\n'


@dataclass(frozen=True, kw_only=True)
class Sshd:
    """`commands` is a folder whose `ssh` knows the way to HOST, and the key."""

    commands: Path
    port: int


@contextlib.contextmanager
def running_sshd(docker: Docker, folder: Path) -> Iterator[Sshd]:
    """Serve `ssh root@nas.test`, where `docker` speaks to the tests' daemon."""
    server = shutil.which("sshd", path=f"{os.defpath}:/usr/sbin")
    client, keygen = shutil.which("ssh"), shutil.which("ssh-keygen")
    if server is None or client is None or keygen is None:
        lack("Debian's openssh-server not installed")
    port = free_port()
    for name in ("host", "client"):
        command = [keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    (folder / "known_hosts").write_text(f"{HOST} {(folder / 'host.pub').read_text()}")
    config = _SERVER.format(port=port, folder=folder, docker=docker.host)
    (folder / "server.conf").write_text(config)
    config = _CLIENT.format(host=HOST, port=port, folder=folder)
    (folder / "client.conf").write_text(config)
    commands = folder / "bin"
    commands.mkdir()
    (commands / "ssh").write_text(_COMMAND.format(ssh=client, folder=folder))
    (commands / "ssh").chmod(0o755)
    # Where it goes without its rights.
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    log = folder / "sshd.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [server, "-D", "-e", "-f", str(folder / "server.conf")],
            stderr=errors,
            preexec_fn=tether(signal.SIGTERM),  # noqa: PLW1509 - calls only prctl
        ) as process,
    ):
        try:
            until(
                lambda: process.poll() is not None or "listening" in log.read_text(),
                START_SECONDS,
                "sshd",
            )
            assert process.poll() is None, log.read_text()
            yield Sshd(commands=commands, port=port)
        finally:
            process.terminate()
            # The one connection of all outlives the server that took it.
            subprocess.run(
                [commands / "ssh", "-O", "exit", f"root@{HOST}"], capture_output=True, check=False
            )
