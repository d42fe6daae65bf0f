"""What the fleet has cost: counted from what lives, kept over restarts. Pure.

Vast.ai bills the GPU while a machine runs and its storage from creation until it is destroyed
(reference of its API, § 8); traffic is billed apart and is not counted here.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

from providers.vastai.models import Instance

# Of the states a rental can be in, those in which its GPU is not billed.
_STORAGE_ONLY = frozenset({None, "created", "loading", "stopped", "exited", "offline", "unknown"})
_HOUR = 3600.0
_GONE = {"listed": False}
# Between two counts further apart others may have rented and ended what nobody here has seen.
_WATCHED = 900.0


class Account(BaseModel):
    """One rental: up to when it is counted, and its $/h since then.

    One that is not `listed` any more costs nothing, unless a listing only missed it.
    """

    model_config = ConfigDict(frozen=True)

    at: float
    rate: float
    listed: bool = True


class Ledger(BaseModel):
    """`day` is an ISO date (UTC); `spent` its $ so far, `total` those since the ledger began.

    `complete` when nothing of the day can be missing: it was counted at least every 15 min, from
    midnight on. Else what was spent is not known. `at` is when it was counted last.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    day: str
    spent: float = 0.0
    total: float = 0.0
    complete: bool = True
    at: float = 0.0
    accounts: dict[int, Account] = Field(default_factory=dict)

    @property
    def spent_today(self) -> float | None:
        """$ since midnight UTC; None when it is not known."""
        return self.spent if self.complete else None


def opened(now: float, *, nothing_ended: bool) -> Ledger:
    """A ledger where none was kept.

    What lives is counted from its own start. `nothing_ended` when the stack proves that no
    machine was ever given up; else one may have cost something today.
    """
    return Ledger(day=_day(now), complete=nothing_ended, at=now)


def counted(ledger: Ledger, machines: Iterable[Instance], now: float) -> Ledger:
    """`ledger` at `now`, with the machines that live. One that has gone is counted up to now."""
    live = {machine.id: machine for machine in machines}
    watched = abs(now - ledger.at) <= _WATCHED
    ledger = _new_day(ledger, live, now)
    due = {c: a for c, a in ledger.accounts.items() if a.listed or c in live}
    due |= {c: _first(machine, now) for c, machine in live.items() if c not in due}
    cost = sum(_cost(account, now) for account in due.values())
    # Kept for the day: a listing may just have missed it, and it must not be counted anew then.
    accounts = {
        contract: account.model_copy(update={"at": now if account.listed else account.at} | _GONE)
        for contract, account in ledger.accounts.items()
    }
    accounts |= {c: Account(at=now, rate=rate(machine)) for c, machine in live.items()}
    return ledger.model_copy(
        update={
            "spent": ledger.spent + cost,
            "total": ledger.total + cost,
            "complete": ledger.complete and watched,
            "accounts": accounts,
            "at": now,
        }
    )


def rate(machine: Instance) -> float:
    """What a machine costs now, $/h."""
    stored = min(machine.storage_total_cost, machine.dph_total)
    return stored if machine.actual_status in _STORAGE_ONLY else machine.dph_total


def _first(machine: Instance, now: float) -> Account:
    """A machine seen for the first time: from its start, but not from before this day."""
    began = machine.start_date or now
    return Account(at=max(min(began, now), _midnight(now)), rate=rate(machine))


def _cost(account: Account, now: float) -> float:
    return account.rate * max(0.0, now - account.at) / _HOUR


def _new_day(ledger: Ledger, live: dict[int, Instance], now: float) -> Ledger:
    """Close the books at midnight: what was spent before it belongs to the day before."""
    day = _day(now)
    if day == ledger.day:
        return ledger
    if day < ledger.day:
        # The clock went back: what was spent stays spent.
        return ledger.model_copy(update={"day": day})
    midnight = _midnight(now)
    accounts = {c: a for c, a in ledger.accounts.items() if a.listed or c in live}
    before = sum(_cost(account, midnight) for account in accounts.values())
    return Ledger(
        day=day,
        total=ledger.total + before,
        accounts={
            contract: account.model_copy(update={"at": max(account.at, midnight)})
            for contract, account in accounts.items()
        },
    )


def _day(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).date().isoformat()


def _midnight(now: float) -> float:
    moment = datetime.fromtimestamp(now, UTC)
    return (moment - timedelta(seconds=moment.timestamp() % 86_400)).timestamp()
