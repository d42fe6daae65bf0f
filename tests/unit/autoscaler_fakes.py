"""Parts of a small world for the autoscaler: stack, account, router, clocks, log."""

from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from autoscaler.health import Sight
from autoscaler.world import Clock
from contracts.fleet import FleetSettings, render_endpoint
from contracts.labels import Label
from contracts.outputs import InstanceOutput
from contracts.slots import Namer, Slot, SlotSet, reconcile
from operations.errors import Conflict
from operations.known import Known
from operations.recovery_plan import Recovery
from operations.stack import Applied
from operations.state import RecordedMachine, StackState
from providers.agent_router import Registration, RouterError
from providers.vastai.errors import NoSuchOffer, NotFound
from providers.vastai.models import Instance

OWNER = "0123456789ab"
NAMER = Namer(owner=OWNER, stack="gpu")
# 2023-11-14, 22:13:20 UTC.
NOW = 1_700_000_000.0
URL = "http://router.test"


def slot_set(count: int) -> SlotSet:
    return reconcile(SlotSet(), count, minimum=0, maximum=30, namer=NAMER)


NAMES = slot_set(30).names


def fleet_settings(**changes: Any) -> FleetSettings:  # noqa: ANN401 - any setting
    document = {"image": "ollama/ollama:0.12.6", "tailnet": "t.net", "router": URL, **changes}
    return FleetSettings.model_validate(document)


def endpoint(slot: str, contract: int) -> str:
    template = "http://{hostname}.{tailnet}:{port}"
    return render_endpoint(template, slot=slot, contract=contract, tailnet="t.net", port=11434)


def record(slot: str, contract: int, **changes: Any) -> InstanceOutput:  # noqa: ANN401
    known = {
        "slot": slot,
        "contract": contract,
        "machine": 1000 + contract,
        "host": 100 + contract,
        "gpu": "RTX 4090",
        "gpuCount": 1,
        "costPerHour": 0.36,
        "endpoint": endpoint(slot, contract),
        "status": "loading",
        "image": "ollama/ollama:0.12.6",
    }
    return InstanceOutput.model_validate({**known, **changes})


def instance(contract: int, slot: str = NAMES[0], **changes: Any) -> Instance:  # noqa: ANN401
    known = {
        "id": contract,
        "label": str(Label(owner=OWNER, stack="gpu", slot=slot)),
        "machine_id": 1000 + contract,
        "host_id": 100 + contract,
        "actual_status": "running",
        "dph_total": 0.36,
        "storage_total_cost": 0.036,
        "start_date": NOW,
    }
    return Instance.model_validate({**known, **changes})


def sight(number: int = 0, contract: int | None = None, **changes: Any) -> Sight:  # noqa: ANN401
    """A slot whose machine runs; it does not answer unless that is said."""
    name, contract = NAMES[number], number + 1 if contract is None else contract
    usual = {"record": record(name, contract), "machine": instance(contract, name)}
    return Sight(slot=name, **(usual | changes))


@dataclass
class Time:
    """Both clocks."""

    wall: float = NOW
    mono: float = 1000.0

    def pass_(self, seconds: float) -> None:
        self.wall, self.mono = self.wall + seconds, self.mono + seconds

    @property
    def clock(self) -> Clock:
        return Clock(wall=lambda: self.wall, mono=lambda: self.mono)


@dataclass
class Cloud:
    """An account. `hidden` are left out of its listing, `failure` is raised by each call."""

    machines: dict[int, Instance] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)
    failure: Exception | None = None

    def instances(self) -> list[Instance]:
        if self.failure:
            raise self.failure
        return [m for m in self.machines.values() if m.id not in self.hidden]

    def instance(self, contract: int) -> Instance:
        if self.failure:
            raise self.failure
        if contract not in self.machines:
            raise NotFound(f"{contract} is gone")
        return self.machines[contract]

    def change(self, contract: int, **changes: object) -> None:
        self.machines[contract] = self.machines[contract].model_copy(update=changes)


