"""The fleet as a set of slots, and the pure functions that change it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import Field, model_validator

from contracts.errors import AgentDockerError, SettingsError
from contracts.fleet import AUTO, FleetSettings
from contracts.labels import SLOT_PATTERN, slot_name
from contracts.settings import Strict

SlotName = Annotated[str, Field(pattern=SLOT_PATTERN)]


class Slot(Strict):
    """A named place in the fleet; never reused once it was given up.

    `shard` is the provider process that serves it, fixed at birth: another provider would mean
    another machine. `generation` asks for another machine, `revision` for the current template
    on the same one. The exclusions apply to this slot's next rental.
    """

    name: SlotName
    shard: int = Field(default=0, ge=0)
    generation: int = Field(default=0, ge=0)
    revision: int = Field(default=0, ge=0)
    exclude_machines: tuple[int, ...] = ()
    exclude_hosts: tuple[int, ...] = ()

    def avoiding(self, machines: Iterable[int] = (), hosts: Iterable[int] = ()) -> "Slot":
        """The same slot, whose next rental avoids these too."""
        return self.model_copy(
            update={
                "exclude_machines": tuple(sorted({*self.exclude_machines, *machines})),
                "exclude_hosts": tuple(sorted({*self.exclude_hosts, *hosts})),
            }
        )

    def forgiving(self) -> "Slot":
        """The same slot without exclusions."""
        return self.model_copy(update={"exclude_machines": (), "exclude_hosts": ()})

    def elsewhere(self, machines: Iterable[int] = (), hosts: Iterable[int] = ()) -> "Slot":
        """The same slot on another machine, and on none of these."""
        moved = self.avoiding(machines, hosts)
        return moved.model_copy(update={"generation": self.generation + 1})


class SlotSet(Strict):
    """The slots of a fleet in order of birth, and how many names were ever given out."""

    slots: tuple[Slot, ...] = ()
    issued: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        twice = [name for name, n in Counter(self.names).items() if n > 1]
        if twice:
            raise ValueError(f"slot names must be unique, got {twice[0]!r} more than once")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Slot names in order of birth."""
        return tuple(slot.name for slot in self.slots)

    def slot(self, name: str) -> Slot:
        """The slot of that name; KeyError when there is none."""
        found = next((slot for slot in self.slots if slot.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    def with_slot(self, changed: Slot) -> "SlotSet":
        """The same set with the slot of `changed.name` put in place of the old one."""
        slots = tuple(changed if slot.name == changed.name else slot for slot in self.slots)
        return SlotSet(slots=slots, issued=self.issued)


@dataclass(frozen=True, kw_only=True)
class Namer:
    """Gives out slot names of one stack, and spreads new slots over the shards."""

    owner: str
    stack: str
    shards: int = 1

    def slot(self, number: int) -> Slot:
        """The `number`-th slot of this stack."""
        name = slot_name(number, owner=self.owner, stack=self.stack)
        return Slot(name=name, shard=number % self.shards)


def reconcile(
    current: SlotSet,
    desired: int,
    *,
    minimum: int,
    maximum: int,
    namer: Namer,
    victims: Sequence[str] = (),
) -> SlotSet:
    """`current` grown or shrunk to `desired`, held within `minimum..maximum`.

    Shrinking gives up `victims` first, in their order, then the youngest; growing takes names
    that were never used. Victims go only as far as the count asks for it.
    """
    target = max(minimum, min(desired, maximum))
    surplus = len(current.slots) - target
    if surplus > 0:
        named = [name for name in dict.fromkeys(victims) if name in current.names]
        youngest = [name for name in reversed(current.names) if name not in named]
        gone = set([*named, *youngest][:surplus])
        kept = tuple(slot for slot in current.slots if slot.name not in gone)
        return SlotSet(slots=kept, issued=current.issued)
    slots, number = list(current.slots), current.issued
    while len(slots) < target:
        fresh = namer.slot(number)
        number += 1
        if fresh.name not in {slot.name for slot in slots}:
            slots.append(fresh)
    return SlotSet(slots=tuple(slots), issued=number)


def plan(
    fleet: FleetSettings, *, last: SlotSet | None, explicit: SlotSet | None, namer: Namer
) -> SlotSet:
    """The slots of the coming update.

    `explicit` slots win. Else `desired: auto` keeps the `last` update's slots (`min` of them
    before the first), so a person's `pulumi up` never undoes the autoscaler; a number is a count.
    """
    if explicit is not None:
        if len(explicit.slots) > fleet.max:
            raise SettingsError(
                f"{len(explicit.slots)} slots are asked for, fleet.max is {fleet.max}",
                hint="name fewer slots, or raise fleet.max",
            )
        # A count that fell would give the names of dead slots out again.
        issued = max(explicit.issued, last.issued if last else 0)
        return explicit.model_copy(update={"issued": issued})
    current = last or SlotSet()
    kept = len(current.slots) if last else fleet.min
    desired = kept if fleet.desired == AUTO else int(fleet.desired)
    return reconcile(current, desired, minimum=fleet.min, maximum=fleet.max, namer=namer)


# By this text a service knows the refusal from any other failure of the program.
UNCLEAR = "the account and the stack disagree"


class FleetUnclear(AgentDockerError):
    """Machines live that the coming update would forget or double; it must not run."""

    exit_code = 4


def require_known(live: Iterable[str], known: Iterable[str], *, recover: str) -> None:
    """Refuse when a machine lives outside `known` slots, or two live in one slot.

    `live` names the slot of each live machine of this owner and stack, one entry a machine.
    Slots without a machine are fine: the update fills them.
    """
    machines, names = Counter(live), set(known)
    strange = sorted(name for name in machines if name not in names)
    double = sorted(name for name, n in machines.items() if n > 1)
    if not strange and not double:
        return
    found = [f"{name} lives but is in no slot of the last update" for name in strange]
    found += [f"{name} has {machines[name]} machines" for name in double]
    raise FleetUnclear(
        f"{UNCLEAR}: " + "; ".join(found),
        hint=f"an update was cut off; run `{recover}`, it adopts what lives and loses nothing",
    )
