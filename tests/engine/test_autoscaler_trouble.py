"""An autoscaler that cannot do its work: it says why in one line, touches nothing, and goes on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.autoscalers import QUEUE, REDIS_CANARY, Scaler, World, running_world, until
from tests.engine.fleets import PASSPHRASE_CANARY, TAILNET_CANARY, VAST_CANARY
from tests.engine.test_gpu_secrets import hits
from tests.faults import processes

CANARIES = (VAST_CANARY, TAILNET_CANARY, PASSPHRASE_CANARY, REDIS_CANARY)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as running:
        yield running


def until_told(scaler: Scaler, topic: str, text: str) -> None:
    """Until `/healthz` is red for this reason."""
    until(lambda: text in scaler.health()[1].get(topic, ""), what=scaler.health)
    assert scaler.health()[0] == 503


def until_well(scaler: Scaler) -> None:
    until(lambda: scaler.leads() and scaler.health() == (200, {}), what=scaler.health)


def test_a_start_that_goes_wrong_is_told_and_mended(world: World) -> None:
    scaler = world.scaler()
    until_told(scaler, "stack", "no such stack")
    assert world.rentals() == []
    world.fleet.deploy()
    until_well(scaler)
    assert scaler.stop() == 0
    before = world.fleet.contracts()

    passphrase = world.folder / "passphrase"
    passphrase.write_text("another passphrase")
    scaler = world.scaler()
    # At the latest when something is to be changed.
    world.mode("fixed", 2)
    until(lambda: "passphrase does not open" in str(scaler.health()), what=scaler.health)
    world.mode("fixed", 1)
    passphrase.write_text(PASSPHRASE_CANARY)
    until_well(scaler)
    assert scaler.stop() == 0

    world.redis.stop()
    scaler = world.scaler()
    until_told(scaler, "redis", "Redis does not answer")
    assert not scaler.leads()
    world.redis.start()
    until_well(scaler)
    assert scaler.stop() == 0

    scaler = world.scaler(router="http://127.0.0.1:9")
    until_told(scaler, "router", "127.0.0.1:9")
    with world.store() as store:
        store.redis.set(QUEUE, "no list")
    until_told(scaler, "signal", "is a string, expected a list")
    with world.store() as store:
        store.redis.delete(QUEUE)
    until(lambda: "signal" not in scaler.health()[1])
    assert scaler.stop() == 0

    # Nothing of this has touched the fleet, and nobody has died of it.
    assert world.fleet.contracts() == before
    assert len(world.rentals()) == 1
    assert world.touched() == []
    assert [s.said("tick failed") for s in world.scalers] == [[]] * 4
    assert not [s.log for s in world.scalers if "Traceback" in s.log.read_text()]


def test_canaries_are_nowhere(world: World) -> None:
    world.fleet.deploy()
    scaler = world.scaler()
    world.until_whole(1)
    world.fleet.admin("hold", {"on": "create", "point": "received"})
    world.mode("fixed", 2)
    until(world.fleet.is_held)
    said = [" ".join(process.cmdline()) for process in processes.of(world.folder)]
    engine = processes.engines(world.folder)[0]
    assert "REDIS_URL" not in engine.environ()
    assert REDIS_CANARY not in "".join(engine.environ().values())
    assert scaler.pid in {process.pid for process in processes.of(world.folder)}
    world.fleet.admin("release", {})
    world.until_whole(2)

    # With everything that can be refused.
    world.fleet.admin("faults", {"kind": "auth_as_404", "on": "any", "times": 99})
    until_told(scaler, "cloud", "key")
    world.fleet.admin("faults", method="DELETE")
    world.redis.stop()
    until_told(scaler, "redis", "does not answer")
    world.redis.start()
    until_well(scaler)
    said += [scaler.page(name)[1] for name in ("status", "healthz", "metrics")]
    with world.store() as store:
        until(lambda: store.redis.get(f"{store.prefix}:lease"))
        kept = [str(key) for key in store.redis.scan_iter()]
        assert {key.rpartition(":")[2] for key in kept} >= {"lease", "fence", "memory", "status"}
        said += [*kept, *(repr(store.redis.dump(key)) for key in kept)]
        said += [repr(store.decisions(100)), repr(store.boots(100))]
    assert scaler.stop() == 0
    said += [scaler.log.read_text()]

    assert [canary for canary in CANARIES if any(canary in text for text in said)] == []
    assert hits(world.folder) == []
    assert processes.of(world.folder) == []
