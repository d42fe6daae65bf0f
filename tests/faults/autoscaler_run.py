"""One run: autoscalers at work on a fresh fleet, a fault, and the count of what is wrong after it.

Nobody recovers anything by hand.
"""

import contextlib
import tempfile
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from tests.engine.autoscalers import Scaler, World, running_world, until
from tests.faults import autoscaler_scenarios as scenarios
from tests.faults import processes
from tests.faults.autoscaler_cuts import Case, ScalerCut, Scenario
from tests.faults.autoscaler_writers import Watch, fences_gone_back, overlaps
from tests.faults.cuts import ALL, ENGINE, PROVIDER, SERVICE
from tests.faults.run import DEADLINE, Outcome

# Calls that are held: endpoint, where in its life, and how many pass before.
_TRAPS = {
    "before_send": ("search", "received", 0),
    "sent": ("create", "received", 0),
    "accepted": ("create", "accepted", 0),
    "id_known": ("create", "accepted", 0),
    "saved": ("create", "received", 1),
    "delete_received": ("destroy", "received", 0),
    "delete_accepted": ("destroy", "accepted", 0),
    "delete_saved": ("destroy", "received", 1),
}
_COUNTS = {"grow": (1, 3), "shrink": (3, 1), "replace": (2, 2)}
# A machine more than were needed may have come of a lost answer; many are a storm.
_SPARE = 2


@dataclass
class ScalerOutcome(Outcome):
    """As `Outcome`; `crashes` are autoscalers that died, or whose tick did."""

    two_writers: int = 0
    foreign_touched: int = 0
    crashes: int = 0
    storms: int = 0
    unannounced: int = 0
    fence_back: int = 0
    rented: int = 0
    takeover_s: float = 0.0
    # Why it was not run at all.
    skipped: str = ""

    @property
    def bad(self) -> bool:
        more = (self.two_writers, self.foreign_touched, self.crashes, self.storms)
        return super().bad or any((*more, self.unannounced, self.fence_back))


def run(case: Case, *, long: bool = False) -> ScalerOutcome:
    """Everything of this run lives in one folder and one emulator; nothing is left of it."""
    if isinstance(case, Scenario) and (why := scenarios.cannot_play(case)):
        return ScalerOutcome(cut=str(case), skipped=why)
    with (
        tempfile.TemporaryDirectory(prefix="fault-", ignore_cleanup_errors=True) as name,
        running_world(Path(name)) as world,
        Watch(world.folder) as watch,
    ):
        result = ScalerOutcome(cut=str(case))
        with _noted(result, world):
            if isinstance(case, Scenario):
                told = scenarios.play(world, case, long=long)
                result.recovery_s, result.slots = told.recovery_s, told.slots
                result.rented, result.takeover_s = told.needed, told.takeover_s
            else:
                _Cutting(case, world, result).play()
        _count(result, world)
        result.two_writers = len(watch.found) + overlaps(world.updates())
        return result


@contextlib.contextmanager
def _noted(result: ScalerOutcome, world: World) -> Generator[None]:
    """What was never reached, or needs a person by now, is counted and told."""
    try:
        yield
    except (AssertionError, OSError) as error:
        result.manual_steps += 1
        result.notes.append(f"{type(error).__name__}: {error}")
        for scaler in world.scalers:
            rows = [row for row in scaler.said() if row["event"] != "decision"]
            result.notes += [str(row) for row in rows[-12:]]


