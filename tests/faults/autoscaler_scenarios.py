"""What the world does to autoscalers that nobody kills in mid-update, and what must be true then.

Each ends with `until_whole`: the fleet is as it was asked for, and nobody helped.
"""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from pathlib import Path

from localcloud.vastai.cloud import Cloud
from tests.engine.autoscalers import Scaler, World, until
from tests.faults import processes
from tests.faults.autoscaler_cuts import Scenario

DEADLINE = 60.0
_OUTLIVES_LEASE = 18.0


@dataclass
class Told:
    """What a scenario tells of itself; `needed` is how many machines it had reason to rent."""

    recovery_s: float = 0.0
    slots: int = 0
    needed: int = 0
    takeover_s: float = 0.0


@dataclass
class Play:
    """A scenario being played. The long form waits as long as the issue asks for."""

    world: World
    rng: random.Random
    long: bool
    told: Told = field(default_factory=Told)

    def begin(self, count: int = 1) -> Scaler:
        """A fleet of `count` that one autoscaler looks after."""
        self.world.fleet.deploy(desired=count)
        self.world.mode("fixed", count)
        scaler = self.world.scaler()
        self.world.until_whole(count)
        self.told.needed = count
        return scaler

    def ask(self, count: int) -> None:
        """A person's number."""
        now = len(self.world.fleet.live())
        self.told.needed += max(0, count - now)
        self.world.mode("fixed", count)

    def settle(self, count: int) -> None:
        """The fault is over; now everything must become right by itself."""
        begun = time.monotonic()
        self.world.until_whole(count, DEADLINE)
        self.told.recovery_s = max(self.told.recovery_s, round(time.monotonic() - begun, 1))
        self.told.slots = count

    def wait(self, seconds: float, holds: Callable[[], bool]) -> None:
        """Let time pass; `holds` must be true all the while."""
        end = time.monotonic() + seconds

        def over() -> bool:
            assert holds(), "it did not hold"
            return time.monotonic() >= end

        until(over, seconds + 30.0)

    def fault(self, kind: str, on: str, times: int = 1, **more: object) -> None:
        self.world.fleet.admin("faults", {"kind": kind, "on": on, "times": times, **more})

    def clear(self) -> None:
        self.world.fleet.admin("faults", method="DELETE")

    def rentals(self) -> int:
        return len(self.world.rentals())


def play(world: World, scenario: Scenario, *, long: bool) -> Told:
    """Play it to its end; AssertionError when that does not come."""
    stage = Play(world, random.Random(scenario.seed), long)  # noqa: S311 - chooses moments
    _PLAYS[scenario.name](stage)
    return stage.told


def cannot_play(scenario: Scenario) -> str:
    """Why it cannot be played on this machine; empty when it can."""
    mounts = os.geteuid() == 0 and shutil.which("mount") is not None
    needed = scenario.name in {"disk full", "backend full"}
    return "only root can have a disk of its own" if needed and not mounts else ""


# Two autoscalers.


def _duel(stage: Play) -> None:
    _duels(stage, apart=False)


def _duel_apart(stage: Play) -> None:
    _duels(stage, apart=True)


def _duels(stage: Play, *, apart: bool) -> None:
    """Both work, one sleeps now and then and wakes up in the middle of the other's work."""
    world, rng = stage.world, stage.rng
    stage.begin()
    world.scaler(state=world.folder / "another-host" if apart else None)
    until(lambda: world.leader() is not None)
    for count in rng.sample([2, 3, 4, 5], 4 if stage.long else 2):
        leader = world.leader()
        assert leader is not None
        stage.ask(count)
        _pause(rng.uniform(0.0, 5.0))
        with leader.paused():
            _pause(rng.choice([2.0, _OUTLIVES_LEASE]))
        stage.settle(count)


def _takeover_killed(stage: Play) -> None:
    first = stage.begin(2)
    second = stage.world.scaler()
    first.kill()
    stage.told.takeover_s = _until_leads(second)
    stage.ask(3)
    stage.settle(3)


