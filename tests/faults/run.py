"""One run: a fresh fleet, an operation that is cut, recovery, and the count of what is wrong."""

import contextlib
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from contracts.errors import AgentDockerError
from contracts.program import INSTANCE_TYPE
from localcloud.vastai.server import RunningCloud, running_cloud
from operations.errors import Busy, Failed, Interrupted
from tests.engine.fleets import VAST_CANARY, TestFleet, make_fleet
from tests.faults import processes
from tests.faults.cuts import ALL, ENGINE, PROVIDER, SERVICE, Cut

DEADLINE = 60.0
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Outcome:
    """What one run found; all counts but `slots` should be 0."""

    cut: str
    slots: int = 0
    doubled: int = 0
    orphans: int = 0
    lost: int = 0
    manual_steps: int = 0
    left_processes: int = 0
    pending: int = 0
    recovery_s: float = 0.0
    auto: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def bad(self) -> bool:
        counts = (self.doubled, self.orphans, self.lost, self.manual_steps)
        return any((*counts, self.left_processes, self.pending))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def run(cut: Cut) -> Outcome:
    """Everything of this run lives in one folder and one emulator; nothing is left of it."""
    with tempfile.TemporaryDirectory(prefix="fault-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with running_cloud(seed=1, key=VAST_CANARY, boot_seconds=0.05) as cloud:
            try:
                return Run(cut, make_fleet(folder, cloud), cloud).outcome()
            finally:
                cloud.loop.call_soon_threadsafe(cloud.emulator.edge.holds.release, {})
                processes.kill(processes.of(folder))


class Run:
    def __init__(self, cut: Cut, fleet: TestFleet, cloud: RunningCloud) -> None:
        self.cut, self.fleet, self.cloud = cut, fleet, cloud
        self.result = Outcome(cut=str(cut))
        self.lines: list[str] = []

    def outcome(self) -> Outcome:
        slot = self._prepare()
        with self._driver(slot) as driver:
            self._until(self._reached, driver)
            self._kill(driver)
            killed = time.monotonic()
            if self.cut.late:
                threading.Timer(2.0, self._release).start()
            else:
                self._release()
            if self.cut.victim != SERVICE:
                driver.wait(DEADLINE)
            self.result.notes += [line for line in self.lines if line.startswith("ended")]
            self._plain_deploy()
            self._recover()
            self.result.recovery_s = round(time.monotonic() - killed, 1)
        self._count()
        return self.result

    def _prepare(self) -> str:
        """Deploy what the operation starts from, and set the trap."""
        operation, point = self.cut.operation, self.cut.point
        slot = ""
        if operation != "first":
            self.fleet.deploy(desired={"grow": 1, "replace": 1}.get(operation, 3))
            slot = next(iter(self.fleet.live()))
        trap: dict[str, tuple[str, str, int]] = {
            "before_send": ("search", "received", 0),
            "sent": ("create", "received", 0),
            "reply_lost": ("create", "accepted", 0),
            "id_known": ("create", "accepted", 0),
            "saved": ("create", "received", 1),
            "delete_received": ("destroy", "received", 0),
            "delete_accepted": ("destroy", "accepted", 0),
            "delete_reply_lost": ("destroy", "accepted", 0),
            "delete_saved": ("destroy", "received", 1),
        }
        on, at, skip = trap[point]
        if (operation, point) == ("replace", "delete_saved"):
            on, at, skip = "search", "received", 0
        # The service looks for an offer before it begins a replacement; that is not the cut.
        skip += (operation, on) == ("replace", "search")
        self._hold(on, at, skip)
        return slot

    @contextlib.contextmanager
    def _driver(self, slot: str) -> Iterator[subprocess.Popen[str]]:
        arguments = [str(self.fleet.folder), self.cloud.url, self.cloud.endpoint_template]
        driver = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.driver", *arguments, self.cut.operation, slot],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert driver.stdout is not None
        reader = threading.Thread(target=lambda: self.lines.extend(driver.stdout or ()))
        reader.start()
        try:
            yield driver
        finally:
            driver.kill()
            driver.wait()
            reader.join()
            driver.stdout.close()

    def _reached(self) -> bool:
        """Whether the operation stands at the point of the cut."""
        held = {(h["on"], h["point"]): h["waiting"] for h in self.fleet.admin("held")["held"]}
        match self.cut.point:
            case "saved":
                return self._ended("create") and any(held.values())
            case "delete_saved":
                return self._ended("delete") and any(held.values())
            case "reply_lost":
                return self._lose_reply(held, "create", then="list")
            case "delete_reply_lost":
                return self._lose_reply(held, "destroy", then="show")
            case _:
                return any(held.values())

    def _lose_reply(self, held: dict[tuple[str, str], int], on: str, *, then: str) -> bool:
        """Drop the answer that waits, and hold the look that the provider takes then."""
        if held.get((on, "accepted")):
            self._hold(then, "received", 0)
            self.fleet.admin("release", {"on": on, "drop": True})
        return bool(held.get((then, "received")))

    def _ended(self, op: str) -> bool:
        for line in list(self.lines):
            event = json.loads(line) if line.startswith("{") else {}
            done = event.get("phase") == "end" and event.get("type") == INSTANCE_TYPE
            if done and event["op"] in {op, f"{op}-replaced", f"{op}-replacement"}:
                return True
        return False

    def _kill(self, driver: subprocess.Popen[str]) -> None:
        folder = self.fleet.folder
        chosen = {
            ENGINE: lambda: processes.engines(folder),
            PROVIDER: lambda: processes.providers(folder),
            SERVICE: list,
            ALL: lambda: processes.of(folder),
        }[self.cut.victim]()
        if self.cut.point == "id_known":
            self._release()
        if self.cut.victim in {SERVICE, ALL}:
            driver.kill()
            driver.wait()
        else:
            assert chosen, f"no {self.cut.victim} to kill"
        processes.kill(chosen)

    def _plain_deploy(self) -> None:
        """A person's `up` right after the crash may refuse or mend; it never doubles anything."""
        if self.cut.operation == "destroy":
            return
        try:
            self.fleet.deploy()
        except Busy:
            self.result.auto = "busy"
        except Failed as error:
            refused = "recover" in (error.hint or "")
            self.result.auto = "refused" if refused else f"failed: {error.message}"
        else:
            self.result.auto = "mended"
        self.result.doubled += sum(len(ids) > 1 for ids in self.fleet.live().values())

    def _recover(self) -> None:
        """Until it succeeds; only a live engine or provider may make it wait."""
        end = time.monotonic() + DEADLINE
        while True:
            try:
                found = self.fleet.fleet.recover()
            except Busy as error:
                if time.monotonic() > end:
                    self.result.manual_steps += 1
                    self.result.notes.append(f"still busy: {error}")
                    return
            except Interrupted:
                raise  # That is a person's Ctrl-C at these runs.
            except AgentDockerError as error:
                self.result.manual_steps += 1
                self.result.notes.append(f"recover failed: {type(error).__name__}: {error}")
                return
            else:
                self.result.notes.append(str(found))
                return

    def _count(self) -> None:
        live, state = self.fleet.live(), self.fleet.state()
        recorded = {machine.slot: machine.contract for machine in state.machines}
        names = state.slots.names if state.slots else ()
        known = set(recorded.values())
        self.result.slots = len(names)
        self.result.doubled += sum(len(ids) > 1 for ids in live.values()) + self._overlaps()
        self.result.orphans = sum(i not in known for ids in live.values() for i in ids)
        alive = {i for ids in live.values() for i in ids}
        self.result.lost = len(set(names) ^ set(recorded)) + len(known - alive)
        if self.cut.operation == "destroy":
            self.result.orphans += len(alive)
        elif not names:
            self.result.lost += 1
        self.result.pending = len(self._pending())
        self.result.left_processes = len(processes.of(self.fleet.folder))

    def _overlaps(self) -> int:
        """Pairs of machines in one slot that ever lived at the same time."""
        rentals = sorted(self.fleet.admin("state")["rentals"], key=lambda rental: rental["id"])
        return sum(
            one["destroyed_at"] is None or one["destroyed_at"] > two["created_at"]
            for one, two in itertools.combinations(rentals, 2)
            if one["label"] == two["label"]
        )

    def _pending(self) -> list[Any]:
        paths = (self.fleet.folder / "backend" / ".pulumi" / "stacks").rglob("gpu.json")
        latest = json.loads(next(paths).read_text())["checkpoint"]["latest"] or {}
        return list(latest.get("pending_operations") or [])

    def _hold(self, on: str, point: str, skip: int) -> None:
        self.fleet.admin("hold", {"on": on, "point": point, "skip": skip})

    def _release(self) -> None:
        with contextlib.suppress(OSError):  # The run may be over already.
            self.fleet.admin("release", {"drop": self.cut.drop})

    def _until(self, holds: Callable[[], bool], driver: subprocess.Popen[str]) -> None:
        end = time.monotonic() + DEADLINE
        while not holds():
            if driver.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{self.cut} was never reached: {self.lines[-5:]}")
