"""Giving slots up in good order: no new work, then wait for what is being served. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoscaler.health import Sight
from autoscaler.remembered import Drain, Remembered


@dataclass(frozen=True, kw_only=True)
class Drained:
    """A slot that can be given up now, and why."""

    slot: str
    reason: str


def chosen(
    remembered: Remembered,
    victims: Iterable[str],
    sights: Sequence[Sight],
    now: float,
    reason: str,
    unserved: Collection[str] = (),
) -> Remembered:
    """Drain exactly `victims`; a drain of any other slot is cancelled, its demand has come back.

    Nothing was ever sent to the `unserved` slots, and from now on nothing will be.
    """
    wanted = set(victims)
    drains = {
        slot: drain for slot, drain in _standing(remembered, sights).items() if slot in wanted
    }
    for sight in sights:
        if sight.slot in wanted and sight.slot not in drains:
            drains[sight.slot] = Drain(
                contract=sight.contract or 0,
                since=now,
                counted=sight.in_flight is not None,
                served=sight.slot not in unserved,
                reason=reason,
            )
    return remembered.model_copy(update={"drains": drains})


def unserved(
    before: Remembered,
    sights: Iterable[Sight],
    rows: Sequence[Mapping[str, Any]] | None,
) -> frozenset[str]:
    """The slots to which certainly nothing was sent: silent until now, and not in the router.

    `before` is what was remembered before this tick, in which some may answer for the first time.
    """
    if rows is None:
        return frozenset()
    known = {str(row.get("endpoint")) for row in rows}
    return frozenset(
        sight.slot
        for sight in sights
        if sight.record is not None
        and sight.record.endpoint not in known
        and sight.contract not in before.ready
    )


def kept(remembered: Remembered, sights: Sequence[Sight]) -> Remembered:
    """`remembered` with the drains that still stand, and what the router has told of them."""
    counted = {sight.slot for sight in sights if sight.in_flight is not None}
    drains = {
        slot: drain.model_copy(update={"counted": drain.counted or slot in counted})
        for slot, drain in _standing(remembered, sights).items()
    }
    return remembered.model_copy(update={"drains": drains})


def finished(
    remembered: Remembered,
    sights: Iterable[Sight],
    now: float,
    deadline: float,
    *,
    router: bool | None,
) -> tuple[Drained, ...]:
    """The drains that have ended.

    `router`: True when it was read in this tick, False when it did not answer, None when there is
    none. Silence is not idleness: without a word on requests in flight the whole `deadline` is
    waited, unless the router has told of them before and has dropped the row since.
    """
    done: list[Drained] = []
    for sight in sights:
        drain = remembered.drains.get(sight.slot)
        if drain is None:
            continue
        reason = _end(drain, sight, remembered, now - drain.since, deadline, router=router)
        if reason is not None:
            done.append(Drained(slot=sight.slot, reason=reason))
    return tuple(done)


def _end(
    drain: Drain,
    sight: Sight,
    remembered: Remembered,
    waited: float,
    deadline: float,
    *,
    router: bool | None,
) -> str | None:
    never = not drain.served or drain.contract not in remembered.ready
    at_once = {
        "its machine is dead": sight.dead,
        # What was remembered may be lost: the router's word counts more.
        "it has never served": never and not sight.in_flight,
        "there is no router that sends it work": router is None,
    }
    if reason := next((text for text, holds in at_once.items() if holds), None):
        return reason
    idle = sight.in_flight == 0 or (sight.in_flight is None and drain.counted)
    # It must have been taken out before its idleness means anything.
    out = sight.record is not None and sight.record.endpoint not in remembered.registered
    if router and idle and out:
        return f"idle after {waited:.0f} s"
    return f"not known to be idle after {waited:.0f} s" if waited >= deadline else None


def _standing(remembered: Remembered, sights: Iterable[Sight]) -> dict[str, Drain]:
    contracts = {sight.slot: sight.contract or 0 for sight in sights}
    return {
        slot: drain
        for slot, drain in remembered.drains.items()
        if contracts.get(slot) == drain.contract
    }
