"""Renting exactly one machine for a label, whatever is lost on the way. No Pulumi here.

What is true if the process dies right after each step:
- before the rent call: nothing was rented;
- after it: the machine carries the label, so the next `rent` of that label finds and returns it.
No step rents before it has looked for the label, and none rents again after a lost answer without
having looked once more.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from providers.vastai.client import VastClient
from providers.vastai.errors import (
    Ambiguous,
    NoSuchOffer,
    NotFound,
    RateLimited,
    Unavailable,
    VastError,
)
from providers.vastai.models import Instance, Offer, Rental
from providers.vastai.offers import Want, price
from providers.vastai.session import UpdateSession

# Seconds of renting, counted from the moment its turn comes: waiting for the pace is not renting.
RENT_DEADLINE = 20.0
# A listing may lag behind an accepted rental; looked at until the last of these seconds is over.
_LOOK_AFTER = (0.0, 1.0, 2.0, 3.0)
_DESTROY_DEADLINE = 60.0
_DEAD = frozenset({"exited", "offline", "unknown", "stopped", "frozen"})


@dataclass(frozen=True, kw_only=True)
class Rented:
    """A machine that is ours. `adopted` when an earlier, cut-off attempt had rented it."""

    contract: int
    machine: int | None
    host: int | None
    gpu: str
    gpu_count: int
    disk_gb: float
    interruptible: bool
    cost_per_hour: float
    status: str
    adopted: bool = False


@dataclass(frozen=True, kw_only=True)
class Renter:
    """Rents and ends machines for one update."""

    client: VastClient
    session: UpdateSession
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def rent(self, want: Want, rental: Rental) -> Rented:
        """The one machine labelled `rental.label`: found, or rented now.

        Raises NoSuchOffer when nothing fits, Ambiguous when it stays unknown whether a machine
        was rented; then it can be found by its label.
        """
        # A provider outlives a killed `pulumi`: whoever still rents this label is waited for.
        with self.session.renting(rental.label) as disturbed:
            mine = self.session.labelled(rental.label, fresh=disturbed)
            return self._adopt(mine) if mine else self._rent(want, rental)

    def _rent(self, want: Want, rental: Rental) -> Rented:
        spent = 0.0
        while spent < RENT_DEADLINE:
            offer = self._next_offer(want)
            self.client.pace.turn("create")
            begun = self.clock()
            found = self._try(offer, want, rental, timeout=RENT_DEADLINE - spent)
            if found is not None:
                return found
            spent += self.clock() - begun
        raise Unavailable(
            f"no machine for {rental.label} within {RENT_DEADLINE:.0f} s of renting",
            hint="Vast.ai is slow or its offers vanish quickly; run the update again",
        )

    def end(self, contract: int, *, avoid_machine: int | None = None) -> None:
        """Destroy `contract` and return once a read proves that it is gone."""
        deadline = self.clock() + _DESTROY_DEADLINE
        while True:
            try:
                self.client.destroy(contract)
            except NotFound:
                break
            except (Ambiguous, Unavailable, RateLimited) as error:
                if self.clock() >= deadline:
                    raise
                self.sleep(getattr(error, "retry_after", None) or 1.0)
            if self._is_gone(contract):
                break
            if self.clock() >= deadline:
                raise Unavailable(
                    f"instance {contract} still lives {_DESTROY_DEADLINE:.0f} s after its destroy",
                    hint="run the update again; it stays in the stack until it is gone",
                )
            self.sleep(1.0)
        self.session.destroyed(contract, avoid_machine=avoid_machine)

    def _next_offer(self, want: Want) -> Offer:
        choice = self.session.choice(want)
        for offer in choice.ranked:
            if self.session.take(offer.id):
                return offer
        text = choice.why_none(want)
        if not choice.ranked and not choice.refused:
            text += self._unknown_gpu(want.gpu)
        raise NoSuchOffer(
            text, hint="widen fleet.selection (price, reliability, regions) or name another GPU"
        )

    def _unknown_gpu(self, gpu: str) -> str:
        names = self.client.gpu_names()
        if gpu in names:
            return ""
        near = [name for name in names if gpu.rsplit(maxsplit=1)[-1].casefold() in name.casefold()]
        return f"; {gpu!r} is no GPU it knows" + (
            f", it knows {', '.join(near[:5])}" if near else ""
        )

    def _try(self, offer: Offer, want: Want, rental: Rental, *, timeout: float) -> Rented | None:
        """Rent `offer`; None when another offer may be tried."""
        try:
            contract = self.client.create(offer.id, rental, timeout=timeout)
        except NoSuchOffer:
            return None
        except RateLimited:
            # Refused for haste. Vast.ai's advice is to look before trying again.
            return self._look_again(rental.label, waits=_LOOK_AFTER[:1])
        except Ambiguous:
            return self._look_again(rental.label, waits=_LOOK_AFTER)
        return Rented(
            contract=contract,
            machine=offer.machine_id,
            host=offer.host_id,
            gpu=offer.gpu_name,
            gpu_count=offer.num_gpus,
            disk_gb=want.disk_gb,
            interruptible=want.bid is not None,
            cost_per_hour=price(offer, want),
            status="loading",
        )

    def _look_again(self, label: str, *, waits: Sequence[float]) -> Rented | None:
        for seconds in waits:
            self.sleep(seconds)
            try:
                mine = self.session.labelled(label, fresh=True)
            except VastError as error:
                raise Ambiguous(
                    f"unknown whether {label} was rented: {error.message}",
                    hint="look with `agent-docker gpu instances`; the next update finds it",
                ) from None
            if mine:
                return self._adopt(mine)
        return None

    def _adopt(self, mine: Sequence[Instance]) -> Rented:
        """Keep the best of the machines in one slot and end the others."""
        keep, *rest = sorted(mine, key=lambda i: (i.actual_status in _DEAD, i.id))
        for surplus in rest:
            self.end(surplus.id)
        return Rented(
            contract=keep.id,
            machine=keep.machine_id,
            host=keep.host_id,
            gpu=keep.gpu_name,
            gpu_count=keep.num_gpus or 1,
            disk_gb=keep.disk_space,
            interruptible=bool(keep.is_bid),
            cost_per_hour=keep.dph_total,
            status=keep.actual_status or "loading",
            adopted=True,
        )

    def _is_gone(self, contract: int) -> bool:
        try:
            self.client.instance(contract)
        except NotFound:
            return True
        except Unavailable:
            return False
        return False
