"""One router: its table, its account, its queue, and what changes them."""

import time

from localcloud.router.dispatch import Dispatcher
from localcloud.router.jobs import Account
from localcloud.router.providers import Registration, Registry
from localcloud.router.queue import ERRORS, JobQueue
from localcloud.router.settings import Settings


class Router:
    """All state of one router. Belongs to one event loop."""

    def __init__(self, settings: Settings) -> None:
        self.registry = Registry(settings.parallel)
        self.account = Account()
        self.queue = JobQueue(settings.redis_url, settings.queue)
        self.dispatcher = Dispatcher(settings, self.registry, self.account, self.queue)
        self.down_until = 0.0

    def register(self, registration: Registration) -> bool:
        """Add or replace a provider; return whether that changed anything."""
        changed = self.registry.add(registration)
        self.account.registered(registration.endpoint, changed=changed)
        self.dispatcher.wake()
        return changed

    def deregister(self, endpoint: str) -> bool:
        """Give a provider no more work; return whether it was known."""
        known = self.registry.remove(endpoint)
        if known:
            self.account.deregistered(endpoint)
        return known

    def forget(self) -> int:
        """Lose the memory of all providers, as a restart would; return how many."""
        count = self.registry.forget()
        self.account.events.event("forgotten", providers=count)
        return count

    @property
    def is_down(self) -> bool:
        """Return whether a test wants it out of order."""
        return time.monotonic() < self.down_until

    async def depth(self) -> tuple[int | None, str | None]:
        """Return how many jobs wait, or why nobody knows."""
        try:
            return await self.queue.depth(), None
        except ERRORS as error:
            return None, f"{type(error).__name__}: {error}"
