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
from providers.vastai.offers import Want, price, require_gpu
from providers.vastai.session import UpdateSession

# Seconds of renting, counted from the moment its turn comes: waiting for the pace is not renting.
RENT_DEADLINE = 20.0
# Waits between looks for a machine in doubt; together the longest lag of a listing (LISTING_LAG).
_LOOK_AFTER = (0.0, 1.0, 2.0, 3.0)
# Refusals for haste, each after a hold of some seconds, before we stop insisting.
_MAX_REFUSALS = 5
_DESTROY_DEADLINE = 60.0
_DEAD = frozenset({"exited", "offline", "unknown", "stopped", "frozen"})


@dataclass(frozen=True, kw_only=True)
class Rented:
    """A machine that is ours. `adopted` when an earlier, cut-off attempt had rented it.

    None stands for what Vast.ai does not tell yet.
    """

    contract: int
    machine: int | None
    host: int | None
    gpu: str | None
    gpu_count: int | None
    disk_gb: float | None
    interruptible: bool | None
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
        with self.session.renting(rental.label) as unsure:
            if unsure:
                found = self._look_again(rental.label, waits=_LOOK_AFTER)
                return found or self._rent(want, rental)
            mine = self.session.labelled(rental.label)
            return self._adopt(mine) if mine else self._rent(want, rental)

    def _rent(self, want: Want, rental: Rental) -> Rented:
        spent, refusals, doubt = 0.0, 0, False
        offer: Offer | None = None
        while spent < RENT_DEADLINE:
            offer = offer or self._next_offer(want)
            self.client.pace.turn("create")
            begun = self.clock()
            try:
                rented = self._create(offer, want, rental, timeout=RENT_DEADLINE - spent)
            except NoSuchOffer:
                offer = None
            except RateLimited:
                # Refused for haste, the offer still stands. Vast.ai's advice is to look first.
                refusals += 1
                found = self._look_again(rental.label, waits=_LOOK_AFTER[:1])
                if found is not None:
                    return found
                if refusals == _MAX_REFUSALS:
                    raise
            except Ambiguous:
                found = self._look_again(rental.label, waits=_LOOK_AFTER)
                if found is not None:
                    return found
                offer, doubt = None, True
            else:
                return self._single(rented, rental.label) if doubt else rented
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
                wait = getattr(error, "retry_after", None) or 1.0
                self.sleep(min(wait, max(deadline - self.clock(), 0.0)))
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
        while choice.ranked:
            for offer in choice.ranked:
                if self.session.take(offer.id):
                    return offer
            # Others were faster with each of them: now they are refused as tried.
            choice = self.session.choice(want)
        text = choice.why_none(want)
        if not choice.refused:
            text += self._unknown_gpu(want.gpu)
        raise NoSuchOffer(
            text, hint="widen fleet.selection (price, reliability, regions) or name another GPU"
        )

    def _unknown_gpu(self, gpu: str) -> str:
        try:
            require_gpu(gpu, self.client.gpu_names())
        except NoSuchOffer as error:
            return f"; {error.message}"
        except VastError:
            return ""  # An explanation only: it must not hide what it explains.
        return ""

    def _create(self, offer: Offer, want: Want, rental: Rental, *, timeout: float) -> Rented:
        contract = self.client.create(offer.id, rental, timeout=timeout)
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

    def _single(self, rented: Rented, label: str) -> Rented:
        """`rented`, or the machine of a doubtful try that has shown up since; only one lives on."""
        try:
            mine = self.session.labelled(label, fresh=True)
        except VastError:
            return rented  # It is ours for certain; a second one stops the next update.
        return self._adopt(mine) if len(mine) > 1 else rented

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
            gpu=keep.gpu_name or None,
            gpu_count=keep.num_gpus or None,
            disk_gb=keep.disk_space or None,
            interruptible=keep.is_bid,
            cost_per_hour=keep.dph_total,
            status=keep.actual_status or "loading",
            adopted=True,
        )

    def _is_gone(self, contract: int) -> bool:
        try:
            self.client.instance(contract)
        except NotFound:
            return True
        except (Unavailable, RateLimited):
            return False
        return False
