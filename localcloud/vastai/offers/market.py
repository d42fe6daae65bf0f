"""Hosts' machines and the offers on them: which GPUs are free, and under which offer id."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from localcloud.vastai.offers.hardware import GpuModel

SLICE_SIZES = (1, 2, 4, 8)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One physical computer of a host. Prices are micro-dollars."""

    machine_id: int
    host_id: int
    model: GpuModel
    gpus: int
    gpu_ram_mb: int
    gpu_price: int
    """Per GPU and hour, on demand."""
    gpu_bid: int
    """Lowest bid per GPU and hour."""
    storage_price: int
    """Per GB and month."""
    reliability: float
    verification: str
    hosting_type: int
    geolocation: str
    direct_ports: int
    static_ip: bool
    inet_up: float
    inet_down: float
    disk_gb: float
    disk_bw: float
    cpu: tuple[str, int, float, str]
    """Name, cores, GHz, mainboard."""
    cpu_ram_mb: int
    cuda_max: float
    driver: str
    end_date: float

    def slices(self) -> Iterator[tuple[int, ...]]:
        """Yield the sets of GPUs that can be rented, as aligned powers of two."""
        for size in SLICE_SIZES:
            for first in range(0, self.gpus - size + 1, size):
                yield tuple(range(first, first + size))


@dataclass(frozen=True)
class Offer:
    """Some GPUs of a machine, under an id that lasts until they are rented."""

    id: int
    machine: Machine
    gpu_ids: tuple[int, ...]

    @property
    def gpus(self) -> int:
        """How many GPUs it is."""
        return len(self.gpu_ids)

    @property
    def price(self) -> int:
        """Micro-dollars per hour on demand, without storage."""
        return self.machine.gpu_price * self.gpus

    @property
    def min_bid(self) -> int:
        """Micro-dollars per hour that an interruptible rental must bid at least."""
        return self.machine.gpu_bid * self.gpus


@dataclass
class Market:
    """The offers that can be rented now.

    GPUs are in at most one rental; offers that share a GPU with a rental do not exist, and an id
    that is gone never comes back.
    """

    machines: dict[int, Machine]
    next_id: int
    offers: dict[int, Offer] = field(default_factory=dict[int, Offer])
    gone: set[int] = field(default_factory=set[int])
    _taken: dict[int, set[int]] = field(default_factory=dict[int, set[int]])

    def __post_init__(self) -> None:
        self._relist(self.machines.values())

    def take(self, machine_id: int, gpu_ids: tuple[int, ...]) -> bool:
        """Rent GPUs; False, and nothing changes, when one of them is taken."""
        taken = self._taken.setdefault(machine_id, set())
        if taken.intersection(gpu_ids):
            return False
        taken.update(gpu_ids)
        lost = [
            offer.id
            for offer in self.offers.values()
            if offer.machine.machine_id == machine_id and taken.intersection(offer.gpu_ids)
        ]
        for offer_id in lost:
            del self.offers[offer_id]
        self.gone.update(lost)
        return True

    def release(self, machine_id: int, gpu_ids: tuple[int, ...]) -> None:
        """Give GPUs back; they are offered again under new ids."""
        self._taken[machine_id].difference_update(gpu_ids)
        self._relist([self.machines[machine_id]])

    def _relist(self, machines: Iterable[Machine]) -> None:
        listed = {(o.machine.machine_id, o.gpu_ids) for o in self.offers.values()}
        for machine in machines:
            taken = self._taken.get(machine.machine_id, set())
            for gpu_ids in machine.slices():
                if (machine.machine_id, gpu_ids) in listed or taken.intersection(gpu_ids):
                    continue
                self.offers[self.next_id] = Offer(self.next_id, machine, gpu_ids)
                self.next_id += 1
