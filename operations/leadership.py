"""Who may write to a stack: a lease in Redis, held by one service at a time.

The lease keeps two services from working against each other; it does not have to be perfect. A
holder that sleeps beyond its lease is stopped by the fence in the stack (contracts.fence), and two
engines are kept apart by Pulumi's own lock. Losing Redis loses the lease, and nothing else.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import uuid4

from redis import Redis
from redis.exceptions import RedisError, WatchError

# As Kubernetes' leader election: the lease, how often it is renewed, and asked for by others.
TTL = 15.0
RENEW = 5.0
RETRY = 2.0


@dataclass
class Leadership:
    """The lease on one stack. `name` is the key's; `holder` is whoever works here.

    `fence` is the number of the term: it grows with each change of the holder, and is never below
    what the stack itself records (`floor`), so a Redis that forgot everything gives no old number
    out again. `clock` is monotonic: a lease is given up in time whatever the date is set to.
    """

    redis: Redis
    name: str
    holder: str = field(default_factory=lambda: uuid4().hex)
    ttl: float = TTL
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    fence: int | None = field(default=None, init=False)
    _until: float = field(default=0.0, init=False)
    _highest: int = field(default=0, init=False)

    @property
    def held(self) -> bool:
        """Whether the lease is held now, by this process's own clock."""
        return self.fence is not None and self.clock() < self._until

    @property
    def left(self) -> float:
        """Seconds for which it is held without being renewed."""
        return max(0.0, self._until - self.clock()) if self.fence is not None else 0.0

    def campaign(self, floor: int = 0) -> bool:
        """Take the lease if it is free, renew it if it is ours; whether it is held now.

        `floor` is the number that the stack's last update had. RedisError when Redis is away.
        """
        # Counted from before the request: the answer may take its time.
        begun = self.clock()
        with self.redis.pipeline() as pipe:
            try:
                pipe.watch(self._lease, self._counter)  # type: ignore[no-untyped-call]
                holder = _text(pipe.get(self._lease))
                counter = _number(_text(pipe.get(self._counter)))
                last = max(counter or 0, self._highest)
                if holder not in {None, self.holder}:
                    self.fence = None
                    return False
                renewed = holder == self.holder and self.fence is not None and self.fence >= floor
                fence = self.fence if renewed and self.fence else max(last, floor) + 1
                if counter is None:
                    # It forgot what it gave out; that was below the date, if that is right.
                    fence = max(fence, int(self.wall() * 1e6))
                pipe.multi()
                pipe.set(self._lease, self.holder, px=int(self.ttl * 1000))
                pipe.set(self._counter, max(fence, last))
                pipe.execute()
            except WatchError:
                # Somebody else was at it in the same moment: the next turn will show who won.
                return self.held
        self._highest = fence
        self.fence, self._until = fence, begun + self.ttl
        return True

    def resign(self) -> None:
        """Give the lease up, so that the next one need not wait for its end."""
        if self.fence is None:
            return
        self.fence, self._until = None, 0.0
        with self.redis.pipeline() as pipe:
            try:
                pipe.watch(self._lease)  # type: ignore[no-untyped-call]
                if _text(pipe.get(self._lease)) == self.holder:
                    pipe.multi()
                    pipe.delete(self._lease)
                    pipe.execute()
            except RedisError:
                return  # It ends by itself.

    @property
    def _lease(self) -> str:
        return f"{self.name}:lease"

    @property
    def _counter(self) -> str:
        return f"{self.name}:fence"


class Renewal:
    """Renews a lease in a thread of its own, so that a long update does not lose it.

    While another one holds it, it is asked for every `retry` seconds; `won` is called when it is
    ours. `error` says why it is not asked for. Nothing is asked for while the work that the lease
    is for is not `alive`: a holder that hangs must not keep the others from it.
    """

    def __init__(
        self,
        leadership: Leadership,
        *,
        floor: Callable[[], int],
        won: Callable[[], None] = lambda: None,
        alive: Callable[[], bool] = lambda: True,
        renew: float = RENEW,
        retry: float = RETRY,
    ) -> None:
        self._leadership = leadership
        self._floor = floor
        self._won = won
        self._alive = alive
        self._renew = renew
        self._retry = retry
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self.error: str | None = None

    def start(self) -> None:
        """Campaign now and from now on."""
        self._turn()
        self._thread.start()

    def stop(self) -> None:
        """End, and give the lease up."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=self._renew)
        self._leadership.resign()

    def _run(self) -> None:
        while not self._ended.wait(self._renew if self._leadership.held else self._retry):
            self._turn()

    def _turn(self) -> None:
        if not self._alive():
            self.error = "what the lease is for hangs, so the lease is left to others"
            return
        before = self._leadership.held
        try:
            self._leadership.campaign(self._floor())
        except RedisError as error:
            self.error = f"Redis does not answer ({type(error).__name__})"
            return
        self.error = None
        if self._leadership.held and not before:
            self._won()


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _text(value: object) -> str | None:
    """What Redis answered, whether it decodes answers or not."""
    return value.decode() if isinstance(value, bytes) else None if value is None else str(value)
