"""Autoscalers as real processes on a real engine, a real Redis and the local cloud, for tests."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoscaler.store import Mode, Store, connect, key_prefix
from contracts.fleet import render_endpoint
from contracts.outputs import FENCE
from localcloud.router.server import RunningRouter, running_router
from localcloud.vastai.server import RunningCloud, running_cloud
from operations.state import StackState
from operations.state import read as read_state
from tests.engine.fleets import VAST_CANARY, TestFleet, make_fleet
from tests.faults import processes
from tests.redis.server import RedisServer, running_redis

ROOT = Path(__file__).resolve().parents[2]
QUEUE = "inference"
REDIS_CANARY = "canary-of-redis"
STRANGER = "agent-docker/ffffffffffff/gpu/gpu-7zsr"
START_SECONDS = 60.0
STOP_SECONDS = 120.0
# Everything happens in seconds that takes minutes in production.
HURRIED: dict[str, Any] = {
    "checkIntervalMs": 500,
    "healthIntervalSeconds": 0.2,
    "stabilizationSeconds": 1,
    "bootDeadlineSeconds": 20,
    "unhealthyDeadlineSeconds": 3,
    "drainDeadlineSeconds": 5,
    "orphanGraceSeconds": 2,
    "signal": {"kind": "redis-list", "queue": QUEUE, "inFlight": f"{QUEUE}:processing"},
    "listen": "127.0.0.1:0",
}


def until(holds: Callable[[], object], seconds: float = 60.0, what: object = "") -> None:
    """Poll until `holds`; `what` tells, or is asked, what was missing."""
    end, pause = time.monotonic() + seconds, threading.Event()
    while not holds():
        text = what() if callable(what) else what
        assert time.monotonic() < end, f"not within {seconds:g} s: {text}"
        pause.wait(0.05)


@dataclass
class Scaler:
    """One `python -m autoscaler`."""

    process: subprocess.Popen[str]
    log: Path
    url: str

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def lives(self) -> bool:
        return self.process.poll() is None

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self._get("status")[1]
        return found

    def health(self) -> tuple[int, dict[str, str]]:
        """Code of `/healthz`, and the problems that it names."""
        code, body = self._get("healthz")
        return code, body["problems"]

    def leads(self) -> bool:
        return bool(self.status().get("leader"))

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """As a power cut would: nothing is told to anybody."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    @contextlib.contextmanager
    def paused(self) -> Generator[None]:
        """It sleeps and does not know."""
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)

    def said(self, event: str | None = None) -> list[dict[str, Any]]:
        """What it has logged; only the records of one `event` if named."""
        rows = [json.loads(line) for line in self.log.read_text().splitlines() if line[:1] == "{"]
        return [row for row in rows if event in {None, row["event"]}]

    def page(self, name: str) -> tuple[int, str]:
        """Code and text of one of its pages."""
        with urllib.request.urlopen(f"{self.url}/{name}", timeout=10) as answer:  # noqa: S310 - loopback
            return answer.status, answer.read().decode()

    def _get(self, page: str) -> tuple[int, Any]:
        try:
            code, text = self.page(page)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())
        return code, json.loads(text)


