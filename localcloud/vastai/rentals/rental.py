"""One rental: its contract, the container's state, and the two meters that make its bill."""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from localcloud.vastai.billing import Meter, milliseconds, storage_rate
from localcloud.vastai.offers.market import Offer
from localcloud.vastai.wire import Json


class Status(StrEnum):
    """`actual_status` of a container; null (None) while it is being provisioned."""

    CREATED = "created"
    LOADING = "loading"
    RUNNING = "running"
    STOPPED = "stopped"
    EXITED = "exited"
    FROZEN = "frozen"
    REBOOTING = "rebooting"
    RECYCLING = "recycling"
    OFFLINE = "offline"


GPU_BILLED = frozenset({Status.RUNNING, Status.FROZEN})
OCI_ERROR = (
    "Error response from daemon: failed to create task for container: failed to create shim task: "
    "OCI runtime create failed: runc create failed: unable to start container process"
)


@dataclass(frozen=True, kw_only=True)
class Order:
    """A checked create request: what the renter asked for."""

    image: str
    env: tuple[tuple[str, str], ...] = ()
    disk: float = 10.0
    label: str | None = None
    onstart: str | None = None
    args: tuple[str, ...] = ()
    runtype: str = "ssh"
    price: int | None = None
    """Bid in micro-dollars per hour; None is on demand."""
    running: bool = True
    cancel_unavail: bool = True
    template_hash_id: str | None = None
    volume_info: Json | None = None


@dataclass(frozen=True)
class Step:
    """A change of status that is due at an emulated time."""

    at: float
    status: Status


@dataclass(frozen=True, kw_only=True)
class Twist:
    """What goes wrong with a new rental; nothing by default."""

    stuck: bool = False
    boot_error: str | None = None
    list_lag: float = 0.0


@dataclass
class Rental:
    """A contract from its creation; it stays on the books after it was destroyed.

    `status` changes only through `become`, which keeps the meters right.
    """

    id: int
    offer: Offer
    order: Order
    created_at: float
    twist: Twist
    gpu: Meter
    storage: Meter
    status: Status | None = None
    status_msg: str | None = None
    intended: str = "running"
    cur_state: str = "running"
    steps: list[Step] = field(default_factory=list[Step])
    holds_gpus: bool = False
    queued: bool = False
    """Wants to run and waits for its GPUs."""
    outbid: bool = False
    answering: bool = True
    """False once the machine died without Vast.ai noticing."""
    running_since: float | None = None
    destroyed_at: float | None = None
    ssh_keys: list[Json] = field(default_factory=list[Json])

    @property
    def live(self) -> bool:
        """Whether the contract still exists."""
        return self.destroyed_at is None

    @property
    def is_bid(self) -> bool:
        """Whether it is interruptible."""
        return self.order.price is not None

    @property
    def gpu_rate(self) -> int:
        """Micro-dollars per hour while it runs: the bid, or the offer's price."""
        return self.offer.price if self.order.price is None else self.order.price

    @property
    def storage_rate(self) -> int:
        """Micro-dollars per hour for the disk."""
        return storage_rate(self.offer.machine.storage_price, self.order.disk)

    @property
    def serves(self) -> bool:
        """Whether its machine answers requests."""
        return self.live and self.answering and self.status is Status.RUNNING

    def bill(self, moment: float) -> int:
        """Return the units owed until a moment."""
        return self.gpu.read(moment) + self.storage.read(moment)

    def become(self, status: Status | None, at: float, message: str | None = None) -> None:
        """Enter a status; the GPU is billed while running or frozen, the disk unless offline."""
        if status is Status.RUNNING and self.status is not Status.RUNNING:
            self.running_since = at
        elif status is not Status.RUNNING:
            self.running_since = None
        self.status = status
        self.status_msg = message
        billed = status in GPU_BILLED and self.live
        self.gpu = self.gpu.switched(self.gpu_rate if billed else 0, at)
        kept = self.live and status is not Status.OFFLINE
        self.storage = self.storage.switched(self.storage_rate if kept else 0, at)

    def reprice(self, price: int, at: float) -> None:
        """Change the bid from a moment on."""
        self.order = replace(self.order, price=price)
        self.become(self.status, at, self.status_msg)

    def boot(self, seconds: float, at: float) -> None:
        """Plan the way to running: created, loading, running."""
        self.steps = [
            Step(at + 0.1 * seconds, Status.CREATED),
            Step(at + 0.3 * seconds, Status.LOADING),
            Step(at + seconds, Status.RUNNING),
        ]
        if self.twist.boot_error is not None:
            del self.steps[1:]
        elif self.twist.stuck:
            del self.steps[2:]

    def settle(self, now: float) -> list[Step]:
        """Take the steps that are due, each at its own time, and return them."""
        due = [step for step in self.steps if milliseconds(step.at) <= milliseconds(now)]
        self.steps = self.steps[len(due) :]
        for step in due:
            self.become(step.status, step.at, self._message(step.status))
        return due

    def _message(self, status: Status) -> str:
        if status is Status.RUNNING:
            return f"success, running {self.order.image}/{self.order.runtype}"
        if status is Status.CREATED and self.twist.boot_error is not None:
            return self.twist.boot_error
        return f"{status}: {self.order.image}"
