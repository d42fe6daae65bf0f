"""The gpu stack as a fleet: slots in, machines out, and back on its feet after a crash."""

import contextlib
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from filelock import FileLock, Timeout
from pydantic import TypeAdapter

from contracts import outputs
from contracts.errors import SettingsError
from contracts.fleet import FleetSettings
from contracts.labels import Label
from contracts.outputs import InstanceOutput
from contracts.program import PROGRAM_VERSION, PROJECT
from contracts.settings import parse
from contracts.slots import Namer, SlotSet, reconcile
from operations import intents, locks, recovery_plan
from operations.errors import Busy, OperationError
from operations.intents import Intent
from operations.stack import Applied, Stack
from operations.state import StackState
from providers.vastai.client import VastClient
from providers.vastai.models import Instance
from providers.vastai.renting import RENT_DEADLINE, Renter
from providers.vastai.session import UpdateSession, rent_locks

_INSTANCES = TypeAdapter(list[InstanceOutput])
# A provider may be renting when its engine dies: one create, and looking for its label.
_RENTERS_WAIT = RENT_DEADLINE * 2 + 10


class NewerProgram(OperationError):
    """The stack was written by a program newer than this service; it holds."""

    exit_code = 4


class NoSuchSlot(OperationError):
    """The fleet has no slot of that name."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """What recovery found and did; empty lists mean that all was well."""

    slots: tuple[str, ...]
    unlocked: tuple[str, ...] = ()
    adopted: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    ended: tuple[int, ...] = ()
    cleared: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Operations on the gpu stack. `cloud` makes a client of the account it rents from."""

    stack: Stack
    cloud: Callable[[], VastClient]
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    host: str = field(default_factory=socket.gethostname)

    # Reading.

    def live(self) -> dict[str, list[Instance]]:
        """Every machine of this owner and stack that lives, by slot."""
        return self.live_of(self.known())

    def live_of(self, known: "Known") -> dict[str, list[Instance]]:
        """As `live`, when the stack was read already."""
        with self.cloud() as client:
            return self._by_slot(client, known.namer.owner)

    def instances(self, state: StackState) -> list[InstanceOutput]:
        """The machines that the last update recorded."""
        return _INSTANCES.validate_python(state.outputs.get(outputs.INSTANCES) or [])

    # Changing.

    def resize(
        self, count: int, *, victims: Sequence[str] = (), message: str | None = None
    ) -> Applied:
        """Grow or shrink to `count` slots, within the settings' limits; `victims` go first."""
        known = self.known()
        wanted = reconcile(
            known.state.slots or SlotSet(),
            count,
            minimum=known.fleet.min,
            maximum=known.fleet.max,
            namer=known.namer,
            victims=victims,
        )
        return self.apply(wanted, state=known.state, message=message)

    def replace(self, name: str, *, message: str | None = None) -> Applied:
        """Put `name` on another machine: never again on the one it has now."""
        state = self.known().state
        current = self._slot_set(state, name)
        old = next((i for i in self.instances(state) if i.slot == name), None)
        slot = current.slot(name)
        excluded = {*slot.exclude_machines, *([old.machine] if old and old.machine else [])}
        changed = slot.model_copy(
            update={
                "generation": slot.generation + 1,
                "exclude_machines": tuple(sorted(excluded)),
            }
        )
        wanted = current.with_slot(changed)
        return self.apply(wanted, state=state, also_expendable=[name], message=message)

    def roll(self, name: str, *, message: str | None = None) -> Applied:
        """Start `name`'s container anew with the settings' image, environment and models."""
        state = self.known().state
        current = self._slot_set(state, name)
        slot = current.slot(name)
        wanted = current.with_slot(slot.model_copy(update={"revision": slot.revision + 1}))
        return self.apply(wanted, state=state, message=message)

    def apply(
        self,
        wanted: SlotSet,
        *,
        state: StackState | None = None,
        also_expendable: Iterable[str] = (),
        message: str | None = None,
    ) -> Applied:
        """Give the fleet exactly these slots; only slots given up, or dead, lose their machine."""
        before = state or self.stack.snapshot().state
        victims = tuple(name for name in before.slot_names if name not in wanted.names)
        dead = [m.slot for m in before.machines if m.status in recovery_plan.DEAD]
        return self._update(
            wanted,
            victims=victims,
            expendable=[*victims, *dead, *also_expendable],
            message=message,
        )

    def recover(self) -> Recovery:
        """Bring account, state and slots back together after a crash; nothing that lives is lost.

        Busy when the lock's owner lives, or lived on another host.
        """
        state, unlocked = self._settled()
        known = self.known()
        intent = intents.read(self.stack.target.state, self.stack.target.stack)
        with self.cloud() as client:
            live = self._by_slot(client, known.namer.owner)
            plan = recovery_plan.plan(
                state, live, intent, maximum=known.fleet.max, namer=known.namer
            )
            self._end(client, plan.end)
        before = {machine.slot for machine in state.machines}
        self._update(
            plan.slots,
            victims=tuple(plan.expendable),
            expendable=plan.expendable,
            message="recover",
            skip_idle=not state.pending,
        )
        if state.pending:
            self.stack.refresh(clear_pending=True)
        return Recovery(
            slots=plan.slots.names,
            unlocked=tuple(str(owner) for owner in unlocked),
            adopted=tuple(name for name in plan.slots.names if name in live and name not in before),
            lost=tuple(name for name in plan.slots.names if name not in live),
            ended=tuple(machine.id for machine in plan.end),
            cleared=state.pending,
        )

    # Steps of these.

    def _update(
        self,
        wanted: SlotSet,
        *,
        victims: tuple[str, ...],
        expendable: Iterable[str],
        message: str | None,
        skip_idle: bool = True,
    ) -> Applied:
        """Update to `wanted`; the intent outlives this process until the update has finished."""
        folder, stack = self.stack.target.state, self.stack.target.stack
        intents.write(folder, stack, Intent(slots=wanted, victims=victims))
        try:
            applied = self.stack.apply(
                {"slots": wanted.model_dump(mode="json")},
                expendable=expendable,
                message=message,
                skip_idle=skip_idle,
            )
        except OperationError:
            # The engine ended by itself and recorded what it did: nothing was cut off.
            intents.clear(folder, stack)
            raise
        intents.clear(folder, stack)
        return applied

    def _settled(self) -> tuple[StackState, list[locks.LockOwner]]:
        """The refreshed state, once no dead update's lock and no left-over renting is in the way.

        A provider outlives its engine, so what it was doing is waited for, then read.
        """
        removed: list[locks.LockOwner] = []
        try:
            state = self.stack.refresh()
        except Busy as error:
            removed = locks.owners(error.message)
            if not removed or not all(locks.is_dead(owner, host=self.host) for owner in removed):
                raise
            self.stack.unlock()
        else:
            if not self._wait_for_renters():
                return state, []
        self._wait_for_renters()
        return self.stack.refresh(), removed

    def _wait_for_renters(self) -> bool:
        """Wait until no process rents or ends a machine of this stack; whether one did."""
        deadline, waited = self.clock() + _RENTERS_WAIT, False
        for path in rent_locks(self.stack.target.run_dir):
            lock = FileLock(path)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                waited = True
                with contextlib.suppress(Timeout):
                    lock.acquire(timeout=max(0.0, deadline - self.clock()))
            lock.release()
        return waited

    def _end(self, client: VastClient, machines: Sequence[Instance]) -> None:
        if not machines:
            return
        run_dir = self.stack.target.run_dir
        session = UpdateSession(client, update=f"recover {id(self)}", folder=run_dir)
        renter = Renter(client=client, session=session, sleep=self.sleep, clock=self.clock)
        for machine in machines:
            renter.end(machine.id)

    def known(self) -> "Known":
        """What the stack records and the settings of its last update; no call to a cloud."""
        seen = self.stack.snapshot()
        require_program(seen.state)
        stack = self.stack.target.stack
        where = f"Pulumi.{stack}.yaml"
        fleet = parse(FleetSettings, _value(seen.settings, "fleet"), where=where, key="fleet")
        owner = _value(seen.settings, "owner")
        if not owner:
            raise SettingsError(f"{where} has no agent-docker:owner, so no machine is known as its")
        namer = Namer(owner=str(owner), stack=stack, shards=fleet.shard_count)
        return Known(state=seen.state, fleet=fleet, namer=namer)

    def _slot_set(self, state: StackState, name: str) -> SlotSet:
        current = state.slots or SlotSet()
        if name not in current.names:
            known = ", ".join(current.names) or "none"
            raise NoSuchSlot(f"the fleet has no slot {name!r}", hint=f"its slots: {known}")
        return current

    def _by_slot(self, client: VastClient, owner: str) -> dict[str, list[Instance]]:
        found: dict[str, list[Instance]] = defaultdict(list)
        for instance in client.instances():
            label = Label.parse(instance.label)
            if label and (label.owner, label.stack) == (owner, self.stack.target.stack):
                found[label.slot].append(instance)
        return dict(found)


@dataclass(frozen=True, kw_only=True)
class Known:
    """The recorded state with the settings it was made from."""

    state: StackState
    fleet: FleetSettings
    namer: Namer


def require_program(state: StackState) -> None:
    """Refuse to touch a stack that a newer program wrote."""
    wrote = str(state.outputs.get(outputs.PROGRAM) or PROGRAM_VERSION)
    if _version(wrote) > _version(PROGRAM_VERSION):
        raise NewerProgram(
            f"the stack was last updated by program {wrote}, this is {PROGRAM_VERSION}",
            hint="update this installation of agent-docker",
        )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _value(settings: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401 - any YAML value
    return settings.get(f"{PROJECT}:{key}", settings.get(key))
