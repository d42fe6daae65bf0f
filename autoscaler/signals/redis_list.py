"""A Redis list of waiting jobs; also a Celery queue, which is a list per priority step."""

from autoscaler.model import Reading
from autoscaler.signals.base import Surroundings, whole
from autoscaler.signals.redis_link import Command, RedisLink
from autoscaler.signals.settings import RedisList

_SIZES = {"list": "LLEN", "set": "SCARD", "zset": "ZCARD", "hash": "HLEN"}
# What Celery (kombu) puts between the name of a queue and a priority, unless told otherwise.
_CELERY_SEPARATOR = "\x06\x16"


class RedisListSignal:
    """Waiting = the lengths of the lists; a key that does not exist is an empty queue."""

    def __init__(self, settings: RedisList, world: Surroundings) -> None:
        before = f"{settings.queue}{settings.separator or _CELERY_SEPARATOR}"
        steps = [f"{before}{n}" for n in settings.priorities if n]
        self._lists = list(dict.fromkeys([settings.queue, *steps]))
        self._in_flight = settings.in_flight
        self._link = RedisLink(settings.url, world.redis_url)
        self._now = world.now

    def read(self) -> Reading:
        """All lists and what is in flight, at one moment."""
        at = self._now()
        commands: list[Command] = [("LLEN", key) for key in self._lists]
        if self._in_flight is not None:
            # All sizes are asked for because the type is known only with the same answer; those
            # that do not fit it are refused, which is harmless. `unacked` comes and goes.
            commands += [(name, self._in_flight) for name in ("TYPE", *_SIZES.values())]
        answers = self._link.look(*commands)
        sizes = [
            self._link.checked(key, answer, "a list")
            for key, answer in zip(self._lists, answers, strict=False)
        ]
        depth = whole(sum(sizes), f"the length of {self._lists[0]!r} at {self._link.name}")
        return Reading(depth=depth, in_flight=self._served(answers[len(sizes) :]), at=at)

    def close(self) -> None:
        """Close the connection."""
        self._link.close()

    def _served(self, answers: list[object]) -> int | None:
        key = self._in_flight
        if key is None:
            return None
        found = self._link.checked(key, answers[0], "a list, set, sorted set or hash")
        if found == "none":
            return 0
        if found not in _SIZES:
            raise self._link.wrong_type(key, found, "a list, set, sorted set or hash")
        size = dict(zip(_SIZES, answers[1:], strict=True))[found]
        size = self._link.checked(key, size, f"a {found}")
        return whole(size, f"the size of {key!r} at {self._link.name}")
