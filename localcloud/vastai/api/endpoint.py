"""What an API route is made of: a call, a handler that decides, and how the edge treats it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from localcloud.vastai.api.results import Results
from localcloud.vastai.cloud import Cloud
from localcloud.vastai.faults import Fault
from localcloud.vastai.rentals.record import Address, instance_record
from localcloud.vastai.rentals.rental import Rental
from localcloud.vastai.wire import Json, Reply, as_id


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request, read; handlers see nothing else of HTTP."""

    cloud: Cloud
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Json
    base_url: str
    address: Address
    results: Results
    fault: Fault | None = None
    """The fault taken for this call, for handlers that play a part in it."""

    def id(self, name: str = "id") -> int:
        """Return an id in the path."""
        return as_id(self.path[name], name)

    def rental(self) -> Rental:
        """Return the rental named in the path, or refuse."""
        return self.cloud.get(self.id())

    def record(self, rental: Rental) -> Json:
        """Return a rental as the API shows it."""
        now = self.cloud.clock.now()
        return instance_record(rental, now, self.cloud.credit(), self.address)


Handler = Callable[[Call], Json | Reply]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A route of the API."""

    name: str
    method: str
    path: str
    """With `{id}` where an id stands; served with and without a slash at the end."""
    handler: Handler
    interval: float = 0.0
    """Vast.ai's rate limit, seconds between calls; 0 is none."""
    auth: bool = True
    group: str = ""
    """The word that faults and holds use for it and its relatives."""

    @property
    def names(self) -> set[str]:
        """What faults and holds may call it."""
        return {self.name, self.group or self.name, "any"}
