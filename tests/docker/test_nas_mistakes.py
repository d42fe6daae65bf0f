"""What people and machines do wrong with the nas stack: one error, then the next `up` finishes.

Two services without an ingress, on a real daemon, in one story.
"""

import contextlib
import gc
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from contracts.errors import AgentDockerError
from operations.docker_client import Unreachable
from operations.errors import CutOff, Failed, OperationError, WrongPassphrase
from operations.nas import GateFailed
from operations.nas_records import held_in
from operations.nas_ungated import Ungated
from tests.docker.daemon import Docker, until
from tests.docker.nas_world import NasWorld, nas_world
from tests.faults import processes

PREFIX, ADDRESS = "mistake-", "127.66.0.4"
BEGIN_SECONDS, CREATE_SECONDS = 60.0, 3.0


@pytest.fixture(scope="module")
def world(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NasWorld]:
    folder = tmp_path_factory.mktemp("mistakes")
    chosen = ("agent-mesh", "doc-engine")
    with nas_world(docker, folder, services=chosen, prefix=PREFIX, address=ADDRESS) as made:
        del made.settings["ingress"]
        yield made


def there(world: NasWorld) -> dict[str, str]:
    """Every container of the stack, by its name: Docker's word for how it is."""
    listing = world.docker(
        *("ps", "--all", "--filter", f"name=^{PREFIX}", "--format", "{{.Names}} {{.State}}")
    )
    return dict(line.removeprefix(PREFIX).split() for line in listing.splitlines())


def refused(world: NasWorld, kind: type[AgentDockerError] = Failed) -> AgentDockerError:
    """An `up` fails: its error, which tells one thing."""
    with pytest.raises(kind) as error:
        world.up()
    return error.value


def all_work(world: NasWorld) -> None:
    """An `up` finishes, and there is nothing to do after it."""
    world.up()
    assert there(world) == {"agent-mesh": "running", "doc-engine": "running"}
    assert world.up() == ()


# The Docker client's: it does not close a socket that it could not connect.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_nas_that_is_away_is_named_before_anything_begins(world: NasWorld) -> None:
    world.settings["nas"]["docker"] = "unix:///nonexistent/docker.sock"
    error = refused(world, Unreachable)
    assert "unix:///nonexistent/docker.sock does not answer" in error.message
    assert len(error.message.splitlines()) == 1
    # No engine was asked.
    assert world.said == []
    del error
    gc.collect()
    world.settings["nas"]["docker"] = world.docker.host


def test_a_missing_secret_is_named_before_anything_is_made(world: NasWorld) -> None:
    world.service("doc-engine")["files"] = {"password": "${doc-password}"}
    error = refused(world)
    assert error.message == "agent-docker:secrets lacks doc-password"
    assert "agent-docker:secrets.doc-password" in (error.hint or "")
    assert there(world) == {}
    del world.service("doc-engine")["files"]


def test_an_image_that_is_nowhere_names_itself_and_its_service(world: NasWorld) -> None:
    record = world.service("doc-engine")
    good = record["image"]
    record["image"] = bad = "127.0.0.1:1/nobody/doc-engine:9.9.9"
    error = refused(world)
    assert error.message.startswith(f"doc-engine: image {bad} is not on")
    assert len(error.message.splitlines()) == 1
    record["image"] = good


def test_a_port_that_is_taken_is_named_and_freed(world: NasWorld) -> None:
    port = world.service("doc-engine")["port"]
    with socket.create_server((ADDRESS, port)):
        error = refused(world)
    assert "doc-engine: " in error.message
    assert f"{ADDRESS}:{port}: bind: address already in use" in error.message
    assert "end what listens there" in (error.hint or "")
    all_work(world)


def test_another_passphrase_changes_nothing(world: NasWorld) -> None:
    ids, path = world.ids(), world.folder / "passphrase"
    good = path.read_text()
    path.write_text("another")
    try:
        refused(world, WrongPassphrase)
    finally:
        path.write_text(good)
    assert world.ids() == ids
    assert world.up() == ()


