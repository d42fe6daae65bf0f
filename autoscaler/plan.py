"""Which slots the next update shall have: one document for all that is due. Pure."""

from collections.abc import Collection
from dataclasses import dataclass

from contracts.slots import Namer, SlotSet, reconcile


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is due: slots to give up, to put on another machine, and how many there shall be.

    `count` below the present number gives nobody up: that is what `give_up` is for. `leftovers`
    are machines in the state whose slot an update gave up without coming to its end.
    """

    count: int
    give_up: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()

    @property
    def only_adds(self) -> bool:
        """Whether it ends no machine."""
        return not (self.give_up or self.replace or self.leftovers)

    def needed(self, current: SlotSet) -> bool:
        """Whether it changes `current` at all."""
        names = set(current.names)
        return (
            self.count > len(names)
            or bool(names & set(self.give_up))
            or bool(names & set(self.replace))
            or bool(self.leftovers)
        )


def wanted(
    current: SlotSet,
    change: Change,
    *,
    namer: Namer,
    maximum: int,
    machines: Collection[int] = (),
    hosts: Collection[int] = (),
    now_on: dict[str, int] | None = None,
) -> SlotSet:
    """`current` after `change`.

    New rentals avoid `machines` and `hosts`; a replaced slot also the machine that it is on by
    `now_on`, and none that it had to avoid before: what failed long ago may work. Slots that stay
    and work keep every input, so the engine leaves them alone.
    """
    leaving = [name for name in current.names if name in change.give_up]
    left = len(current.slots) - len(leaving)
    shrunk = reconcile(
        current, left, minimum=0, maximum=len(current.slots), namer=namer, victims=leaving
    )
    # More than the maximum stay as they are: growing only.
    most = max(left, maximum)
    grown = reconcile(shrunk, max(left, change.count), minimum=0, maximum=max(most, 1), namer=namer)
    result = grown
    for slot in grown.slots:
        if slot.name not in current.names:
            result = result.with_slot(slot.avoiding(machines, hosts))
        elif slot.name in change.replace:
            own = (now_on or {}).get(slot.name)
            avoid = {*machines, *(() if own is None else (own,))}
            result = result.with_slot(slot.forgiving().elsewhere(avoid, hosts))
    return result
