"""Which offer to rent: pure functions of what is wanted and what is offered."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from contracts.fleet import FleetSettings, Selection
from providers.vastai.errors import NoSuchOffer
from providers.vastai.models import Offer

# A "24 GB" card reports 24217 to 24576 MB: hosts round, so less than this share is tolerated.
_RAM_TOLERANCE = 0.07
_MB_PER_GB = 1000
# Offers asked for in one search: Vast.ai's own default of 64 hides the cheap ones behind its score.
_SEARCH_LIMIT = 1000
_TRIED = "already tried or rented in this update"


@dataclass(frozen=True, kw_only=True)
class Want:
    """What must be rented. `bid` in $/h makes it interruptible."""

    gpu: str
    gpu_count: int = 1
    disk_gb: float = 50.0
    bid: float | None = None
    selection: Selection = field(default_factory=Selection)
    exclude_machines: frozenset[int] = frozenset()
    exclude_hosts: frozenset[int] = frozenset()

    @classmethod
    def of(
        cls,
        fleet: FleetSettings,
        *,
        exclude_machines: Iterable[int] = (),
        exclude_hosts: Iterable[int] = (),
    ) -> "Want":
        """What a fleet's settings ask for."""
        return cls(
            gpu=fleet.gpu,
            gpu_count=fleet.gpu_count,
            disk_gb=fleet.disk_gb,
            bid=fleet.bid_per_hour,
            selection=fleet.selection,
            exclude_machines=frozenset(exclude_machines),
            exclude_hosts=frozenset(exclude_hosts),
        )

    def query(self) -> dict[str, Any]:
        """The search body: only what narrows surely; the rest is filtered here, with reasons."""
        return {
            "gpu_name": {"eq": self.gpu},
            "num_gpus": {"eq": self.gpu_count},
            "rentable": {"eq": True},
            "rented": {"eq": False},
            "type": "on-demand" if self.bid is None else "bid",
            "order": [["dph_total", "asc"]],
            "limit": _SEARCH_LIMIT,
            "allocated_storage": self.disk_gb,
        }


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why an offer will not be rented."""

    offer: int
    machine: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Offers in the order in which to try them, and the others with the reason."""

    ranked: tuple[Offer, ...]
    refused: tuple[Refusal, ...]

    def why_none(self, want: Want) -> str:
        """One line for a person: what was wanted, what was seen, what stood in the way."""
        wanted = f"{want.gpu_count} x {want.gpu}"
        if not self.ranked and not self.refused:
            return f"no offer of {wanted} on Vast.ai"
        kinds = Counter(refusal.reason.split(" (")[0] for refusal in self.refused)
        reasons = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common(4))
        return f"none of {len(self.ranked) + len(self.refused)} offers of {wanted} fits: {reasons}"


def require_gpu(gpu: str, known: Iterable[str]) -> None:
    """Refuse a GPU name that Vast.ai does not know, naming those that are near."""
    names = list(known)
    if gpu in names:
        return
    word = gpu.replace("_", " ").rsplit(maxsplit=1)[-1].casefold()
    near = [name for name in names if word in name.casefold()] or get_close_matches(gpu, names)
    raise NoSuchOffer(
        f"{gpu!r} is no GPU that Vast.ai knows"
        + (f", it knows {', '.join(near[:5])}" if near else ""),
        hint="spell fleet.gpu as Vast.ai does, e.g. `RTX 4090`",
    )


def price(offer: Offer, want: Want) -> float:
    """What an hour on `offer` would cost, $/h; a bid pays for the GPUs, storage comes on top."""
    return offer.dph_total if want.bid is None else want.bid + offer.storage_total_cost


def score(offer: Offer, want: Want) -> float:
    """$ per hour and unit of work one may expect; less is better.

    Vast.ai's benchmark `dlperf` stands for the speed and reliability for the share of the time
    in which the machine works. An offer without a benchmark counts as the slowest there is.
    """
    work = max(offer.dlperf, 1.0) * max(offer.reliability2, 0.01)
    return price(offer, want) / work