def test_a_full_disk_is_told_of_and_the_others_work(world: NasWorld) -> None:
    ids = world.ids("doc-engine")
    options = ("--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=16k")
    world.docker("volume", "create", *options, f"{PREFIX}doc-engine-files")
    world.service("doc-engine")["files"] = {"large": "x" * 60_000}
    error = refused(world)
    assert error.message.startswith("doc-engine-files: ")
    assert "no space left on device" in error.message
    assert world.ids("doc-engine") == ids
    del world.service("doc-engine")["files"]
    all_work(world)


def test_a_service_put_back_by_hand_stays_so_until_retried(world: NasWorld) -> None:
    record, others = world.service("agent-mesh"), world.ids("agent-mesh")
    declared = record["image"]
    older = f"{declared.rpartition(':')[0]}:0.0.9"
    world.image("agent-mesh", older)
    deployed = world.nas.hold("agent-mesh", image=older, reason="by hand")
    assert deployed.held["agent-mesh"].image == older
    assert world.up() == ()
    world.nas.require_well(world.nas.services())
    world.nas.release("agent-mesh")
    assert held_in(world.nas.stack.snapshot().state) == {}
    assert world.nas.services()[0].image == declared
    assert world.ids("agent-mesh") == others


def test_an_image_that_cannot_be_started_is_put_back(world: NasWorld) -> None:
    world.up()
    record, others = world.service("agent-mesh"), world.ids("agent-mesh")
    good = record["image"]
    record["image"] = bad = f"{good.rpartition(':')[0]}:0.2.9"
    unable(world, good, bad)
    error = refused(world, GateFailed)
    assert "agent-mesh: " in error.message
    assert "no-such-program" in error.message
    assert f"agent-mesh was put back to {good}" in error.message
    assert world.ids("agent-mesh") == others
    assert world.seen()["agent-mesh"].image_id == world.docker.inspect(good)["Id"]
    assert world.up() == ()
    # Asked for again it fails again, and is held again.
    with pytest.raises(GateFailed):
        world.nas.release("agent-mesh")
    assert held_in(world.nas.stack.snapshot().state)["agent-mesh"].failed == bad
    record["image"] = good
    all_work(world)


def unable(world: NasWorld, good: str, reference: str) -> None:
    """Have an image whose program is not there."""
    context = world.folder / "unable"
    context.mkdir()
    lines = (f"FROM {good}", "LABEL agent-docker.stand-in=", 'ENTRYPOINT ["/no-such-program"]')
    (context / "Dockerfile").write_text("\n".join(lines) + "\n")
    world.docker("build", "--tag", reference, str(context))


@pytest.mark.parametrize("whole", [False, True], ids=["engine", "operation"])
def test_an_update_that_is_killed_is_finished_by_the_next(world: NasWorld, whole: bool) -> None:  # noqa: FBT001 - a parameter
    world.up()
    others = world.ids("doc-engine")
    world.service("doc-engine")["env"] = {"KILLED": str(whole)}
    cut(world, whole=whole)
    assert locks(world)
    world.up()
    healed(world)
    assert world.ids("doc-engine") == others
    assert f"KILLED={whole}" in world.docker.inspect(f"{PREFIX}doc-engine")["Config"]["Env"]


def test_a_killed_update_does_not_keep_the_stack_from_its_end(world: NasWorld) -> None:
    world.service("doc-engine")["env"] = {"KILLED": "at the end"}
    cut(world, whole=False)
    world.nas.destroy()
    assert there(world) == {}
    assert locks(world) == []


def test_a_first_update_that_is_killed_is_finished_by_the_next(world: NasWorld) -> None:
    cut(world, whole=True)
    world.up()
    healed(world)