def _takeover_paused(stage: Play) -> None:
    first = stage.begin(2)
    second = stage.world.scaler()
    with first.paused():
        stage.told.takeover_s = _until_leads(second)
        stage.ask(3)
        until(lambda: len(stage.world.fleet.live()) == 3, DEADLINE, second.health)
    until(lambda: not first.leads())
    stage.settle(3)


def _takeover_in_flight(stage: Play) -> None:
    """A paused owner is not dead: nobody works on its stack until it has ended."""
    world = stage.world
    first = stage.begin()
    second = world.scaler()
    world.fleet.admin("hold", {"on": "create", "point": "accepted"})
    stage.ask(3)
    until(world.fleet.is_held)
    with first.paused():
        stage.told.takeover_s = _until_leads(second)
        rented = stage.rentals()
        stage.wait(8.0, lambda: stage.rentals() == rented)
        world.fleet.admin("release", {})
        until(lambda: not processes.engines(world.folder) or stage.rentals() >= 3, DEADLINE)
    stage.settle(3)


def _engine_paused(stage: Play) -> None:
    """Its service is dead, its engine only sleeps: the lock is not for anybody to break."""
    world = stage.world
    first = stage.begin()
    world.fleet.admin("hold", {"on": "create", "point": "received"})
    stage.ask(3)
    until(world.fleet.is_held)
    first.kill()
    (engine,) = processes.engines(world.folder)
    engine.suspend()
    world.fleet.admin("release", {})
    second = world.scaler()
    stage.told.takeover_s = _until_leads(second)
    until(lambda: "locked" in str(second.health()), DEADLINE, second.health)
    engine.resume()
    stage.settle(3)


def _recovery_cut(stage: Play) -> None:
    """The engine dies in mid-update, and in mid-recovery everything does."""
    world = stage.world
    first = stage.begin(2)
    world.fleet.admin("hold", {"on": "create", "point": "received"})
    stage.ask(3)
    until(world.fleet.is_held)
    processes.kill(processes.engines(world.folder))
    world.fleet.admin("release", {"drop": True})
    world.fleet.admin("hold", {"on": "create", "point": "accepted"})
    until(world.fleet.is_held, DEADLINE, first.health)
    first.kill()
    processes.kill(processes.engines(world.folder))
    world.fleet.admin("release", {"drop": stage.rng.random() < 0.5})
    world.scaler()
    stage.settle(3)


def _until_leads(scaler: Scaler) -> float:
    begun = time.monotonic()
    until(scaler.leads, DEADLINE)
    return round(time.monotonic() - begun, 1)


# Redis.


def _redis_gone(stage: Play) -> None:
    """Held while it is away: nothing is rented, nothing ends, and it says so."""
    seconds = float(os.environ.get("AGENT_DOCKER_FAULT_REDIS_SECONDS", "25" if stage.long else "6"))
    scaler = stage.begin(2)
    before = stage.world.fleet.contracts()
    stage.world.redis.stop()
    until(lambda: "redis" in scaler.health()[1], what=scaler.health)
    calls = stage.world.fleet.calls("create", "destroy")
    stage.wait(seconds, lambda: stage.world.fleet.calls("create", "destroy") == calls)
    assert scaler.health()[0] == 503
    stage.world.redis.start()
    # Its memory, and what a person had set, are gone with it.
    stage.ask(3)
    stage.settle(3)
    assert stage.world.fleet.contracts().items() >= before.items()


def _redis_frozen(stage: Play) -> None:
    scaler = stage.begin(2)
    calls = stage.world.fleet.calls("create", "destroy")
    with stage.world.redis.frozen():
        until(lambda: "redis" in scaler.health()[1], what=scaler.health)
        stage.wait(
            _OUTLIVES_LEASE if stage.long else 4.0,
            lambda: stage.world.fleet.calls("create", "destroy") == calls,
        )
    stage.ask(3)
    stage.settle(3)


