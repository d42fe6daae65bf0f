"""A number in a JSON document that an HTTP GET answers."""

import reprlib
from collections.abc import Sequence

import httpx

from autoscaler.model import Reading
from autoscaler.signals.base import SignalUnreadable, Surroundings, whole
from autoscaler.signals.http_client import HttpClient
from autoscaler.signals.settings import HttpJson
from contracts.narrowing import is_list, is_object


class HttpJsonSignal:
    """Both numbers come from one answer."""

    def __init__(
        self,
        settings: HttpJson,
        world: Surroundings,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._depth, self._in_flight = settings.depth, settings.in_flight
        self._http = HttpClient(settings, world, transport)
        self._now = world.now

    def read(self) -> Reading:
        """What the document says now."""
        at = self._now()
        status, document = self._http.get()
        if not httpx.codes.is_success(status):
            raise self._http.refused(status)
        depth = self._number(document, self._depth)
        served = None if self._in_flight is None else self._number(document, self._in_flight)
        return Reading(depth=depth, in_flight=served, at=at)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _number(self, document: object, path: str) -> int:
        for done, step in enumerate(steps := _steps(path)):
            document = self._inside(document, steps[: done + 1], step)
        return whole(document, f"{path!r} of {self._http.name}")

    def _inside(self, document: object, path: Sequence[str], step: str) -> object:
        if is_object(document) and step in document:
            return document[step]
        # "٣".isdigit() is true, and so is "-1" a valid index to Python; neither is to a pointer.
        if is_list(document) and step.isascii() and step.isdigit() and int(step) < len(document):
            return document[int(step)]
        found = reprlib.repr(sorted(document) if is_object(document) else document)
        raise SignalUnreadable(f"{self._http.name} has no {'.'.join(path)!r}, found {found}")


def _steps(path: str) -> list[str]:
    """The steps of `a.b.0`, or of the JSON pointer `/a/b/0`; none of the empty path."""
    if path.startswith("/"):
        return [step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/")]
    return path.split(".") if path else []
