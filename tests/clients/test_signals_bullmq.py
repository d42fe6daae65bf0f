"""Queues that the real BullMQ fills, as the signal reads them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from bullmq import Queue, Worker

from autoscaler.model import Reading
from autoscaler.signals import Signal, make_signal
from autoscaler.signals.settings import Bullmq
from tests.redis.server import RedisServer, running_redis, until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@dataclass
class Bull:
    """One queue with its client, and the signal; `ahead` moves the signal's clock, s."""

    url: str
    queue: Any
    ahead: float = 0.0
    signal: Signal = field(init=False)

    def __post_init__(self) -> None:
        settings = Bullmq(kind="bullmq", queue="infer")
        self.signal = make_signal(settings, redis_url=self.url, env={}, now=self.now)

    def now(self) -> float:
        return time.time() + self.ahead

    def read(self) -> tuple[int, int | None]:
        reading: Reading = self.signal.read()
        return reading.depth, reading.in_flight

    async def counts(self) -> dict[str, int]:
        names = ("wait", "paused", "prioritized", "delayed", "active")
        counted: dict[str, int] = await self.queue.getJobCounts(*names)
        return counted

    async def fill(self, count: int, **options: object) -> None:
        jobs = [{"name": "infer", "data": {"n": n}, "opts": options} for n in range(count)]
        await self.queue.addBulk(jobs)


Story = Callable[[Callable[[Bull, AsyncExitStack], Awaitable[None]]], None]


@pytest.fixture
def story(server: RedisServer) -> Story:
    """Run a story on a queue that is closed at its end."""
    server.reset()

    def run(told: Callable[[Bull, AsyncExitStack], Awaitable[None]]) -> None:
        async def main() -> None:
            async with AsyncExitStack() as stack:
                queue = Queue("infer", {"connection": server.url})
                stack.push_async_callback(queue.close)
                bull = Bull(server.url, queue)
                stack.callback(bull.signal.close)
                await told(bull, stack)

        asyncio.run(main())

    return run


def worker(bull: Bull, stack: AsyncExitStack) -> Any:  # noqa: ANN401 - BullMQ is untyped
    """One that takes jobs only when it is told to."""
    made = Worker("infer", None, {"connection": bull.url, "autorun": False})
    stack.push_async_callback(made.close, force=True)
    return made


def test_plain_and_prioritized_jobs_wait(story: Story) -> None:
    async def told(bull: Bull, _: AsyncExitStack) -> None:
        assert bull.read() == (0, 0)
        await bull.fill(30)
        await bull.fill(12, priority=3)
        assert (await bull.counts())["prioritized"] == 12
        assert bull.read() == (42, 0)

    story(told)


def test_delayed_jobs_wait_once_they_are_due(story: Story) -> None:
    async def told(bull: Bull, stack: AsyncExitStack) -> None:
        await bull.fill(5, delay=60_000)
        await bull.fill(3, delay=3_600_000)
        assert (await bull.counts())["delayed"] == 8
        assert bull.read() == (0, 0)
        bull.ahead = 61
        assert bull.read() == (5, 0)
        bull.ahead = 3601
        assert bull.read() == (8, 0)
        # BullMQ itself moves what is due when a worker asks; it must count the same.
        bull.ahead = 0
        await bull.fill(4, delay=1)
        asking = worker(bull, stack)
        until(lambda: bull.read() == (4, 0))
        assert await asking.getNextJob("token") is not None
        assert bull.read() == (3, 1)

    story(told)


def test_a_job_at_work_is_in_flight_until_it_is_done(story: Story) -> None:
    async def told(bull: Bull, stack: AsyncExitStack) -> None:
        await bull.fill(4)
        asking = worker(bull, stack)
        first = await asking.getNextJob("token")
        await asking.getNextJob("token")
        assert bull.read() == (2, 2)
        await first.moveToCompleted("done", "token", False)  # noqa: FBT003 - BullMQ's own
        assert bull.read() == (2, 1)

    story(told)


def test_a_paused_queue_still_waits(story: Story) -> None:
    async def told(bull: Bull, _: AsyncExitStack) -> None:
        await bull.fill(6)
        await bull.fill(2, priority=1)
        await bull.queue.pause()
        await bull.fill(3)
        assert bull.read() == (11, 0)
        await bull.queue.resume()
        assert bull.read() == (11, 0)

    story(told)


def test_jobs_of_an_older_bullmq_that_moved_to_paused_are_counted(
    story: Story, server: RedisServer
) -> None:
    async def told(bull: Bull, _: AsyncExitStack) -> None:
        await bull.fill(4)
        with server.client() as client:
            client.rename("bull:infer:wait", "bull:infer:paused")
        assert bull.read() == (4, 0)
        await bull.queue.resume()
        assert (await bull.counts())["wait"] == 4
        assert bull.read() == (4, 0)

    story(told)


def test_markers_are_no_jobs(story: Story, server: RedisServer) -> None:
    async def told(bull: Bull, _: AsyncExitStack) -> None:
        await bull.fill(2)
        with server.client() as client:
            # Where BullMQ keeps them now, and where it kept them before version 5.
            assert client.zcard("bull:infer:marker") == 1
            client.rpush("bull:infer:wait", "0:0")
        assert bull.read() == (2, 0)

    story(told)


def test_what_is_over_or_waits_for_other_jobs_does_not_count(story: Story) -> None:
    async def told(bull: Bull, stack: AsyncExitStack) -> None:
        await bull.fill(3)
        asking = worker(bull, stack)
        done, failed = [await asking.getNextJob("token") for _ in range(2)]
        await done.moveToCompleted("done", "token", False)  # noqa: FBT003 - BullMQ's own
        await failed.moveToFailed(RuntimeError("no"), "token", False)  # noqa: FBT003
        assert await bull.queue.getJobCounts("completed", "failed") == {"completed": 1, "failed": 1}
        assert bull.read() == (1, 0)

    story(told)
