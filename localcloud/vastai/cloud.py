"""The emulated cloud: what exists, and renting and destroying it, as functions of the clock.

No network, no tasks. Times inside are emulated epoch seconds.
"""

from collections.abc import Iterator

from localcloud.vastai.account import Account
from localcloud.vastai.api.limits import RateLimits
from localcloud.vastai.billing import MICROS_PER_DOLLAR, UNITS_PER_DOLLAR, Meter, milliseconds
from localcloud.vastai.clock import Clock, ScaledClock
from localcloud.vastai.errors import (
    ask_no_longer_available,
    no_such_ask,
    no_such_instance,
    underfunded,
)
from localcloud.vastai.events import CallCounters, EventLog
from localcloud.vastai.faults import FaultQueue
from localcloud.vastai.offers import stock
from localcloud.vastai.offers.market import Offer
from localcloud.vastai.rentals.rental import Order, Rental, Status, Twist
from localcloud.vastai.settings import Settings
from localcloud.vastai.wire import ApiError, Json, invalid


class Cloud:
    """All state of one emulator.

    `settle` brings the state up to the clock; every entry point from outside calls it first.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock: Clock = ScaledClock(settings.time_scale) if clock is None else clock
        self.market = stock.stocked(settings.seed, settings.offers, self.clock.now())
        self.rentals: dict[int, Rental] = {}
        self.account = Account(credit=round(settings.credit * UNITS_PER_DOLLAR))
        self.faults = FaultQueue()
        self.limits = RateLimits(enabled=settings.rate_limits)
        self.log = EventLog(self.clock)
        self.counters = CallCounters()
        self.volumes: dict[int, Json] = {}
        self._next_id = settings.first_id

    def live(self) -> Iterator[Rental]:
        """Yield the rentals that exist, oldest first."""
        return (rental for rental in self.rentals.values() if rental.live)

    def find(self, rental_id: int) -> Rental | None:
        """Return a rental that exists."""
        rental = self.rentals.get(rental_id)
        return rental if rental is not None and rental.live else None

    def get(self, rental_id: int) -> Rental:
        """Return a rental that exists, or refuse."""
        rental = self.find(rental_id)
        if rental is None:
            raise no_such_instance(rental_id)
        return rental

    def bill(self) -> int:
        """Return the units owed for everything so far."""
        now = self.clock.now()
        return sum(rental.bill(now) for rental in self.rentals.values())

    def credit(self) -> int:
        """Return the units of credit that are left."""
        return self.account.credit - self.bill()

    def settle(self) -> None:
        """Apply everything that is due; without credit all that runs is stopped."""
        now = self.clock.now()
        for rental in self.live():
            for step in rental.settle(now):
                self.log.add("status", at=step.at, id=rental.id, status=step.status)
        if self.credit() <= 0:
            for rental in list(self.live()):
                if rental.holds_gpus:
                    self.log.add("stopped_for_credit", id=rental.id)
                    self.release(rental)
                    rental.become(Status.STOPPED, now, "stopped: no credit")
                    rental.cur_state = "stopped"

    def next_change(self) -> float | None:
        """Return when the next step of any rental is due."""
        return min((rental.steps[0].at for rental in self.live() if rental.steps), default=None)

    def rent(self, offer_id: int, order: Order, twist: Twist | None = None) -> Rental:
        """Rent an offer; a rental ordered stopped holds no GPU."""
        offer = self._offer(offer_id, order)
        self._check(offer, order)
        rental = self._sign(offer, order, twist or Twist())
        if order.running and self.occupy(rental):
            rental.become(None, rental.created_at)
            rental.boot(self.settings.boot_seconds, rental.created_at)
        else:
            self.park(rental)
        return rental

    def rent_without_gpus(self, offer_id: int, order: Order) -> Rental:
        """Rent an offer whose GPUs went to somebody else meanwhile.

        With `cancel_unavail` that is refused; otherwise it leaves a stopped, billed instance.
        """
        offer = self._offer(offer_id, order)
        self._check(offer, order)
        self.market.take(offer.machine.machine_id, offer.gpu_ids)
        if order.cancel_unavail:
            raise ask_no_longer_available(offer_id)
        rental = self._sign(offer, order, Twist())
        self.park(rental)
        rental.queued = True
        return rental

    def destroy(self, rental: Rental, event: str = "destroyed") -> None:
        """End a contract: its GPUs are offered again, its bill is closed."""
        now = self.clock.now()
        rental.destroyed_at = now
        rental.steps = []
        rental.queued = False
        rental.become(rental.status, now, rental.status_msg)
        rental.cur_state = "unloaded"
        self.log.add(event, id=rental.id)
        self.release(rental)

    def occupy(self, rental: Rental) -> bool:
        """Take a rental's GPUs; False when somebody else has them."""
        offer = rental.offer
        if not rental.holds_gpus:
            rental.holds_gpus = self.market.take(offer.machine.machine_id, offer.gpu_ids)
        return rental.holds_gpus

    def release(self, rental: Rental) -> None:
        """Give a rental's GPUs back."""
        if rental.holds_gpus:
            rental.holds_gpus = False
            self.market.release(rental.offer.machine.machine_id, rental.offer.gpu_ids)

    def park(self, rental: Rental) -> None:
        """Leave a rental stopped: no GPU, the disk billed."""
        rental.steps = []
        self.release(rental)
        rental.become(Status.STOPPED, self.clock.now())
        rental.intended = rental.cur_state = "stopped"

    def add_volume(self, machine_id: int, gigabytes: float, name: object) -> int:
        """Rent a volume on a machine and return its id; volumes are not billed."""
        volume_id = self._next_id
        self._next_id += 1
        self.volumes[volume_id] = {
            "id": volume_id,
            "label": name,
            "machine_id": machine_id,
            "disk_space": gigabytes,
            "status": "active",
            "start_date": self.clock.now(),
            "type": "local_volume",
        }
        return volume_id

    def _sign(self, offer: Offer, order: Order, twist: Twist) -> Rental:
        """Write a new contract into the books, without GPUs so far."""
        now = self.clock.now()
        meter = Meter(milliseconds(now))
        rental = Rental(self._next_id, offer, order, now, twist, gpu=meter, storage=meter)
        self._next_id += 1
        self.rentals[rental.id] = rental
        self.log.add("rented", id=rental.id, offer=offer.id, label=order.label)
        return rental

    def _offer(self, offer_id: int, order: Order) -> Offer:
        offer = self.market.offers.get(offer_id)
        if offer is not None:
            return offer
        if offer_id in self.market.gone and order.cancel_unavail:
            raise ask_no_longer_available(offer_id)
        raise no_such_ask(offer_id)

    def _check(self, offer: Offer, order: Order) -> None:
        """Refuse what an offer does not have, a bid that is too low, and an empty purse."""
        if order.disk > offer.machine.disk_gb:
            raise invalid(f"disk must be at most {offer.machine.disk_gb:g}, got {order.disk:g}")
        if order.price is not None and order.price < offer.min_bid:
            lowest = offer.min_bid / MICROS_PER_DOLLAR
            raise ApiError(400, "invalid_price", f"price must be at least {lowest:g}")
        if self.credit() <= 0:
            raise underfunded()