def test_a_network_that_no_update_recorded_is_made_anew(world: NasWorld) -> None:
    world.nas.destroy()
    network = f"{PREFIX}{world.settings['nas'].get('network', 'agent-platform')}"
    # As a create leaves it whose engine was killed before it heard of it.
    ungated = Ungated(folder=world.target.state, stack="nas")
    ungated.begin({}, updates=0, now=world.daemon.require_recent())
    world.docker("network", "create", "--label", "agent-docker.stack=nas", network)
    world.up()
    healed(world)


def test_a_network_of_somebody_else_is_named_and_left_alone(world: NasWorld) -> None:
    world.nas.destroy()
    network = f"{PREFIX}{world.settings['nas'].get('network', 'agent-platform')}"
    id_ = world.docker("network", "create", network).strip()
    error = refused(world)
    assert f"network with name {network} already exists" in error.message
    assert "`nas.network`" in (error.hint or "")
    assert world.docker("network", "ls", "--quiet", "--no-trunc").split().count(id_) == 1
    world.docker("network", "rm", network)
    world.up()
    healed(world)


def test_a_container_of_somebody_else_is_named_and_left_alone(world: NasWorld) -> None:
    world.nas.destroy()
    name, record = f"{PREFIX}doc-engine", world.service("doc-engine")
    # As a stack of this name has it that another backend knows.
    told = {"stack": "nas", "role": "service", "service": "doc-engine"}
    labels = [f"--label=agent-docker.{key}={value}" for key, value in told.items()]
    how = ("--detach", "--network=none", f"--env=PORT={record['port']}")
    world.docker("run", "--name", name, *labels, *how, record["image"])
    before = world.docker.inspect(name)
    error = refused(world)
    assert f'"/{name}" is already in use by container' in error.message
    assert "`docker rm`" in (error.hint or "")
    after = world.docker.inspect(name)
    assert (after["Id"], after["State"]) == (before["Id"], before["State"])
    assert after["State"]["Running"]
    world.docker("rm", "--force", name)
    world.up()
    healed(world)


def cut(world: NasWorld, *, whole: bool) -> None:
    """Kill an `up` while the engine waits for the new container of doc-engine.

    The engine alone, or all of the operation's processes.
    """
    seen = world.seen()
    before = seen["doc-engine"].id if "doc-engine" in seen else None

    def now() -> str | None:
        one = world.seen().get("doc-engine")
        return one.id if one else None

    over = threading.Event()

    def kill() -> None:
        until(lambda: over.is_set() or now() != before, BEGIN_SECONDS, "doc-engine is changed")
        # What its provider does meanwhile, it will never hear of.
        for engine in processes.engines(world.folder):
            with contextlib.suppress(psutil.Error):
                engine.send_signal(signal.SIGSTOP)
        with contextlib.suppress(AssertionError):
            until(lambda: now() not in {None, before}, CREATE_SECONDS)
        found = processes.of(world.folder) if whole else processes.engines(world.folder)
        assert os.getpid() not in {process.pid for process in found}
        processes.kill(found)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(CutOff) as error:
            world.up()
    finally:
        over.set()
        killer.join()
    assert "nas up" in (error.value.hint or "") or whole
    assert issubclass(error.type, OperationError)


def locks(world: NasWorld) -> list[Path]:
    return sorted((world.folder / "backend/.pulumi/locks").rglob("*.json"))


def healed(world: NasWorld) -> None:
    """All work, and nothing tells of the update that was cut off."""
    assert there(world) == {"agent-mesh": "running", "doc-engine": "running"}
    assert locks(world) == []
    assert state(world).get("pending_operations") in (None, [])
    assert processes.of(world.folder) == []
    assert world.up() == ()


def state(world: NasWorld) -> dict[str, Any]:
    (path,) = (world.folder / "backend/.pulumi/stacks").rglob("nas.json")
    found: dict[str, Any] = json.loads(path.read_text())["checkpoint"]["latest"]
    return found