def choose(offers: Iterable[Offer], want: Want, *, tried: Collection[int] = frozenset()) -> Choice:
    """Filter and rank `offers`; equal scores go by price, then by id, so the order is stable.

    Offers whose id is among `tried` were reached for before and are refused.
    """
    fits: list[Offer] = []
    refused: list[Refusal] = []
    for offer in offers:
        reason = refusal(offer, want) or (_TRIED if offer.id in tried else None)
        if reason is None:
            fits.append(offer)
        else:
            refused.append(Refusal(offer=offer.id, machine=offer.machine_id, reason=reason))
    fits.sort(key=lambda offer: (score(offer, want), price(offer, want), offer.id))
    return Choice(ranked=tuple(fits), refused=tuple(refused))


def refusal(offer: Offer, want: Want) -> str | None:
    """The first reason against `offer`, or None."""
    return next((text for rule in _RULES if (text := rule(offer, want)) is not None), None)


def _identity(offer: Offer, want: Want) -> str | None:
    if offer.gpu_name != want.gpu:
        return f"other GPU ({offer.gpu_name})"
    if offer.num_gpus != want.gpu_count:
        return f"other GPU count ({offer.num_gpus})"
    if not offer.rentable or offer.rented:
        return "not rentable"
    return None


def _excluded(offer: Offer, want: Want) -> str | None:
    if offer.machine_id in want.exclude_machines | set(want.selection.exclude_machines):
        return f"excluded machine ({offer.machine_id})"
    if offer.host_id in want.exclude_hosts | set(want.selection.exclude_hosts):
        return f"excluded host ({offer.host_id})"
    return None


def _trust(offer: Offer, want: Want) -> str | None:
    rules = want.selection
    if rules.verified and offer.verification != "verified":
        return "not verified"
    if rules.datacenter and offer.hosting_type < 1:
        return "not in a data centre"
    if rules.regions and offer.country not in rules.regions:
        return f"outside the regions ({offer.country or 'unknown'})"
    return None


def _ram(offer: Offer, want: Want) -> str | None:
    gpu_gb = offer.gpu_ram / _MB_PER_GB
    if gpu_gb < want.selection.min_gpu_ram_gb * (1 - _RAM_TOLERANCE):
        return f"too little GPU memory ({gpu_gb:.1f} GB)"
    # `cpu_ram` is the whole host's; our part of it goes with our part of the cores.
    share = offer.cpu_cores_effective / offer.cpu_cores if offer.cpu_cores else 1.0
    cpu_gb = offer.cpu_ram / _MB_PER_GB * min(share, 1.0)
    if cpu_gb < want.selection.min_cpu_ram_gb * (1 - _RAM_TOLERANCE):
        return f"too little memory ({cpu_gb:.1f} GB)"
    return None


def _floors(offer: Offer, want: Want) -> str | None:
    rules = want.selection
    floors: Sequence[tuple[str, float, float]] = (
        ("too unreliable", offer.reliability2, rules.min_reliability),
        ("too little disk", offer.disk_space, want.disk_gb),
        ("slow download", offer.inet_down, rules.min_inet_down_mbps),
        ("slow upload", offer.inet_up, rules.min_inet_up_mbps),
        ("too few cores", offer.cpu_cores_effective, rules.min_cpu_cores),
        ("too few direct ports", offer.direct_port_count, rules.min_direct_ports),
        ("CUDA too old", offer.cuda_max_good, rules.min_cuda),
        ("ends too soon", offer.duration / 3600, rules.min_hours_left),
    )
    return next((f"{what} ({have:g})" for what, have, least in floors if have < least), None)


def _price(offer: Offer, want: Want) -> str | None:
    if want.bid is not None and want.bid < offer.min_bid:
        return f"bid below the minimum (${offer.min_bid:.3f}/h)"
    cost = price(offer, want)
    return (
        f"above the price cap (${cost:.3f}/h)" if cost > want.selection.max_price_per_hour else None
    )


_RULES: tuple[Callable[[Offer, Want], str | None], ...] = (
    _identity,
    _excluded,
    _trust,
    _ram,
    _floors,
    _price,
)
