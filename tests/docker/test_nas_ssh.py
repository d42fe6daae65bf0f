"""The nas stack as production reaches it: over ssh, with a real sshd and the machine's own client.

The offline plugin, the schema's `docker exec` and the gate each open connections of their own.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from cli.backup_profile import subject_of
from contracts.backups import BackupSettings
from operations.backups.run import Backups
from operations.daemon import Daemon
from operations.docker_client import Unreachable
from tests.docker.daemon import Docker
from tests.docker.nas_world import NasWorld, nas_world
from tests.docker.sshd import HOST, running_sshd

PREFIX, ADDRESS = "remote-", "127.66.0.7"
DATA = ("minio", "postgres", "redis", "agent-brain")
CHOSEN = (*DATA, "agent-mesh")


@pytest.fixture(scope="module")
def sshd() -> Iterator[ExitStack]:
    """The server, for as long as it runs."""
    with ExitStack() as running:
        yield running


@pytest.fixture(scope="module")
def world(
    docker: Docker, sshd: ExitStack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NasWorld]:
    server = sshd.enter_context(running_sshd(docker, tmp_path_factory.mktemp("sshd")))
    folder = tmp_path_factory.mktemp("remote")
    with (
        pytest.MonkeyPatch.context() as patch,
        nas_world(docker, folder, services=CHOSEN, prefix=PREFIX, address=ADDRESS) as made,
    ):
        # What looks from here.
        patch.setenv("PATH", f"{server.commands}{os.pathsep}{os.environ['PATH']}")
        made.commands = server.commands
        made.settings["nas"]["docker"] = f"ssh://root@{HOST}:{server.port}"
        del made.settings["ingress"]
        yield made


def remote(world: NasWorld) -> Daemon:
    return Daemon(url=world.settings["nas"]["docker"])


def well(world: NasWorld) -> list[str]:
    gate = world.nas.gate(remote(world))
    return [name for name, verdict in gate.once(world.nas.services()).items() if verdict.well]


def test_from_nothing_all_work(world: NasWorld) -> None:
    world.up()
    assert set(well(world)) == set(CHOSEN)
    # Its SQL has gone the same way.
    assert world.psql("select extname from pg_extension where extname = 'vector'") == "vector"
    assert world.redis("ping") == "PONG"


def test_a_second_up_changes_nothing(world: NasWorld) -> None:
    ids = world.ids()
    assert world.up() == ()
    replace(world.nas.stack, parallel=1).refresh()
    assert world.up() == ()
    assert world.ids() == ids


def test_what_was_stopped_is_seen_and_started(world: NasWorld) -> None:
    others = world.ids("agent-mesh")
    world.docker("stop", f"{PREFIX}agent-mesh")
    assert set(well(world)) == set(DATA)
    world.up()
    assert set(well(world)) == set(CHOSEN)
    assert world.ids("agent-mesh") == others
    assert "listens on" in remote(world).logs(f"{PREFIX}agent-mesh", tail=5)


@pytest.mark.parametrize("name", DATA)
def test_its_data_is_backed_up_and_proved(world: NasWorld, tmp_path: Path, name: str) -> None:
    """By programs in the container, files out of it, and through a port that ssh forwards."""
    settings = BackupSettings.model_validate({"directory": str(tmp_path)})
    backups = Backups(url=remote(world).url, settings=settings)
    records = world.nas.documents().services.root
    subject = subject_of(name, records, world.nas.services())
    made = backups.take(subject)
    assert made.service == name
    assert backups.verify(subject, backups.store.of(name, None)).verified is not None


def test_the_port_may_stand_in_the_users_configuration_of_ssh(world: NasWorld) -> None:
    short = Daemon(url=f"ssh://root@{HOST}")
    assert short.look("nas") == remote(world).look("nas")
    assert len(short.look("nas")) == len(CHOSEN)


def test_a_nas_that_is_away_is_named_and_nothing_is_changed(
    world: NasWorld, sshd: ExitStack
) -> None:
    ids = world.ids()
    world.nas.destroy()
    assert world.docker("ps", "--all", "--quiet", "--filter", f"name=^{PREFIX}") == ""
    assert ids
    sshd.close()
    world.said.clear()
    with pytest.raises(Unreachable, match=f"{remote(world).url} does not answer"):
        world.up()
    assert world.said == []
