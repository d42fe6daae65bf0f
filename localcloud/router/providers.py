"""Who serves inference, and who gets the next request. No network, no clock."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

Text = Annotated[str, Field(min_length=1)]
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0


class Registration(BaseModel):
    """The body of a registration, as docs/router.md has it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    type: Text
    endpoint: str
    models: list[Text]
    gpu_type: Text
    cost_per_hour: Annotated[float, Field(ge=0)]

    @field_validator("endpoint")
    @classmethod
    def _is_a_base_url(cls, value: str) -> str:
        parts = urlsplit(value)
        # Reading the port raises ValueError where it is none.
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
            raise ValueError(f"must be http://host:port, got {value!r}")
        return value


@dataclass(eq=False)
class Provider:
    """One registered machine. It outlives its row while requests to it are in flight."""

    registration: Registration
    in_flight: int = 0
    draining: bool = False
    failures: int = 0
    """Failed requests since one succeeded."""
    paused_until: float = 0.0
    turn: int = 0
    """When it was last handed a request, by the registry's count."""

    def serves(self, model: str | None) -> bool:
        """Return whether it has a model; without a name any will do."""
        names = self.registration.models
        return bool(names) if model is None else _tagged(model) in map(_tagged, names)


class Registry:
    """Providers by endpoint. A row whose work has been taken away stays until it is idle."""

    def __init__(self, parallel: int) -> None:
        self._parallel = parallel
        self._rows: dict[str, Provider] = {}
        self._turn = 0

    def add(self, registration: Registration) -> bool:
        """Add or replace a provider; return whether that changed anything."""
        row = self._rows.get(registration.endpoint)
        if row is None:
            self._rows[registration.endpoint] = Provider(registration)
            return True
        changed = row.draining or row.registration != registration
        row.registration, row.draining = registration, False
        return changed

    def remove(self, endpoint: str) -> bool:
        """Give a provider no more work; return whether it was known."""
        row = self._rows.get(endpoint)
        if row is None:
            return False
        row.draining = True
        self._drop_if_idle(row)
        return True

    def forget(self) -> int:
        """Drop all rows, whatever they are doing; return how many."""
        count = len(self._rows)
        self._rows.clear()
        return count

    def has_room(self, now: float) -> bool:
        """Return whether any provider could take a request now."""
        return any(self._free(now))

    def begin(self, model: str | None, now: float) -> Provider | None:
        """Give a request to the least utilized provider that can take it; None if none can."""
        free = [row for row in self._free(now) if row.serves(model)]
        if not free:
            return None
        chosen = min(free, key=lambda row: (row.in_flight, row.turn))
        chosen.in_flight += 1
        self._turn += 1
        chosen.turn = self._turn
        return chosen

    def end(self, provider: Provider, now: float, *, failed: bool) -> None:
        """Take note that a request has ended; one that fails again and again gets a pause."""
        provider.in_flight -= 1
        provider.failures = provider.failures + 1 if failed else 0
        if failed:
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(provider.failures - 1, 10))
            provider.paused_until = now + pause
        self._drop_if_idle(provider)

    def rows(self) -> list[dict[str, object]]:
        """Return the table, as `GET /api/providers` shows it."""
        return [
            {
                **row.registration.model_dump(),
                "in_flight": row.in_flight,
                "utilization": row.in_flight / self._parallel,
                "draining": row.draining,
            }
            for row in self._rows.values()
        ]

    def _free(self, now: float) -> Iterator[Provider]:
        return (
            row
            for row in self._rows.values()
            if not row.draining and row.in_flight < self._parallel and row.paused_until <= now
        )

    def _drop_if_idle(self, row: Provider) -> None:
        endpoint = row.registration.endpoint
        # After a `forget` another row may stand under the same endpoint.
        if row.draining and row.in_flight == 0 and self._rows.get(endpoint) is row:
            del self._rows[endpoint]


def _tagged(name: str) -> str:
    return name if ":" in name else f"{name}:latest"