@dataclass
class FakeRouter:
    """As the local one: a row stays, marked, until what is in flight has ended."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    told: list[tuple[str, str]] = field(default_factory=list)
    down: bool = False
    refuses: set[str] = field(default_factory=set)

    def providers(self) -> list[dict[str, Any]]:
        self._answer("")
        return [dict(row) for row in self.rows.values()]

    def register(self, registration: Registration) -> None:
        self._answer(registration.endpoint)
        self.told.append(("register", registration.endpoint))
        before = self.rows.get(registration.endpoint, {"in_flight": 0, "utilization": 0.0})
        told = {
            "endpoint": registration.endpoint,
            "models": list(registration.models),
            "gpu_type": registration.gpu_type,
            "cost_per_hour": registration.cost_per_hour,
        }
        self.rows[registration.endpoint] = {**before, **told, "draining": False}

    def deregister(self, endpoint: str) -> None:
        self._answer(endpoint)
        self.told.append(("deregister", endpoint))
        self.serve(endpoint, self.rows.get(endpoint, {}).get("in_flight", 0), draining=True)

    def serve(self, endpoint: str, in_flight: int, **changes: object) -> None:
        """Have so many requests in flight there."""
        if endpoint in self.rows:
            self.rows[endpoint] |= {"in_flight": in_flight, **changes}
            if self.rows[endpoint]["draining"] and not in_flight:
                del self.rows[endpoint]

    @property
    def takes(self) -> set[str]:
        """Where new work goes."""
        return {name for name, row in self.rows.items() if not row.get("draining")}

    def _answer(self, endpoint: str) -> None:
        if self.down or endpoint in self.refuses:
            raise RouterError(f"agent-router at {URL} does not answer")


@dataclass
class FakeFleet:
    """The stack and its engine; what it rents is in `cloud`. `fails` are raised in turn."""

    cloud: Cloud
    time: Time
    settings: FleetSettings = field(default_factory=fleet_settings)
    state: StackState = field(default_factory=StackState)
    fails: list[Exception] = field(default_factory=list)
    unreadable: Exception | None = None
    whole: bool = True
    offers: bool = True
    asked: list[SlotSet] = field(default_factory=list)
    previewed: list[bool] = field(default_factory=list)
    recovered: list[int | None] = field(default_factory=list)
    spared: frozenset[str] = frozenset()
    fences: list[int | None] = field(default_factory=list)
    reads: int = 0
    rented: int = 0

    def known(self, *, verify: bool = False) -> Known:  # noqa: ARG002 - as the real one
        self.reads += 1
        if self.unreadable:
            raise self.unreadable
        return Known(state=self.state, fleet=self.settings, namer=NAMER)

    def is_whole(self, state: StackState) -> bool:
        return self.whole and not state.pending

    def require_offer(self, slot: Slot, _fleet: FleetSettings) -> None:
        if not self.offers:
            raise NoSuchOffer(f"{slot.name} keeps its machine")

    def apply(
        self,
        wanted: SlotSet,
        *,
        state: StackState | None = None,
        preview: bool = True,
        message: str | None = None,
    ) -> Applied:
        assert message == "autoscaler"
        self.asked.append(wanted)
        self.previewed.append(preview)
        self._fail()
        if state is not None and state.slots != self.state.slots:
            raise Conflict("the stack is not as it was read")
        return Applied(changed=True, state=self.update(wanted))

    def recover(self, *, end_at_most: int | None = None, spare: Collection[str] = ()) -> Recovery:
        self.recovered.append(end_at_most)
        self.spared = frozenset(spare)
        self._fail()
        recorded = {machine.contract for machine in self.state.machines}
        ended = tuple(c for c in list(self.cloud.machines) if c not in recorded)
        for contract in ended:
            del self.cloud.machines[contract]
        self.whole = True
        return Recovery(slots=self.state.slot_names, ended=ended)

    def under(self, fence: int | None) -> "FakeFleet":
        self.fences.append(fence)
        return self

    def update(self, wanted: SlotSet) -> StackState:
        """Anybody's update: ends, rents and records."""
        before = {m.slot: m for m in self.state.machines}
        for slot, machine in before.items():
            kept = slot in wanted.names and wanted.slot(slot).generation == machine.generation
            if not kept:
                self.cloud.machines.pop(machine.contract, None)
                before = {name: m for name, m in before.items() if name != slot}
        rows = tuple(before.get(slot.name) or self._rent(slot) for slot in wanted.slots)
        outputs = {
            "slots": wanted.model_dump(mode="json"),
            "instances": [record(row.slot, row.contract).model_dump(mode="json") for row in rows],
            "fence": self.fences[-1] if self.fences else None,
        }
        self.state = StackState(outputs=outputs, machines=rows)
        return self.state

    def _rent(self, slot: Slot) -> RecordedMachine:
        self.rented += 1
        contract, now = self.rented, self.time.wall
        live = instance(contract, slot.name, actual_status="loading", start_date=now)
        self.cloud.machines[contract] = live
        return RecordedMachine(
            slot=slot.name, contract=contract, shard=0, status="x", generation=slot.generation
        )

    def _fail(self) -> None:
        if self.fails:
            raise self.fails.pop(0)


class Pool:
    """Runs at once what it is given, or when the test says so."""

    def __init__(self) -> None:
        self.holding = False
        self._waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, operation: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        self._waiting.append((future, operation))
        if not self.holding:
            self.finish()
        return future

    def finish(self) -> None:
        for future, operation in self._waiting:
            try:
                future.set_result(operation())
            except Exception as error:  # noqa: BLE001 - as a real pool
                future.set_exception(error)
        self._waiting.clear()


@dataclass
class Log:
    """What was logged."""

    lines: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def info(self, event: str, **details: object) -> None:
        self.lines.append((event, details))

    warning = exception = info

    def told(self, event: str) -> list[dict[str, Any]]:
        return [details for name, details in self.lines if name == event]