def _redis_empty(stage: Play) -> None:
    """It forgets everything in mid-update: the lease, the fence, drains, and what was asked for."""
    world = stage.world
    stage.begin()
    for count in (3, 1):
        world.fleet.admin("hold", {"on": "any" if count == 1 else "create", "point": "received"})
        stage.ask(count)
        if count == 3:
            until(world.fleet.is_held)
        world.redis.restart()
        world.mode("fixed", count)
        world.fleet.admin("release", {})
        stage.settle(count)


# The account.


def _storm(stage: Play, kind: str, on: str = "any", **more: object) -> None:
    """A storm while it grows, and while it shrinks."""
    scaler = stage.begin()
    for count in (3, 1):
        stage.fault(kind, on, 9999, **more)
        stage.ask(count)
        stage.wait(12.0 if stage.long else 6.0, lambda: scaler.lives)
        stage.clear()
        stage.settle(count)


def _storm_429(stage: Play) -> None:
    _storm(stage, "rate_limited")


def _storm_5xx(stage: Play) -> None:
    _storm(stage, "server_error")


def _storm_5xx_after(stage: Play) -> None:
    """It acts, and says that it did not."""
    scaler = stage.begin()
    for count in (3, 1):
        stage.fault("server_error", "create", 3, when="after")
        stage.fault("server_error", "destroy", 3, when="after")
        stage.ask(count)
        stage.settle(count)
    assert scaler.lives


def _replies_lost(stage: Play) -> None:
    stage.begin()
    for count in (3, 1):
        stage.fault("lost_reply", "create", 2)
        stage.fault("lost_reply", "destroy", 2)
        stage.fault("lost_reply", "list", 2, skip=3)
        stage.ask(count)
        stage.settle(count)


def _never_received(stage: Play) -> None:
    stage.begin()
    for count in (3, 1):
        stage.fault("never_received", "create", 2)
        stage.fault("never_received", "destroy", 2)
        stage.fault("never_received", "list", 2, skip=3)
        stage.ask(count)
        stage.settle(count)


def _listing_lags(stage: Play) -> None:
    """New machines show up late, and one answer was lost on top."""
    stage.begin()
    stage.fault("list_lag", "create", 2, seconds=5)
    stage.fault("lost_reply", "create", 1)
    stage.ask(3)
    stage.settle(3)


def _listing_misses_one(stage: Play) -> None:
    """A machine that works is in no listing for a while: it is not gone."""
    world = stage.world
    stage.begin(2)
    before = world.fleet.contracts()
    missing = next(iter(before.values()))

    def hide(cloud: Cloud, seconds: float) -> None:
        rental = cloud.get(missing)
        lag = cloud.clock.now() - rental.created_at + seconds
        rental.twist = replace(rental.twist, list_lag=lag)

    world.cloud.run(lambda cloud: hide(cloud, 3600.0))
    stage.ask(3)
    until(lambda: len(world.fleet.live()) == 3, DEADLINE, world.told)
    stage.wait(5.0, lambda: set(before.values()) <= set(world.fleet.contracts().values()))
    world.cloud.run(lambda cloud: hide(cloud, -1.0))
    stage.settle(3)
    assert world.fleet.contracts().items() >= before.items()


# The router.


def _router_gone(stage: Play) -> None:
    """It grows without one; a drain waits for its deadline; it is told everything afterwards."""
    world = stage.world
    scaler = stage.begin(2)
    world.router.router.down_until = float("inf")
    until(lambda: "router" in scaler.health()[1], what=scaler.health)
    stage.ask(3)
    stage.settle(3)
    world.router.router.down_until = 0.0
    until(lambda: scaler.health() == (200, {}), what=scaler.health)
    until(lambda: _registered(world) == _endpoints(world), what=lambda: _registered(world))
    stage.ask(1)
    stage.settle(1)
    until(lambda: _registered(world) == _endpoints(world), what=lambda: _registered(world))


def _router_forgets(stage: Play) -> None:
    world = stage.world
    stage.begin(2)
    until(lambda: _registered(world) == _endpoints(world))
    world.router.router.forget()
    until(lambda: _registered(world) == _endpoints(world))
    stage.ask(1)
    world.router.router.forget()
    stage.settle(1)
    until(lambda: _registered(world) == _endpoints(world))


