"""A stack that only remembers what it was asked for, and an account of machines."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

from contracts.slots import Namer, SlotSet, reconcile
from operations import intents
from operations.fleet import Fleet
from operations.intents import Intent
from operations.process import Switch
from operations.stack import Applied, Snapshot
from operations.state import RecordedMachine, StackState
from providers.vastai.errors import NotFound
from providers.vastai.models import Instance, Offer

OWNER = "0123456789ab"
NAMER = Namer(owner=OWNER, stack="gpu")
SETTINGS = {
    "agent-docker:owner": OWNER,
    "agent-docker:fleet": {"image": "ollama/ollama:0.12.6", "min": 1, "max": 4, "tailnet": "t.net"},
}


def slots(count: int) -> SlotSet:
    return reconcile(SlotSet(), count, minimum=0, maximum=9, namer=NAMER)


NAMES = slots(4).names


class FakeCloud:
    """An account: the machines in it, and what was ended."""

    def __init__(self) -> None:
        self.machines: list[Instance] = []
        self.ended: list[int] = []
        self.offers = [
            Offer.model_validate(
                {
                    "id": 1,
                    "machine_id": 500,
                    "host_id": 1,
                    "gpu_name": "RTX 4090",
                    "num_gpus": 1,
                    "dph_total": 0.3,
                    "verification": "verified",
                    "reliability2": 0.99,
                    "cpu_ram": 64_000,
                    "cpu_cores": 8,
                    "cpu_cores_effective": 8,
                    "disk_space": 500,
                    "inet_down": 900,
                    "inet_up": 900,
                    "cuda_max_good": 12.8,
                    "duration": 1e7,
                }
            )
        ]

    def search(self, query: dict[str, Any]) -> list[Offer]:
        assert query["gpu_name"] == {"eq": "RTX 4090"}
        return self.offers

    def __call__(self) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def add(self, contract: int, slot: str, owner: str = OWNER, stack: str = "gpu") -> None:
        label = f"agent-docker/{owner}/{stack}/{slot}"
        self.machines.append(Instance(id=contract, label=label, actual_status="running"))

    def instances(self) -> list[Instance]:
        return self.machines

    def instance(self, contract: int) -> Instance:
        raise NotFound(f"{contract} is gone")

    def destroy(self, contract: int) -> None:
        self.ended.append(contract)
        self.machines = [m for m in self.machines if m.id != contract]


@dataclass
class FakeStack:
    """Does what it is asked for, in its own record; `fails` makes the next update fail."""

    target: Any
    state: StackState = field(default_factory=StackState)
    settings: dict[str, Any] = field(default_factory=lambda: dict(SETTINGS))
    asked: list[tuple[str, Any]] = field(default_factory=list)
    fails: BaseException | None = None
    during: Callable[[], None] = lambda: None
    switch: Switch = field(default_factory=Switch)

    def snapshot(self, *, verify: bool = False) -> Snapshot:  # noqa: ARG002 - as the real one
        return Snapshot(state=self.state, settings=self.settings)

    def apply(
        self, changes: dict[str, Any], *, expendable: Iterable[str], **how: object
    ) -> Applied:
        self.asked.append(("apply", {**changes, **how, "expendable": sorted(expendable)}))
        self.during()
        self._fail()
        wanted = SlotSet.model_validate(changes["slots"])
        self.state = recorded(wanted)
        return Applied(changed=True, state=self.state)

    def refresh(self, *, clear_pending: bool = False) -> StackState:
        self.asked.append(("refresh", clear_pending))
        self._fail()
        return self.state

    def destroy(self) -> StackState:
        self.asked.append(("destroy", None))
        self._fail()
        self.state = StackState()
        return self.state

    def remove(self) -> None:
        self.asked.append(("remove", None))

    def unlock(self) -> None:
        self.asked.append(("unlock", None))

    def _fail(self) -> None:
        failure, self.fails = self.fails, None
        if failure is not None:
            raise failure


def recorded(wanted: SlotSet, *, pending: tuple[str, ...] = ()) -> StackState:
    machines = tuple(
        RecordedMachine(
            slot=slot.name,
            contract=number,
            shard=slot.shard,
            status="running",
            generation=slot.generation,
        )
        for number, slot in enumerate(wanted.slots, 1)
    )
    instances = [
        {
            "slot": machine.slot,
            "contract": machine.contract,
            "machine": 100 + machine.contract,
            "gpu": "RTX 4090",
            "gpuCount": 1,
            "costPerHour": 0.3,
            "endpoint": "http://x",
            "status": "running",
            "image": "i:1",
        }
        for machine in machines
    ]
    outputs = {"slots": wanted.model_dump(mode="json"), "instances": instances}
    return StackState(outputs=outputs, machines=machines, pending=pending)


@dataclass
class World:
    fleet: Fleet
    stack: FakeStack
    cloud: FakeCloud
    folder: Path

    def intent(self) -> Intent | None:
        return intents.read(self.folder, "gpu")

    def applied(self) -> dict[str, Any]:
        return [asked for kind, asked in self.stack.asked if kind == "apply"][-1]


def make_world(folder: Path) -> World:
    """A fleet of two recorded machines that live."""
    (folder / "run").mkdir(mode=0o700)
    target = SimpleNamespace(stack="gpu", state=folder, run_dir=folder / "run")
    stack, cloud = FakeStack(target, state=recorded(slots(2))), FakeCloud()
    for number, name in enumerate(NAMES[:2], 1):
        cloud.add(number, name)
    fleet = Fleet(stack=stack, cloud=cloud, sleep=lambda _: None, host="here")  # type: ignore[arg-type]
    return World(fleet, stack, cloud, folder)


def names(document: dict[str, Any]) -> tuple[str, ...]:
    return SlotSet.model_validate(document["slots"]).names