def _count(result: ScalerOutcome, world: World) -> None:
    state = world.state()
    live = world.fleet.live()
    recorded = {m.slot: m.contract for m in state.machines} if state else {}
    names = state.slots.names if state and state.slots else ()
    alive = {i for ids in live.values() for i in ids}
    result.slots = len(names)
    result.doubled += world.doubled()
    result.orphans += len(alive - set(recorded.values()))
    result.lost += len(set(names) ^ set(recorded)) + len(set(recorded.values()) - alive)
    result.pending = len(state.pending) if state else 1
    result.foreign_touched = len(world.touched())
    result.unannounced = len(world.unannounced())
    result.fence_back = fences_gone_back(world.updates())
    needed, result.rented = result.rented, len(world.rentals())
    result.storms = max(0, result.rented - needed - _SPARE) if needed else 0
    for scaler in world.scalers:
        text = scaler.log.read_text()
        code = scaler.stop() if scaler.lives else None
        failed = bool(scaler.said("tick failed")) or "Traceback" in text
        if failed or code not in {None, 0}:
            result.crashes += 1
            result.notes.append(f"exit code {code}: {text[-2000:] if failed else ''}")
    result.left_processes = len(processes.of(world.folder))


class _Cutting:
    """One cut: the trap is set, the operation walks into it, somebody dies."""

    def __init__(self, cut: ScalerCut, world: World, result: ScalerOutcome) -> None:
        self.cut, self.world, self.result = cut, world, result
        self.begin, self.goal = _COUNTS[cut.operation]

    def play(self) -> None:
        world, cut = self.world, self.cut
        world.fleet.deploy(min=1, desired=self.begin)
        world.mode("fixed", self.begin)
        first = world.scaler()
        world.until_whole(self.begin)
        if cut.standby:
            world.scaler()
        before = world.fleet.contracts()
        slot = next(iter(before))
        self._trap()
        if cut.operation == "replace":
            world.fleet.befall(slot, "die")
        else:
            world.mode("fixed", self.goal)
        until(self._reached, DEADLINE, lambda: (first.status(), world.fleet.admin("held")))
        self._kill(first)
        killed = time.monotonic()
        timer = threading.Timer(2.0 if cut.late else 0.0, self._release)
        timer.start()
        if not first.lives and not cut.standby:
            world.scaler()
        self.result.rented = self.begin + {"grow": 2, "shrink": 0, "replace": 1}[cut.operation]
        try:
            world.until_whole(self.goal, DEADLINE - (time.monotonic() - killed))
        finally:
            timer.join()
            self.result.recovery_s = round(time.monotonic() - killed, 1)
            self._count_lost(before, slot)

    def _trap(self) -> None:
        on, point, skip = _TRAPS[self.cut.point]
        if (self.cut.operation, self.cut.point) == ("replace", "delete_saved"):
            # An offer is looked for before a replacement begins; that is not the cut.
            on, point, skip = "search", "received", 1
        self.world.fleet.admin("hold", {"on": on, "point": point, "skip": skip})

    def _reached(self) -> bool:
        if not self.world.fleet.is_held():
            return False
        if not self.cut.point.endswith("saved") or self.cut.operation == "replace":
            return True
        state = self.world.state()
        return state is not None and len(state.machines) == 2

    def _kill(self, scaler: Scaler) -> None:
        folder, victim = self.world.folder, self.cut.victim
        if self.cut.point == "id_known":
            self._release()
        scalers = {other.pid for other in self.world.scalers}
        chosen = {
            ENGINE: lambda: processes.engines(folder),
            PROVIDER: lambda: processes.providers(folder),
            SERVICE: list,
            ALL: lambda: [p for p in processes.of(folder) if p.pid not in scalers],
        }[victim]()
        if victim in {SERVICE, ALL}:
            scaler.kill()
        else:
            assert chosen, f"no {victim} to kill"
        processes.kill(chosen)

    def _release(self) -> None:
        with contextlib.suppress(OSError):  # The run may be over already.
            self.world.fleet.admin("release", {"drop": self.cut.drop})

    def _count_lost(self, before: dict[str, int], slot: str) -> None:
        """Machines that worked, and that nobody has given up or replaced."""
        alive = {i for ids in self.world.fleet.live().values() for i in ids}
        kept = {
            "grow": set(before.values()),
            "replace": {i for name, i in before.items() if name != slot},
            "shrink": set(),
        }[self.cut.operation]
        self.result.lost += len(kept - alive)
        if self.cut.operation == "shrink" and not alive & set(before.values()):
            self.result.lost += 1
