"""A BullMQ queue, by its keys: wait, paused, prioritized, delayed, active."""

from autoscaler.model import Reading
from autoscaler.signals.base import Surroundings, whole
from autoscaler.signals.redis_link import RedisLink
from autoscaler.signals.settings import Bullmq

# A delayed job's score is its due time in ms, times this, plus a counter that keeps their order.
_DELAY_UNIT = 0x1000


class BullmqSignal:
    """Waiting = what a free worker would take now; a queue that does not exist is empty.

    A paused queue waits too: its jobs stay in `wait`, an older BullMQ moves them to `paused`.
    """

    def __init__(self, settings: Bullmq, world: Surroundings) -> None:
        self._prefix = f"{settings.prefix}:{settings.queue}"
        self._link = RedisLink(settings.url, world.redis_url)
        self._now = world.now

    def read(self) -> Reading:
        """All states of the queue, at one moment."""
        at = self._now()
        wait, paused, prioritized, delayed, active = (
            f"{self._prefix}:{name}"
            for name in ("wait", "paused", "prioritized", "delayed", "active")
        )
        due = (int(at * 1000) + 1) * _DELAY_UNIT - 1
        sizes = self._link.look(
            ("LLEN", active),
            ("ZCARD", prioritized),
            ("ZCOUNT", delayed, 0, due),
            *((command, key, *rest) for key in (wait, paused) for command, *rest in _LIST),
        )
        served = self._link.checked(active, sizes[0], "a list")
        depth = self._link.checked(prioritized, sizes[1], "a sorted set")
        depth += self._link.checked(delayed, sizes[2], "a sorted set")
        depth += self._jobs(wait, sizes[3:6]) + self._jobs(paused, sizes[6:9])
        what = f"queue {self._prefix!r} at {self._link.name}"
        return Reading(
            depth=whole(depth, f"the depth of {what}"),
            in_flight=whole(served, f"what is active in {what}"),
            at=at,
        )

    def close(self) -> None:
        """Close the connection."""
        self._link.close()

    def _jobs(self, key: str, answers: list[object]) -> int:
        """The jobs of a list. BullMQ before 5 puts a marker `0:<time>` at one of its ends."""
        length, first, last = (self._link.checked(key, answer, "a list") for answer in answers)
        ends = [first] if length == 1 else [first, last]
        return int(length) - sum(str(end).startswith("0:") for end in ends)


_LIST: tuple[tuple[str | int, ...], ...] = (("LLEN",), ("LINDEX", 0), ("LINDEX", -1))
