"""A stack's recorded state, read from its export. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.outputs import FENCE, FLEET, SLOTS, UPDATES
from contracts.program import INSTANCE_TYPE
from contracts.slots import SlotSet

_STACK_TYPE = "pulumi:pulumi:Stack"


@dataclass(frozen=True, kw_only=True)
class RecordedMachine:
    """A machine that the stack knows. `shard` is the provider process that serves it.

    `generation` and `revision` are those of its slot when it was rented and last started.
    """

    slot: str
    contract: int
    shard: int
    status: str
    generation: int = 0
    revision: int = 0


@dataclass(frozen=True, kw_only=True)
class RecordedResource:
    """What a provider made or took over; of what it took over, `imported` is the id it had then."""

    kind: str
    name: str
    id: str
    imported: str = ""


@dataclass(frozen=True, kw_only=True)
class StackState:
    """What a stack recorded: outputs of its last update, machines, and creates cut off half-way."""

    outputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    machines: tuple[RecordedMachine, ...] = ()
    pending: tuple[str, ...] = ()
    resources: int = 0
    # What is recorded and there; of a half-done replacement the old one is gone.
    there: tuple[RecordedResource, ...] = ()

    @property
    def ids(self) -> frozenset[str]:
        """Providers' ids of what is there."""
        return frozenset(one.id for one in self.there)

    @property
    def slots(self) -> SlotSet | None:
        """The slots of the last update; None before the first."""
        recorded = self.outputs.get(SLOTS)
        return None if recorded is None else SlotSet.model_validate(recorded)

    @property
    def fence(self) -> int | None:
        """Number of the lease under which a service updated last; None when none ever did."""
        recorded = self.outputs.get(FENCE)
        return None if recorded is None else int(recorded)

    @property
    def updates(self) -> int:
        """How many updates the stack has had."""
        return int(self.outputs.get(UPDATES) or 0)

    @property
    def fleet(self) -> Mapping[str, Any] | None:
        """The fleet's settings in the last update; None where a program before 0.1 wrote it."""
        document: Mapping[str, Any] | None = self.outputs.get(FLEET)
        return document

    @property
    def slot_names(self) -> tuple[str, ...]:
        """Every slot that the state names: recorded machines, then creates cut off half-way."""
        return (*(machine.slot for machine in self.machines), *self.pending)


def read(deployment: Mapping[str, Any] | None) -> StackState:
    """The state in a `pulumi stack export`; empty for a stack that was never updated."""
    rows: list[dict[str, Any]] = (deployment or {}).get("resources") or []
    pending: list[dict[str, Any]] = (deployment or {}).get("pending_operations") or []
    stacks = [row for row in rows if row.get("type") == _STACK_TYPE]
    return StackState(
        outputs=(stacks[0].get("outputs") or {}) if stacks else {},
        machines=tuple(_machine(row) for row in rows if _is_machine(row)),
        pending=tuple(
            _name(row["resource"])
            for row in pending
            if row.get("type") == "creating" and row["resource"].get("type") == INSTANCE_TYPE
        ),
        resources=len(rows),
        there=tuple(
            RecordedResource(
                kind=str(row.get("type")),
                name=_name(row),
                id=str(row["id"]),
                imported=str(row.get("importID") or ""),
            )
            for row in rows
            if row.get("id") and not row.get("pendingReplacement")
        ),
    )


def _is_machine(row: Mapping[str, Any]) -> bool:
    # Of a half-done replacement: what is still to be removed, and what is removed already.
    left = row.get("delete") or row.get("pendingReplacement")
    return row.get("type") == INSTANCE_TYPE and bool(row.get("id")) and not left


def _machine(row: Mapping[str, Any]) -> RecordedMachine:
    outputs: Mapping[str, Any] = row.get("outputs") or {}
    return RecordedMachine(
        slot=_name(row),
        contract=int(row["id"]),
        shard=_shard(str(row.get("provider") or "")),
        status=str(outputs.get("status") or ""),
        generation=int(outputs.get("generation") or 0),
        revision=int(outputs.get("revision") or 0),
    )


def _name(row: Mapping[str, Any]) -> str:
    return str(row["urn"]).rsplit("::", 1)[-1]


def _shard(provider: str) -> int:
    """The number in `urn:…::shard-3::<id>`; 0 for the default provider."""
    name = provider.rsplit("::", 2)[-2] if provider.count("::") >= 2 else ""  # noqa: PLR2004
    number = name.removeprefix("shard-")
    return int(number) if number != name and number.isdigit() else 0