@dataclass
class World:
    """A gpu stack, what it rents from, and whoever scales it."""

    fleet: TestFleet
    cloud: RunningCloud
    redis: RedisServer
    router: RunningRouter
    scalers: list[Scaler] = field(default_factory=list)
    stranger: int = 0
    # Closed once everything has ended.
    closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def folder(self) -> Path:
        return self.fleet.folder

    @property
    def state_folder(self) -> Path:
        return self.fleet.fleet.stack.target.state

    @property
    def redis_url(self) -> str:
        return f"redis://:{REDIS_CANARY}@127.0.0.1:{self.redis.port}/0"

    # Starting.

    def rent_stranger(self) -> None:
        """A machine of somebody else on the same account: nobody of us may touch it."""
        with self.fleet.fleet.cloud() as client:
            query = {"gpu_name": {"eq": "RTX 3090"}, "rentable": {"eq": True}}
            offer = client.search(query)[0]
        self.stranger = self.fleet.rent_by_hand(offer.id, label=STRANGER)
        until(lambda: self._stranger()["status"] == "running")

    def scaler(
        self, *, state: Path | None = None, env: dict[str, str] | None = None, **settings: object
    ) -> Scaler:
        """A new autoscaler that serves; `settings` are on top of the hurried ones."""
        number = len(self.scalers)
        document = {**HURRIED, "router": self.router.url, **settings}
        path = self.folder / f"autoscaler-{number}.yaml"
        path.write_text(json.dumps(document))
        full = {
            **self.fleet.fleet.stack.target.env,
            "REDIS_URL": self.redis_url,
            "AGENT_DOCKER_AUTOSCALER_FILE": str(path),
            "AGENT_DOCKER_STATE_DIR": str(state or self.state_folder),
            **(env or {}),
        }
        log = self.folder / f"autoscaler-{number}.log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-u", "-m", "autoscaler"],
                env=full,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        assert process.stdout is not None
        with process.stdout as said:
            line = said.readline()
        assert line, f"it ended with {process.wait(STOP_SECONDS)}: {log.read_text()}"
        scaler = Scaler(process=process, log=log, url=json.loads(line)["url"])
        self.scalers.append(scaler)
        return scaler

    # Asking for things.

    @contextlib.contextmanager
    def store(self) -> Generator[Store]:
        client = connect(self.redis_url)
        try:
            prefix = key_prefix(self.fleet.owner, self.fleet.fleet.stack.target.stack)
            yield Store(redis=client, prefix=prefix)
        finally:
            client.close()

    def mode(self, kind: str, count: int | None = None) -> None:
        with self.store() as store:
            store.set_mode(Mode.model_validate({"kind": kind, "count": count}))

    def push(self, count: int) -> None:
        jobs = [json.dumps({"id": str(n), "at": time.time()}) for n in range(count)]
        with self.store() as store:
            store.redis.lpush(QUEUE, *jobs)

    # Looking.

    def state(self) -> StackState | None:
        """The state as it stands on disk; None while it is being written."""
        stacks = self.folder / "backend" / ".pulumi" / "stacks"
        try:
            written = json.loads(next(stacks.rglob("gpu.json")).read_text())
        except (OSError, StopIteration, ValueError):
            return None
        return read_state(written["checkpoint"].get("latest"))

    def trouble(self, count: int | None = None) -> str:
        """What keeps machines, state and slots from being the same, `count` of each."""
        state, live = self.state(), self.fleet.live()
        if state is None or state.slots is None:
            return "there is no state to be read"
        recorded = {machine.slot: [machine.contract] for machine in state.machines}
        names = state.slots.names
        wrong = {
            f"creates were cut off: {state.pending}": bool(state.pending),
            f"{live} live, {recorded} are recorded": live != recorded,
            f"{recorded} are recorded, the slots are {names}": sorted(recorded) != sorted(names),
            f"there are {len(names)} machines, not {count}": count not in {None, len(names)},
            "an update has not come to its end": not self.fleet.fleet.is_whole(state),
        }
        return "; ".join(text for text, is_so in wrong.items() if is_so)

    def until_whole(self, count: int, seconds: float = 60.0) -> None:
        """Until there are `count` machines, all recorded, each in its slot, and all answer."""
        until(lambda: self.settled(count), seconds, lambda: (self.trouble(count), self.told()))

    def settled(self, count: int) -> bool:
        """Whether nothing is to be done any more by the word of whoever leads."""
        for scaler in self.scalers:
            status = scaler.status() if scaler.lives else {}
            slots = status.get("slots") or []
            phases = [slot["phase"] for slot in slots]
            if status.get("leader") and not status.get("operation"):
                return phases == ["ready"] * count and not self.trouble(count)
        return False

    def told(self) -> list[Any]:
        """The problems that each living autoscaler has now."""
        return [scaler.status().get("problems") for scaler in self.scalers if scaler.lives]

    def leader(self) -> Scaler | None:
        return next((scaler for scaler in self.scalers if scaler.lives and scaler.leads()), None)

    def rentals(self) -> list[dict[str, Any]]:
        """Every machine that this fleet ever had, ended ones too."""
        rows: list[dict[str, Any]] = self.fleet.admin("state")["rentals"]
        mine = f"agent-docker/{self.fleet.owner}/"
        return [row for row in rows if str(row["label"]).startswith(mine)]

    def doubled(self) -> int:
        """Pairs of machines in one slot that ever lived at the same time."""
        return sum(
            one["destroyed_at"] is None or one["destroyed_at"] > two["created_at"]
            for one, two in itertools.combinations(self.rentals(), 2)
            if one["label"] == two["label"]
        )

    def unannounced(self) -> list[int]:
        """Machines that we ended while the router still sent them work."""
        log: list[dict[str, Any]] = self.fleet.admin("events")["events"]
        by_us = {row["id"] for row in log if row["event"] == "destroyed"}
        table: dict[str, list[tuple[float, str]]] = {}
        for event in self.router.router.account.events.since(0)[0]:
            if event["event"] in {"registered", "deregistered", "forgotten"}:
                table.setdefault(str(event.get("endpoint")), []).append(
                    (event["at"], event["event"])
                )
        found: list[int] = []
        for rental in self.rentals():
            ended = rental["destroyed_at"] if rental["id"] in by_us else 0.0
            rows = table.get(self.endpoint(rental["id"]), [])
            told = [name for at, name in rows if at <= ended]
            if told[-1:] == ["registered"]:
                found.append(rental["id"])
        return found

    def endpoint(self, contract: int) -> str:
        template = self.cloud.endpoint_template
        return render_endpoint(template, slot="", contract=contract, tailnet=None, port=0)

    def touched(self) -> list[str]:
        """What was done to the machine of somebody else."""
        if not self.stranger:
            return []
        log: list[dict[str, Any]] = self.fleet.admin("events")["events"]
        done = [row["event"] for row in log if row.get("id") == self.stranger]
        row = self._stranger()
        changed = [] if (row["label"], row["status"]) == (STRANGER, "running") else ["changed"]
        return [name for name in done if name not in {"rented", "status"}] + changed

    def _stranger(self) -> dict[str, Any]:
        rows: list[dict[str, Any]] = self.fleet.admin("state")["rentals"]
        return next(row for row in rows if row["id"] == self.stranger)

    def updates(self) -> list["Update"]:
        """The updates that have ended, in their order."""
        history = self.folder / "backend" / ".pulumi" / "history" / "agent-docker" / "gpu"
        return [_update(path) for path in sorted(history.glob("*.history.json"))]


