"""The way to a daemon over ssh; the ssh here only pretends."""

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from operations.daemon import Daemon
from operations.docker_client import Unreachable, docker_api
from providers.ssh_relay import command, relayed

URL = "ssh://agent@nas.test"
Write = Callable[[str], Path]


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Puts a program called ssh in front of the PATH."""

    def write(program: str) -> Path:
        path = tmp_path / "ssh"
        path.write_text(f"#!{sys.executable}\nimport os, sys, time\n{program}\n")
        path.chmod(0o755)
        return path

    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return write


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("ssh://nas", []),
        ("ssh://agent@nas", ["-l", "agent"]),
        ("ssh://agent@nas:2222", ["-l", "agent", "-p", "2222"]),
    ],
)
def test_what_the_url_leaves_open_is_the_users_configuration(url: str, options: list[str]) -> None:
    rest = ["--", "nas", "docker", "system", "dial-stdio"]
    assert command(url) == ["ssh", *options, *rest]


def test_each_connection_has_a_line_of_its_own(ssh: Write) -> None:
    ssh("for line in sys.stdin:\n    print(os.getsid(0), line.upper(), end='', flush=True)")
    with relayed(URL) as relay:
        said: list[str] = []
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(30)
                line.connect(str(relay.path))
                line.sendall(b"hello\n")
                # One direction may end before the other.
                line.shutdown(socket.SHUT_WR)
                said.append(line.makefile().read())
        assert relay.said() == ""
    assert [text.split()[1] for text in said] == ["HELLO", "HELLO"]
    # And a session: a person's Ctrl-C is for who works, not for the way to what is worked on.
    assert len({text.split()[0] for text in said}) == 2
    assert not relay.path.exists()


def test_nothing_is_left_of_a_line_that_hangs(ssh: Write, tmp_path: Path) -> None:
    ssh(f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)")
    with relayed(URL) as relay, socket.socket(socket.AF_UNIX) as line:
        line.connect(str(relay.path))
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            pass
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_what_ssh_complains_of_is_told(ssh: Write) -> None:
    ssh("sys.exit('banner\\nagent@nas.test: Permission denied (publickey).')")
    with pytest.raises(Unreachable) as error, docker_api(URL, timeout=20):
        pass
    assert error.value.message == (
        "the Docker daemon ssh://agent@nas.test does not answer: "
        "agent@nas.test: Permission denied (publickey)."
    )
    with pytest.raises(Unreachable, match="Permission denied"):
        Daemon(url=URL).look("nas")


def test_without_ssh_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unreachable, match="there is no command ssh"):
        Daemon(url=URL).look("nas")
