"""An instant query of Prometheus, or of whatever speaks its API."""

from typing import Any

import httpx

from autoscaler.model import Reading
from autoscaler.signals.base import SignalUnreadable, Surroundings, whole
from autoscaler.signals.http_client import HttpClient
from autoscaler.signals.settings import Prometheus
from contracts.narrowing import is_list, is_object

_TIME_AND_VALUE = 2


class PrometheusSignal:
    """Each query must answer exactly one number: nothing is summed behind the user's back."""

    def __init__(
        self,
        settings: Prometheus,
        world: Surroundings,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._query, self._in_flight_query = settings.query, settings.in_flight_query
        self._http = HttpClient(settings, world, transport)
        self._now = world.now

    def read(self) -> Reading:
        """What the queries answer now."""
        at = self._now()
        depth = self._ask(self._query)
        served = None if self._in_flight_query is None else self._ask(self._in_flight_query)
        return Reading(depth=depth, in_flight=served, at=at)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _ask(self, query: str) -> int:
        status, answer = self._http.get("/api/v1/query", {"query": query})
        document: dict[str, Any] = answer if is_object(answer) else {}
        if not httpx.codes.is_success(status) or document.get("status") != "success":
            why = document.get("error", "expected an answer of Prometheus' API")
            raise self._http.refused(status, str(why))
        return whole(self._sample(query, document.get("data")), self._named(query))

    def _sample(self, query: str, data: object) -> object:
        """The one value; it is a text such as `3`, `NaN` or `+Inf`."""
        kind, result = (data.get("resultType"), data.get("result")) if is_object(data) else ("", "")
        if kind == "vector" and is_list(result):
            result = self._one(query, result)
        if kind in {"vector", "scalar"} and is_list(result) and len(result) == _TIME_AND_VALUE:
            return _number(result[1])
        raise SignalUnreadable(
            f"{self._named(query)} is no number (its type is {kind!r}), expected one value"
        )

    def _one(self, query: str, series: list[Any]) -> object:
        if not series:
            raise SignalUnreadable(
                f"{self._named(query)} is empty, expected one value",
                hint="if no series means that nothing waits, add `or vector(0)` to the query",
            )
        if len(series) > 1:
            raise SignalUnreadable(
                f"{self._named(query)} has {len(series)} series, expected one value",
                hint="aggregate them: `sum(...)` or `max(...)`",
            )
        return series[0].get("value") if is_object(series[0]) else None

    def _named(self, query: str) -> str:
        return f"{query!r} at {self._http.name}"


def _number(text: object) -> object:
    try:
        return float(text) if isinstance(text, str) else text
    except ValueError:
        return text
