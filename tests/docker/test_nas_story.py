"""The NAS from nothing to healthy and back, on a real daemon, in one story.

Each step begins where the one before it ended: an `up` of the whole stack costs seconds.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bench import figures
from cli.nas_views import now, view_of, with_images
from operations.errors import Failed
from operations.nas import GateFailed
from operations.nas_records import held_in
from tests.docker.daemon import Docker, until
from tests.docker.nas_world import ADDRESS, PREFIX, NasWorld, files_below, nas_world
from tests.unit.nas_documents import by_name

NUMBERS: dict[str, float] = {}
SETTLE_SECONDS = 60.0
VERSION = "registry.gitlab.com/blueflyio/agent-platform/agent-mesh"
KEPT = {"minio-data", "postgres-data", "redis-data", "qdrant-data", "qdrant-snapshots"}


@pytest.fixture(scope="module")
def world(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NasWorld]:
    folder = tmp_path_factory.mktemp("nas")
    with nas_world(docker, folder) as made:
        yield made
    if NUMBERS:
        figures.merge("nas", NUMBERS)


def well(world: NasWorld) -> int:
    verdicts = world.nas.gate(world.daemon).once(world.nas.services())
    return sum(verdict.well for verdict in verdicts.values())


def test_from_nothing_all_twelve_work(world: NasWorld) -> None:
    begun = time.monotonic()
    world.up()
    NUMBERS.update(
        services=len(world.settings["services"]),
        healthy=well(world),
        healthy_s=round(time.monotonic() - begun, 1),
    )
    assert NUMBERS["healthy"] == NUMBERS["services"] == 12
    for row in world.settings["services"]:
        if row["health"].get("http") == "/health":
            url = f"http://{ADDRESS}:{row['port']}/health"
            assert httpx.get(url, trust_env=False).json()["service"] == row["name"]


def test_nothing_is_open_to_the_network(world: NasWorld) -> None:
    for name in world.seen():
        ports = world.docker.inspect(f"{PREFIX}{name}")["NetworkSettings"]["Ports"] or {}
        bound = [row["HostIp"] for rows in ports.values() for row in rows or ()]
        assert set(bound) <= {ADDRESS}


def test_a_second_up_changes_nothing(world: NasWorld) -> None:
    ids = world.ids()
    NUMBERS["second_up_changes"] = len(world.up())
    assert NUMBERS["second_up_changes"] == 0
    world.nas.stack.refresh()
    NUMBERS["refresh_changes"] = len(world.up())
    assert NUMBERS["refresh_changes"] == 0
    assert world.ids() == ids


def test_rows_are_written(world: NasWorld) -> None:
    world.psql("create table kept (n int); insert into kept select generate_series(1, 1000)")
    assert world.redis("set", "kept", "1000") == "OK"
    assert world.psql("create extension if not exists vector") == "CREATE EXTENSION"


def rows(world: NasWorld) -> int:
    return int(world.psql("select count(*) from kept")) + int(world.redis("get", "kept"))


def test_no_secret_is_where_others_can_read_it(world: NasWorld) -> None:
    told = "\n".join(
        json.dumps(world.docker.inspect(name))
        for name in world.docker("ps", "--all", "--format", "{{.Names}}").split()
    )
    logs = "\n".join(world.docker("logs", one.name, ok=False) for one in world.seen().values())
    for secret in [*world.secrets.values(), world.cloudflare.token]:
        assert secret not in told
        assert secret not in logs
        assert not [text for text in world.said if secret in text]
        hits = [path for path, text in files_below(world.folder) if secret in text]
        assert not hits


def repaired(world: NasWorld, name: str) -> None:
    """`up` mends `name`, and starts nothing else anew."""
    others = world.ids(name)
    world.up()
    assert well(world) == 12
    changed = [other for other, id_ in others.items() if world.ids(name)[other] != id_]
    NUMBERS["others_restarted"] = NUMBERS.get("others_restarted", 0) + len(changed)
    assert not changed
    assert rows(world) == 2000


def status_names(world: NasWorld, name: str) -> None:
    verdicts = world.nas.gate(world.daemon).once(world.nas.services())
    assert [service for service, verdict in verdicts.items() if not verdict.well] == [name]


@pytest.mark.parametrize("name", ["agent-mesh", "redis"])
def test_a_stopped_service_is_started(world: NasWorld, name: str) -> None:
    world.docker("stop", f"{PREFIX}{name}")
    status_names(world, name)
    repaired(world, name)


@pytest.mark.parametrize("name", ["doc-engine", "postgres"])
def test_a_removed_container_is_made_anew(world: NasWorld, name: str) -> None:
    world.docker("stop", f"{PREFIX}{name}")
    world.docker("rm", f"{PREFIX}{name}")
    status_names(world, name)
    repaired(world, name)


def test_a_killed_service_comes_back_by_itself(world: NasWorld) -> None:
    # By the kernel, as when memory runs out: the daemon starts it again.
    pid = world.docker.inspect(f"{PREFIX}redis")["State"]["Pid"]
    others = world.ids()
    os.kill(pid, signal.SIGKILL)
    until(lambda: world.seen()["redis"].restarts >= 1, SETTLE_SECONDS, "it is started again")
    until(lambda: well(world) == 12, SETTLE_SECONDS, "all work")
    assert world.ids() == others
    assert rows(world) == 2000


def test_a_broken_image_is_put_back_and_says_so(world: NasWorld) -> None:
    record = world.service("agent-mesh")
    good, bad = record["image"], f"{VERSION}:0.2.0"
    world.broken(bad)
    others = world.ids("agent-mesh")
    record["image"] = bad
    with pytest.raises(GateFailed) as error:
        world.up()
    assert "agent-mesh does not work" in str(error.value)
    assert f"it was put back to {good}" in str(error.value)
    assert well(world) == 12
    assert world.ids("agent-mesh") == others
    held = held_in(world.nas.stack.snapshot().state)
    assert held["agent-mesh"].failed == bad

    # Deployed again without a word about it, it stays where it works.
    assert world.up() == ()
    assert world.seen()["agent-mesh"].runs
    # Another declared image is taken.
    better = f"{VERSION}:0.3.0"
    world.image("agent-mesh", better)
    record["image"] = better
    world.up()
    assert held_in(world.nas.stack.snapshot().state) == {}
    url = f"http://{ADDRESS}:{record['port']}/health"
    assert httpx.get(url, trust_env=False).json()["version"].startswith("0.3.0")


def test_an_image_that_cannot_be_pulled_is_told(world: NasWorld) -> None:
    record = world.service("agent-mesh")
    good, ids = record["image"], world.ids()
    record["image"] = f"{VERSION}:9.9.9"
    with pytest.raises(Failed):
        world.up()
    assert well(world) == 12
    assert world.ids() == ids
    assert running_another(world) == ["agent-mesh"]
    record["image"] = good
    world.up()
    assert world.ids() == ids
    assert running_another(world) == []


def running_another(world: NasWorld) -> list[str]:
    services, seen = world.nas.services(), world.daemon.look("nas")
    images = world.daemon.image_ids([one.image for one in services])
    verdicts = world.nas.gate(world.daemon).once(services, seen)
    view = view_of("local", "nas", services, seen, verdicts, {}, now())
    return [one.service for one in with_images(view, images).services if one.another_image]


def test_an_update_restarts_one_and_takes_no_time(world: NasWorld) -> None:
    record = world.service("doc-engine")
    others = world.ids("doc-engine")
    times = []
    for number in (1, 2, 3):
        reference = f"{record['image'].rpartition(':')[0]}:1.0.{number}"
        world.image("doc-engine", reference)
        record["image"] = reference
        with events(world, "doc-engine") as told:
            world.up()
        times.append(downtime(told))
    assert world.ids("doc-engine") == others
    NUMBERS["downtime_p95_s"] = round(max(times), 2)


@contextlib.contextmanager
def events(world: NasWorld, name: str) -> Iterator[list[str]]:
    """What the daemon tells of the service's container meanwhile: it remembers 256 events only."""
    told: list[str] = []
    command = [
        *(
            world.docker.command,
            "--host",
            world.docker.host,
            "events",
            "--filter",
            "type=container",
        ),
        *("--filter", f"container={PREFIX}{name}", "--filter", "event=kill"),
        *("--filter", "event=start", "--format", "{{.TimeNano}} {{.Action}}"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listening:
        try:
            yield told
        finally:
            listening.terminate()
            told += listening.communicate()[0].splitlines()


def downtime(told: list[str]) -> float:
    """Seconds from the old container's end to the new one's start."""
    rows_ = [(int(when), action) for when, action, *_ in map(str.split, told)]
    starts = [when for when, action in rows_ if action == "start"]
    ends = [when for when, action in rows_ if action == "kill" and when < starts[-1]]
    return (starts[-1] - ends[-1]) / 1e9


def test_all_come_back_after_the_daemon(world: NasWorld) -> None:
    ids = world.ids()
    world.docker.stop()
    world.docker.start()
    until(lambda: well(world) == 12, SETTLE_SECONDS, "all work again")
    assert world.ids() == ids
    assert rows(world) == 2000


def test_the_data_outlives_the_stack(world: NasWorld) -> None:
    world.nas.stack.destroy()
    assert world.docker("ps", "--all", "--quiet", "--filter", f"name=^{PREFIX}") == ""
    assert world.docker("network", "ls", "--quiet", "--filter", f"name=^{PREFIX}") == ""
    volumes = set(world.docker("volume", "ls", "--quiet").split())
    assert {f"{PREFIX}{name}" for name in KEPT} <= volumes
    assert f"{PREFIX}redis-files" not in volumes
    world.up()
    assert well(world) == 12
    NUMBERS["rows_lost"] = 2000 - rows(world)
    assert NUMBERS["rows_lost"] == 0
    assert set(by_name(world.settings)) == set(world.seen())


def test_figures_are_complete(world: NasWorld) -> None:
    assert Path(world.folder).is_dir()
    wanted = {
        *("services", "healthy", "healthy_s", "second_up_changes", "refresh_changes"),
        *("rows_lost", "others_restarted", "downtime_p95_s"),
    }
    assert wanted <= set(NUMBERS)