@dataclass(frozen=True)
class Update:
    """One entry of the stack's history; times in whole seconds."""

    kind: str
    start: int
    end: int
    result: str
    fleet: dict[str, Any]
    fence: int | None


def _update(path: Path) -> Update:
    entry = json.loads(path.read_text())
    checkpoint = path.with_name(path.name.replace(".history.", ".checkpoint."))
    latest = json.loads(checkpoint.read_text())["checkpoint"].get("latest")
    fence = read_state(latest).outputs.get(FENCE)
    return Update(
        kind=entry["kind"],
        start=entry["startTime"],
        end=entry["endTime"],
        result=entry["result"],
        fleet=entry["config"].get("agent-docker:fleet") or {},
        fence=None if fence is None else int(fence),
    )


@contextlib.contextmanager
def running_world(folder: Path, *, work_seconds: float = 0.0) -> Generator[World]:
    """A world without a stack and without autoscalers; whatever runs in it at the end is ended."""
    names = ("fleet", "redis")
    for name in names:
        (folder / name).mkdir()
    with (
        running_cloud(
            seed=1, key=VAST_CANARY, boot_seconds=0.05, work_seconds=work_seconds
        ) as cloud,
        running_redis(folder / "redis", "--requirepass", REDIS_CANARY) as redis,
        running_router(f"redis://:{REDIS_CANARY}@127.0.0.1:{redis.port}/0", queue=QUEUE) as router,
    ):
        fleet = make_fleet(folder / "fleet", cloud)
        world = World(fleet=fleet, cloud=cloud, redis=redis, router=router)
        try:
            world.rent_stranger()
            yield world
        finally:
            cloud.loop.call_soon_threadsafe(cloud.emulator.edge.holds.release, {})
            for scaler in world.scalers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(scaler.pid, signal.SIGKILL)
                scaler.process.wait(STOP_SECONDS)
            processes.kill(processes.of(fleet.folder))
            world.closing.close()
