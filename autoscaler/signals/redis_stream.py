"""A consumer group of a Redis stream: its lag waits, what is pending is in flight."""

from time import monotonic
from typing import Any

from redis.exceptions import ResponseError

from autoscaler.model import Reading
from autoscaler.signals.base import SignalUnreadable, Surroundings, whole
from autoscaler.signals.redis_link import RedisLink
from autoscaler.signals.settings import RedisStream

# Where Redis does not know the lag the entries are fetched to be counted: so many at a time, and
# no more than this. Every threshold is below it, and entries carry payloads.
_PAGE = 500
_MOST_COUNTED = 10_000
_SECONDS = 5.0


class RedisStreamSignal:
    """Waiting = entries not yet delivered to the group; in flight = delivered, not acknowledged."""

    def __init__(self, settings: RedisStream, world: Surroundings) -> None:
        self._key, self._group = settings.queue, settings.group
        self._link = RedisLink(settings.url, world.redis_url)
        self._now = world.now

    def read(self) -> Reading:
        """The group's own figures, or its undelivered entries counted."""
        at = self._now()
        groups, length = self._link.look(("XINFO GROUPS", self._key), ("XLEN", self._key))
        group = self._find(groups)
        lag = group.get("lag")
        # Deleted entries can make a lag too large; what is not in the stream cannot wait.
        waiting = self._count(group) if lag is None else min(lag, length)
        what = f"group {self._group!r} of {self._key!r} at {self._link.name}"
        return Reading(
            depth=whole(waiting, f"the lag of {what}"),
            in_flight=whole(group["pending"], f"what is pending in {what}"),
            at=at,
        )

    def close(self) -> None:
        """Close the connection."""
        self._link.close()

    def _find(self, groups: object) -> dict[str, Any]:
        missing = isinstance(groups, ResponseError) and "no such key" in str(groups)
        rows: list[dict[str, Any]] = []
        if not missing:
            rows = self._link.checked(self._key, groups, "a stream")
        for row in rows:
            if row["name"] == self._group:
                return row
        raise SignalUnreadable(
            f"{self._key!r} at {self._link.name} has no consumer group {self._group!r}",
            hint=f"create it: XGROUP CREATE {self._key} {self._group} 0 MKSTREAM",
        )

    def _count(self, group: dict[str, Any]) -> int:
        """Entries after the last one delivered, at most _MOST_COUNTED.

        Redis before 7 reports no lag, and a later one none after XDEL or XGROUP SETID.
        """
        counted, last, end = 0, group["last-delivered-id"], monotonic() + _SECONDS
        while counted < _MOST_COUNTED:
            if monotonic() > end:
                raise SignalUnreadable(
                    f"{self._key!r} at {self._link.name} was not counted within {_SECONDS:g} s"
                )
            page = self._link.look(("XRANGE", self._key, f"({last}", "+", "COUNT", _PAGE))[0]
            rows = self._link.checked(self._key, page, "a stream")
            counted += len(rows)
            if len(rows) < _PAGE:
                break
            last = rows[-1][0]
        return counted
