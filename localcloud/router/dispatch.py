"""Handing jobs out: from the queue to providers with room, and back when that fails."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import httpx

from localcloud.router.jobs import Account, Job, parsed
from localcloud.router.providers import Provider, Registration, Registry
from localcloud.router.queue import ERRORS, JobQueue
from localcloud.router.settings import Settings

CONNECT_SECONDS = 5.0
IDLE_SECONDS = 0.1
"""How often an empty queue is looked at; a change of the table or an end wakes at once."""
RECLAIM_SECONDS = 5.0
STOP_SECONDS = 4.0
FIRST_DELAY, LONGEST_DELAY = 0.1, 2.0


class Dispatcher:
    """Works on one event loop. Choosing a provider and noting it are one step: nothing between."""

    def __init__(
        self, settings: Settings, registry: Registry, account: Account, queue: JobQueue
    ) -> None:
        self._registry = registry
        self._account = account
        self._queue = queue
        self._http = httpx.AsyncClient(
            trust_env=False,
            timeout=httpx.Timeout(settings.request_seconds, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        )
        self._changed = asyncio.Event()
        self._stopping = False
        self._runs: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Task[str]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reclaim_at = 0.0

    def wake(self) -> None:
        """Say that there may be room now."""
        self._changed.set()

    def start(self) -> None:
        """Hand out jobs from now on, whatever Redis does."""
        self._runs = asyncio.create_task(self._run())

    async def _run(self) -> None:
        delay = FIRST_DELAY
        while not self._stopping:
            try:
                await self._round()
                delay = FIRST_DELAY
            except ERRORS:
                # A move whose answer was lost left a job where only a reclaim finds it.
                self._reclaim_at = 0.0
                await asyncio.sleep(delay)
                delay = min(delay * 2, LONGEST_DELAY)
                continue
            # `wait_for` of Python 3.11 swallows a cancellation that comes with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._changed.wait()
            self._changed.clear()

    async def close(self) -> None:
        """Cut what is in flight and put it back, if Redis is there to take it.

        A call to Redis is not cancelled while there is hope: it might be carried out all the same.
        """
        self._stopping = True
        self.wake()
        await _ended({self._runs} if self._runs else set())
        for call in self._calls:
            call.cancel()
        await _ended(self._tasks)
        await self._http.aclose()
        await self._queue.close()

    async def _round(self) -> None:
        """Hand out jobs while there is room."""
        if time.monotonic() >= self._reclaim_at:
            found = await self._queue.reclaim(self._account.held)
            self._reclaim_at = time.monotonic() + RECLAIM_SECONDS
            if found:
                self._account.events.event("reclaimed", jobs=found)
        while not self._stopping and self._registry.has_room(time.monotonic()):
            raw = await self._queue.take()
            if raw is None:
                return
            self._account.take(raw)
            if not await self._hand_out(raw):
                return

    async def _hand_out(self, raw: str) -> bool:
        """Deal with an entry that was taken; False when no provider can take it now."""
        job = parsed(raw)
        if job is None:
            await _settled(lambda again: self._queue.reject(raw, again=again))
            self._account.reject(raw)
            return True
        provider = self._registry.begin(job.model, time.monotonic())
        if provider is None:
            await _settled(lambda again: self._queue.give_back(raw, again=again))
            self._account.give_back(raw)
            return False
        self._account.dispatch(job, provider.registration.endpoint)
        task = asyncio.create_task(self._serve(job, provider, provider.registration))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _serve(self, job: Job, provider: Provider, to: Registration) -> None:
        """See one job through: it leaves Redis served, or goes back."""
        started_at = time.time()
        call = asyncio.create_task(self._generate(job, to))
        self._calls.add(call)
        await asyncio.wait({call})
        self._calls.discard(call)
        done_at = time.time()
        failure = "cut" if call.cancelled() else call.result()
        self._registry.end(provider, time.monotonic(), failed=bool(failure))
        self.wake()
        if not failure:
            await _settled(lambda _again: self._queue.drop(job.raw))
            self._account.finish(job, to.endpoint, started_at, done_at)
            return
        self._account.fail(job, to.endpoint, failure)
        await _settled(lambda again: self._queue.give_back(job.raw, again=again))
        self._account.retry(job.raw)
        self.wake()

    async def _generate(self, job: Job, to: Registration) -> str:
        """Let a provider serve a job; return why that failed, or nothing."""
        if self._stopping:
            return "cut"
        body = {"model": job.model or to.models[0], "prompt": job.prompt, "stream": False}
        try:
            answer = await self._http.post(to.endpoint.rstrip("/") + "/api/generate", json=body)
        except Exception as error:  # noqa: BLE001 - whatever it was, the job must go back
            return f"{type(error).__name__}: {error}"
        return "" if answer.is_success else f"answered {answer.status_code}"


async def _ended(tasks: set[asyncio.Task[None]]) -> None:
    """Let tasks come to their end; those that wait for a Redis which is away are cancelled."""
    if tasks:
        _, late = await asyncio.wait(set(tasks), timeout=STOP_SECONDS)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=STOP_SECONDS)


async def _settled(step: Callable[[bool], Awaitable[None]]) -> None:
    """Do a step in Redis, however long that is away; later tries know that they are such."""
    again, delay = False, FIRST_DELAY
    while True:
        try:
            return await step(again)
        except ERRORS:
            again = True
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY)
