"""Holding calls at exact points, and pauses that end when the emulator stops."""

import asyncio
import contextlib
from dataclasses import dataclass, field

from localcloud.vastai.wire import Json, as_number, invalid

POINTS = ("received", "accepted")


@dataclass
class Hold:
    """Calls that match wait here until it is released."""

    on: str
    point: str
    skip: int
    waiting: int = 0
    drop: bool = False
    opened: asyncio.Event = field(default_factory=asyncio.Event)


class Holds:
    """The holds in force. Belongs to one event loop."""

    def __init__(self) -> None:
        self._holds: list[Hold] = []
        self._stopping = asyncio.Event()

    def order(self, body: Json) -> None:
        """Hold calls as described by `POST /_admin/hold`."""
        on, point = body.get("on", "create"), body.get("point", "received")
        if not isinstance(on, str):
            raise invalid(f"on must be the name of an endpoint or group, got {on!r}")
        if point not in POINTS:
            raise invalid(f"point must be one of {POINTS}, got {point!r}")
        skip = int(as_number(body.get("skip", 0), "skip"))
        self._holds.append(Hold(on, str(point), skip))

    def release(self, body: Json) -> int:
        """Let held calls go on, or drop them; return how many waited."""
        chosen = [hold for hold in self._holds if _names(hold, body)]
        for hold in chosen:
            hold.drop = body.get("drop") is True
            hold.opened.set()
            self._holds.remove(hold)
        return sum(hold.waiting for hold in chosen)

    def waiting(self) -> list[Json]:
        """Return the holds and how many calls wait at each."""
        return [
            {"on": hold.on, "point": hold.point, "waiting": hold.waiting} for hold in self._holds
        ]

    async def passed(self, point: str, names: set[str]) -> bool:
        """Wait while a hold is in force at a point; False when the call is to be dropped."""
        for hold in list(self._holds):
            if hold.point != point or hold.on not in names:
                continue
            if hold.skip > 0:
                hold.skip -= 1
                continue
            hold.waiting += 1
            await hold.opened.wait()
            hold.waiting -= 1
            return not hold.drop
        return True

    async def pause(self, seconds: float) -> None:
        """Wait for real seconds, or until the emulator stops."""
        if seconds <= 0:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def stop(self) -> None:
        """End all pauses and drop all held calls."""
        self._stopping.set()
        self.release({"drop": True})


def _names(hold: Hold, body: Json) -> bool:
    return body.get("on", hold.on) == hold.on and body.get("point", hold.point) == hold.point