def _router_hangs(stage: Play) -> None:
    """It takes calls and never answers: the fleet is looked after all the same."""
    world = stage.world
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        world.fleet.deploy()
        world.mode("fixed", 1)
        scaler = world.scaler(router=url)
        world.until_whole(1)
        stage.told.needed = 1
        for count in (3, 1):
            stage.ask(count)
            stage.settle(count)
        assert "router" in scaler.health()[1]
        assert scaler.stop() == 0


def _registered(world: World) -> set[str]:
    return {row["endpoint"] for row in world.router.router.registry.rows() if not row["draining"]}


def _endpoints(world: World) -> set[str]:
    return {world.endpoint(contract) for contract in world.fleet.contracts().values()}


# The disk.


def _disk_full(stage: Play) -> None:
    """No room on the state folder, from before an update until after it has failed."""
    world = stage.world
    with small_disk(world.folder / "small") as folder:
        stage.world.fleet.deploy()
        world.mode("fixed", 1)
        scaler = world.scaler(state=folder)
        world.until_whole(1)
        stage.told.needed = 1
        with full(folder):
            stage.ask(3)
            until(lambda: scaler.health()[0] == 503, DEADLINE, scaler.status)
            stage.wait(12.0 if stage.long else 6.0, lambda: scaler.lives)
            # One that starts on a full disk waits for room too.
            scaler.stop()
            scaler = world.scaler(state=folder)
            until(lambda: scaler.health()[0] == 503, DEADLINE, scaler.status)
        stage.settle(3)
        scaler.stop()


def _backend_full(stage: Play) -> None:
    """No room for the state itself, from the middle of an update on."""
    world = stage.world
    folder = world.closing.enter_context(small_disk(world.folder / "backend"))
    scaler = stage.begin()
    world.fleet.admin("hold", {"on": "create", "point": "accepted"})
    stage.ask(3)
    until(world.fleet.is_held)
    with full(folder):
        world.fleet.admin("release", {})
        # The engine tries again and again to write what it has rented.
        stage.wait(20.0 if stage.long else 6.0, lambda: scaler.lives)
    stage.settle(3)


@contextlib.contextmanager
def small_disk(folder: Path) -> Generator[Path]:
    """A file system of a few megabytes; only root can have one."""
    folder.mkdir(exist_ok=True)
    mount = shutil.which("mount")
    assert mount is not None
    subprocess.run([mount, "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def full(folder: Path) -> Generator[None]:
    """No room in `folder`, whatever anybody removes there meanwhile."""
    ballast, enough = folder / "ballast", threading.Event()
    filling = threading.Thread(target=_fill, args=(ballast, enough))
    filling.start()
    try:
        until(lambda: shutil.disk_usage(folder).free == 0)
        yield
    finally:
        enough.set()
        filling.join()
        ballast.unlink()


def _fill(ballast: Path, enough: threading.Event) -> None:
    with ballast.open("wb", buffering=0) as file:
        while not enough.wait(0.0002):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * 4096)


def _pause(seconds: float) -> None:
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() >= end, seconds + 30.0)


_PLAYS: dict[str, Callable[[Play], None]] = {
    "duel": _duel,
    "duel apart": _duel_apart,
    "takeover killed": _takeover_killed,
    "takeover paused": _takeover_paused,
    "takeover in flight": _takeover_in_flight,
    "engine paused": _engine_paused,
    "recovery cut": _recovery_cut,
    "redis gone": _redis_gone,
    "redis frozen": _redis_frozen,
    "redis empty": _redis_empty,
    "storm 429": _storm_429,
    "storm 5xx": _storm_5xx,
    "storm 5xx after": _storm_5xx_after,
    "replies lost": _replies_lost,
    "never received": _never_received,
    "listing lags": _listing_lags,
    "listing misses one": _listing_misses_one,
    "router gone": _router_gone,
    "router forgets": _router_forgets,
    "router hangs": _router_hangs,
    "disk full": _disk_full,
    "backend full": _backend_full,
}
