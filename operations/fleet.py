"""The gpu stack as a fleet: slots in, machines out, and back on its feet after a crash."""

import socket
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from uuid import uuid4

from pydantic import TypeAdapter

from contracts import outputs
from contracts.fleet import FleetSettings
from contracts.outputs import InstanceOutput
from contracts.slots import Slot, SlotSet, reconcile
from operations import intents, recovery_plan
from operations.errors import (
    CutOff,
    Failed,
    Interrupted,
    LeaseLost,
    NoSuchSlot,
    OperationError,
    Refused,
    StackNotFound,
)
from operations.guard import expendable
from operations.intents import Intent
from operations.known import Known, known_of
from operations.lease import lease
from operations.recovery_plan import Recovery
from operations.settling import Settling
from operations.stack import Applied, Stack
from operations.state import StackState
from providers.vastai.client import VastClient
from providers.vastai.errors import NoSuchOffer
from providers.vastai.models import Instance
from providers.vastai.offers import Want, choose
from providers.vastai.renting import Renter
from providers.vastai.session import UpdateSession

__all__ = ["Fleet", "Known", "NoSuchSlot", "Recovery"]

_INSTANCES = TypeAdapter(list[InstanceOutput])


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Operations on the gpu stack. `cloud` makes a client of the account it rents from."""

    stack: Stack
    cloud: Callable[[], VastClient]
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    # Number of the lease under which a service works; None for a person's command.
    fence: int | None = None
    host: str = field(default_factory=socket.gethostname)

    # Reading.

    def known(self, *, verify: bool = False) -> Known:
        """What the stack records and the settings of its last update; no call to a cloud.

        With `verify` a wrong passphrase is told of now, not by the next update.
        """
        return known_of(self.stack, verify=verify)

    def live(self) -> dict[str, list[Instance]]:
        """Every machine of this owner and stack that lives, by slot."""
        return self.live_of(self.known())

    def live_of(self, known: Known) -> dict[str, list[Instance]]:
        """As `live`, when the stack was read already."""
        with self.cloud() as client:
            return known.machines(client)

    def instances(self, state: StackState) -> list[InstanceOutput]:
        """The machines that the last update recorded."""
        return _INSTANCES.validate_python(state.outputs.get(outputs.INSTANCES) or [])

    # Changing. One operation of this installation at a time: each reads, decides and writes.

    def resize(
        self, count: int, *, victims: Sequence[str] = (), message: str | None = None
    ) -> Applied:
        """Grow or shrink to `count` slots, within the settings' limits; `victims` go first."""
        with self._lease():
            known = self.known()
            wanted = reconcile(
                known.state.slots or SlotSet(),
                count,
                minimum=known.fleet.min,
                maximum=known.fleet.max,
                namer=known.namer,
                victims=victims,
            )
            return self._apply(wanted, known.state, message=message)

    def replace(self, name: str, *, message: str | None = None) -> Applied:
        """Put `name` on another machine than the one it has now, or has had by this command.

        NoSuchOffer, and nothing is changed, while nothing could be rented in its place.
        """
        with self._lease():
            known = self.known()
            state = known.state
            current = self._slot_set(state, name)
            old = next((i for i in self.instances(state) if i.slot == name), None)
            changed = current.slot(name).elsewhere([old.machine] if old and old.machine else [])
            self.require_offer(changed, known.fleet)
            return self._apply(current.with_slot(changed), state, message=message)

    def require_offer(self, slot: Slot, fleet: FleetSettings) -> None:
        """NoSuchOffer when nothing could be rented for `slot` now.

        A replacement ends the old machine first: what comes next must not turn out to be nothing.
        """
        want = Want.of(
            fleet, exclude_machines=slot.exclude_machines, exclude_hosts=slot.exclude_hosts
        )
        with self.cloud() as client:
            choice = choose(client.search(want.query()), want)
        if not choice.ranked:
            raise NoSuchOffer(
                f"{slot.name} keeps its machine: {choice.why_none(want)}",
                hint="see `agent-docker gpu offers --refused`, then widen fleet.selection",
            )

    def roll(self, name: str, *, message: str | None = None) -> Applied:
        """Start `name`'s container anew with the settings' image, environment and models."""
        with self._lease():
            state = self.known().state
            current = self._slot_set(state, name)
            slot = current.slot(name)
            wanted = current.with_slot(slot.model_copy(update={"revision": slot.revision + 1}))
            return self._apply(wanted, state, message=message)

    def apply(
        self,
        wanted: SlotSet,
        *,
        state: StackState | None = None,
        preview: bool = True,
        message: str | None = None,
    ) -> Applied:
        """Give the fleet exactly these slots.

        Only slots that are given up, dead or of another generation lose their machine. Conflict,
        and nothing is done, when the stack is not as in `state` any more. Without `preview` that
        is not looked at first: for a caller who has done so from this very state, and only adds.
        """
        with self._lease():
            before = state or self.stack.snapshot().state
            return self._apply(wanted, before, message=message, preview=preview)

    def destroy(self, *, remove: bool = False) -> Recovery:
        """End every machine of this owner and stack, recorded or not; `remove` forgets the stack.

        What a cut-off update left is found by its label.
        """
        with self._lease():
            known = self.known()
            whole = Intent(
                slots=SlotSet(),
                base=known.state.slots,
                updates=known.state.updates,
                destroy=True,
                remove=remove,
            )
            intents.write(self.stack.target.state, self.stack.target.stack, whole)
            if known.state.pending:
                Settling(stack=self.stack, host=self.host, clock=self.clock).settle()
            return self._destroy(known, remove=remove)

    def recover(self, *, end_at_most: int | None = None, spare: Collection[str] = ()) -> Recovery:
        """Bring account, state and slots back together after a crash; nothing that lives is lost.

        What the cut-off operation was asked for is finished, a destroy too. Busy when the lock's
        owner lives, or is not an engine that was started here. Refused when more than
        `end_at_most` surplus machines would have to end: that many are no accident. The machines
        of the slots `spare` stay, though what was cut off would have ended them: they serve again.
        """
        with self._lease():
            intent = intents.read(self.stack.target.state, self.stack.target.stack)
            settling = Settling(stack=self.stack, host=self.host, clock=self.clock)
            try:
                state, unlocked = settling.settle()
            except StackNotFound:
                if intent is None or not intent.remove:
                    raise
                intents.clear(self.stack.target.state, self.stack.target.stack)
                return Recovery(slots=())
            known = self.known()
            self._require_lease(known.state)
            found = tuple(str(owner) for owner in unlocked)
            if intent is not None and intent.destroy and intent.stands(state):
                ended = self._destroy(known, remove=intent.remove)
                return replace(ended, unlocked=found)
            recovered = self._recover(state, known, intent, end_at_most, spare)
            return replace(recovered, unlocked=found)

    # Steps of these.

    def _lease(self) -> AbstractContextManager[None]:
        return lease(self.stack.target.state, self.stack.target.stack)

    def _apply(
        self,
        wanted: SlotSet,
        before: StackState,
        *,
        message: str | None,
        preview: bool = True,
    ) -> Applied:
        self._require_whole(before)
        victims = tuple(name for name in before.slot_names if name not in wanted.names)
        return self._update(wanted, before, victims=victims, message=message, preview=preview)

    def is_whole(self, state: StackState) -> bool:
        """Whether no update of this stack was cut off half-way, as far as is known here."""
        intent = intents.read(self.stack.target.state, self.stack.target.stack)
        return not state.pending and (intent is None or not intent.stands(state))

    def under(self, fence: int | None) -> "Fleet":
        """The same fleet, for a service that holds the lease of that number."""
        return replace(self, fence=fence)

    def stop(self) -> None:
        """Ask what runs to end, and let nothing more begin; from any thread."""
        self.stack.switch.press()

    def _require_lease(self, state: StackState) -> None:
        """Before anything ends directly: the program, which would refuse, comes only later."""
        if self.fence is not None and (state.fence or 0) > self.fence:
            raise LeaseLost("the lease was taken over; nothing was changed")

    def _require_whole(self, before: StackState) -> None:
        target = self.stack.target
        if not self.is_whole(before):
            raise CutOff(
                "an update of this stack was cut off half-way, or still runs elsewhere; nothing "
                "was changed",
                hint=f"run `agent-docker recover {target.stack}`: it finishes what was asked for, "
                "or says what still runs",
            )

    def _recover(
        self,
        state: StackState,
        known: Known,
        intent: Intent | None,
        end_at_most: int | None,
        spare: Collection[str],
    ) -> Recovery:
        if intent is not None:
            intent = intent.sparing(spare, state)
        with self.cloud() as client:
            live = known.machines(client)
            limits = {"minimum": known.fleet.min, "maximum": known.fleet.max}
            plan = recovery_plan.plan(
                state, live, intent, namer=known.namer, fits=known.fits, **limits
            )
            if end_at_most is not None and len(plan.end) > end_at_most:
                raise Refused(
                    f"{len(plan.end)} machines are in no slot, more than the {end_at_most} that "
                    "may be ended unseen; nothing was changed",
                    hint=f"look at `agent-docker gpu instances`, then `agent-docker recover "
                    f"{self.stack.target.stack}`",
                )
            self._end(client, plan.end)
        try:
            self._update(plan.slots, state, victims=plan.victims, message="recover")
        except Failed as error:
            # E.g. no offer for an empty slot. What lives is found by its label; the pending
            # creates would only keep every later change from being made.
            if not isinstance(error, CutOff):
                self._clear_pending(state)
            raise
        self._clear_pending(state)
        before = {machine.slot for machine in state.machines}
        names = plan.slots.names
        return Recovery(
            slots=names,
            adopted=tuple(name for name in names if name in live and name not in before),
            lost=tuple(name for name in names if name not in live),
            ended=tuple(machine.id for machine in plan.end),
            cleared=state.pending,
        )

    def _clear_pending(self, state: StackState) -> None:
        if state.pending:
            self.stack.refresh(clear_pending=True)

    def _destroy(self, known: Known, *, remove: bool) -> Recovery:
        state = self.stack.destroy()
        with self.cloud() as client:
            left = [m for machines in known.machines(client).values() for m in machines]
            self._end(client, left)
        self._clear_pending(state)
        if remove:
            self.stack.remove()
        intents.clear(self.stack.target.state, self.stack.target.stack)
        ended = tuple(machine.id for machine in left)
        return Recovery(slots=(), ended=ended, cleared=state.pending)

    def _update(
        self,
        wanted: SlotSet,
        before: StackState,
        *,
        victims: tuple[str, ...],
        message: str | None,
        preview: bool = True,
    ) -> Applied:
        """Update to `wanted`; the intent outlives this process until the update has finished."""
        folder, stack = self.stack.target.state, self.stack.target.stack
        if self.stack.switch.pressed:
            # Without an intent: there is nothing that a recovery would have to finish.
            raise Interrupted("stopped before it began; nothing was changed")
        intent = Intent(slots=wanted, victims=victims, base=before.slots, updates=before.updates)
        intents.write(folder, stack, intent)
        try:
            applied = self.stack.apply(
                {
                    "slots": wanted.model_dump(mode="json"),
                    "fence": self.fence,
                    **({} if before.fleet is None else {"fleet": dict(before.fleet)}),
                },
                expendable=expendable(before, wanted) if preview else None,
                base=before.updates,
                message=message,
                # Slots that change no machine are still to be recorded.
                skip_idle=wanted == before.slots and not before.pending,
            )
        except (CutOff, Interrupted):
            raise
        except OperationError:
            # The engine ended by itself and recorded what it did: nothing was cut off.
            intents.clear(folder, stack)
            raise
        intents.clear(folder, stack)
        return applied

    def _end(self, client: VastClient, machines: Sequence[Instance]) -> None:
        if not machines:
            return
        run_dir = self.stack.target.run_dir
        session = UpdateSession(client, update=f"recover {uuid4()}", folder=run_dir)
        renter = Renter(client=client, session=session, sleep=self.sleep, clock=self.clock)
        for machine in machines:
            renter.end(machine.id)

    def _slot_set(self, state: StackState, name: str) -> SlotSet:
        current = state.slots or SlotSet()
        if name not in current.names:
            known = ", ".join(current.names) or "none"
            raise NoSuchSlot(f"the fleet has no slot {name!r}", hint=f"its slots: {known}")
        return current
