"""The dispatcher over a queue in memory and machines that are functions: no sockets."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable

import httpx
import pytest
from redis.exceptions import ConnectionError as RedisAway

from localcloud.router import dispatch
from localcloud.router.dispatch import Dispatcher
from localcloud.router.jobs import Account
from localcloud.router.providers import Registration, Registry
from localcloud.router.settings import Settings

Machine = Callable[[httpx.Request], Awaitable[httpx.Response]]
SETTINGS = Settings(redis_url="redis://127.0.0.1:1", parallel=2)


class Queue:
    """What `JobQueue` does, in lists whose right end is the head; `away` calls fail."""

    def __init__(self, *raws: str) -> None:
        self.waiting = list(raws)
        self.processing: list[str] = []
        self.put_aside: list[str] = []
        self.away = 0
        self.lost_replies = 0
        self.closed = False

    async def take(self) -> str | None:
        self._fail()
        if not self.waiting:
            return None
        self.processing.insert(0, self.waiting.pop())
        self._lose_reply()
        return self.processing[0]

    async def drop(self, raw: str) -> None:
        self._fail()
        if raw in self.processing:
            self.processing.remove(raw)
        self._lose_reply()

    async def give_back(self, raw: str, *, again: bool = False) -> None:
        self._move(raw, self.waiting, again=again)

    async def reject(self, raw: str, *, again: bool = False) -> None:
        self._move(raw, self.put_aside, again=again)

    async def reclaim(self, held: Counter[str]) -> int:
        self._fail()
        orphans = [raw for raw in self.processing if not held[raw]]
        for raw in orphans:
            self._move(raw, self.waiting, again=True)
        return len(orphans)

    async def close(self) -> None:
        self.closed = True

    def _move(self, raw: str, target: list[str], *, again: bool) -> None:
        self._fail()
        if again and raw not in self.processing:
            return
        self.processing.remove(raw)
        target.append(raw)
        self._lose_reply()

    def _fail(self) -> None:
        if self.away > 0:
            self.away -= 1
            raise RedisAway("away")

    def _lose_reply(self) -> None:
        if self.lost_replies > 0:
            self.lost_replies -= 1
            raise RedisAway("reply lost")


class Bench:
    """One dispatcher under test."""

    def __init__(self, queue: Queue, machine: Machine) -> None:
        self.queue = queue
        self.registry = Registry(SETTINGS.parallel)
        self.account = Account()
        self.dispatcher = Dispatcher(SETTINGS, self.registry, self.account, queue)
        self.dispatcher._http = httpx.AsyncClient(transport=httpx.MockTransport(machine))

    def register(self, *names: str, models: tuple[str, ...] = ("m",)) -> None:
        for name in names:
            self.registry.add(
                Registration(
                    type="ollama",
                    endpoint=f"http://{name}:11434/",
                    models=list(models),
                    gpu_type="x",
                    cost_per_hour=0.1,
                )
            )
        self.dispatcher.wake()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            if self.dispatcher._runs is None:
                self.dispatcher.start()
            while not condition():
                await asyncio.wait({self.dispatcher._runs}, timeout=0.001)
                assert not self.dispatcher._runs.done()

    async def close(self) -> None:
        await self.dispatcher.close()

    def events(self) -> list[object]:
        return [event["event"] for event in self.account.events.since(0)[0]]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IDLE_SECONDS", "FIRST_DELAY", "LONGEST_DELAY"):
        monkeypatch.setattr(dispatch, name, 0.001)
    monkeypatch.setattr(dispatch, "STOP_SECONDS", 0.2)
    monkeypatch.setattr("localcloud.router.providers.FIRST_PAUSE", 0.001)
    monkeypatch.setattr("localcloud.router.providers.LONGEST_PAUSE", 0.002)


def raw(number: int, **more: object) -> str:
    return json.dumps({"id": str(number), "at": number, **more})


async def fine(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"done": True})


def run(queue: Queue, machine: Machine, story: Callable[[Bench], Awaitable[None]]) -> Bench:
    async def main() -> Bench:
        bench = Bench(queue, machine)
        try:
            await story(bench)
        finally:
            await bench.close()
        return bench

    return asyncio.run(main())


def test_jobs_are_served_in_order_and_leave_redis() -> None:
    asked: list[tuple[str, object]] = []

    async def machine(request: httpx.Request) -> httpx.Response:
        asked.append((str(request.url), json.loads(request.content)))
        return await fine(request)

    async def story(bench: Bench) -> None:
        bench.register("a")
        await bench.until(lambda: bench.account.done == 3)

    queue = Queue(raw(3), raw(2, model="m:latest"), raw(1, prompt="why"))
    bench = run(queue, machine, story)
    assert asked[0] == (
        "http://a:11434/api/generate",
        {"model": "m", "prompt": "why", "stream": False},
    )
    assert [body["model"] for _, body in asked] == ["m", "m:latest", "m"]
    assert sorted(str(row["id"]) for row in bench.account.finished.since(0)[0]) == ["1", "2", "3"]
    assert (queue.waiting, queue.processing, queue.closed) == ([], [], True)
    assert bench.account.lost == 0


def test_without_room_jobs_stay_in_the_queue() -> None:
    gate = asyncio.Event()

    async def machine(request: httpx.Request) -> httpx.Response:
        await gate.wait()
        return await fine(request)

    async def story(bench: Bench) -> None:
        await bench.until(lambda: bench.dispatcher._reclaim_at > 0)
        assert len(bench.queue.waiting) == 9
        bench.register("a", "b")
        await bench.until(lambda: len(bench.queue.processing) == 4)
        assert len(bench.queue.waiting) == 5
        assert [row["utilization"] for row in bench.registry.rows()] == [1.0, 1.0]
        gate.set()
        await bench.until(lambda: bench.account.done == 9)

    run(Queue(*(raw(number) for number in range(9))), machine, story)


@pytest.mark.parametrize(
    "trouble",
    [httpx.ConnectError("no"), httpx.ReadTimeout("slow"), RuntimeError("?"), httpx.Response(500)],
)
def test_a_failed_attempt_returns_to_the_head_and_is_counted(
    trouble: Exception | httpx.Response,
) -> None:
    failed: list[str] = []

    async def machine(request: httpx.Request) -> httpx.Response:
        if len(failed) < 3:
            failed.append(request.url.host)
            if isinstance(trouble, Exception):
                raise trouble
            return trouble
        return await fine(request)

    async def story(bench: Bench) -> None:
        bench.register("a")
        await bench.until(lambda: bench.account.done == 5)

    bench = run(Queue(*(raw(number) for number in range(5))), machine, story)
    counters = bench.account.as_json()
    assert (counters["done"], counters["retried"], counters["lost"]) == (5, 3, 0)
    records = bench.account.finished.since(0)[0]
    assert sum(int(str(row["tries"])) for row in records) == 8
    assert bench.events().count("failed") == 3


def test_a_drained_provider_gets_nothing_more() -> None:
    gate = asyncio.Event()

    async def machine(request: httpx.Request) -> httpx.Response:
        await gate.wait()
        return await fine(request)

    async def story(bench: Bench) -> None:
        bench.register("a")
        await bench.until(lambda: len(bench.queue.processing) == 2)
        assert bench.registry.remove("http://a:11434/")
        bench.account.deregistered("http://a:11434/")
        bench.register("b")
        gate.set()
        await bench.until(lambda: bench.account.done == 6)
        assert [row["endpoint"] for row in bench.registry.rows()] == ["http://b:11434/"]

    bench = run(Queue(*(raw(number) for number in range(6))), machine, story)
    assert bench.account.handed_to_draining == 0
    told = [row["endpoint"] for row in bench.account.finished.since(0)[0]]
    assert told.count("http://a:11434/") == 2


def test_what_is_no_job_is_put_aside() -> None:
    async def story(bench: Bench) -> None:
        bench.register("a")
        await bench.until(lambda: bench.account.done == 1)

    queue = Queue(raw(1), "nonsense")
    bench = run(queue, fine, story)
    assert queue.put_aside == ["nonsense"]
    assert (bench.account.rejected, bench.account.lost) == (1, 0)


def test_a_model_that_nobody_has_waits_for_it() -> None:
    async def story(bench: Bench) -> None:
        bench.register("a")
        await bench.until(lambda: bench.account.put_back >= 3)
        assert bench.account.done == 0
        bench.register("b", models=("rare",))
        await bench.until(lambda: bench.account.done == 2)

    bench = run(Queue(raw(2), raw(1, model="rare")), fine, story)
    records = bench.account.finished.since(0)[0]
    assert [row["endpoint"] for row in records if row["id"] == "1"] == ["http://b:11434/"]


def test_what_a_killed_router_left_goes_back() -> None:
    async def story(bench: Bench) -> None:
        await bench.until(lambda: len(bench.queue.waiting) == 2)
        bench.register("a")
        await bench.until(lambda: bench.account.done == 2)

    queue = Queue(raw(1))
    queue.processing = [raw(2)]
    assert "reclaimed" in run(queue, fine, story).events()


@pytest.mark.parametrize("away", range(1, 12))
def test_redis_may_be_away_at_any_moment(away: int) -> None:
    async def machine(request: httpx.Request) -> httpx.Response:
        bench_queue.away = away
        return await fine(request)

    async def story(bench: Bench) -> None:
        bench.register("a")
        await bench.until(lambda: bench.account.done == 4)

    bench_queue = Queue(*(raw(number) for number in range(4)))
    bench_queue.away = away
    bench = run(bench_queue, machine, story)
    assert (bench_queue.waiting, bench_queue.processing, bench.account.lost) == ([], [], 0)
    assert len({row["id"] for row in bench.account.finished.since(0)[0]}) == 4


@pytest.mark.parametrize("lost", range(1, 8))
def test_replies_of_redis_may_be_lost(lost: int) -> None:
    tries: Counter[str] = Counter()

    async def machine(request: httpx.Request) -> httpx.Response:
        prompt = json.loads(request.content)["prompt"]
        tries[prompt] += 1
        queue.lost_replies = lost if tries[prompt] == 1 else 0
        return await fine(request) if tries[prompt] > 1 else httpx.Response(503)

    async def story(bench: Bench) -> None:
        bench.register("a", "b")
        await bench.until(lambda: bench.account.done == 6)

    queue = Queue(*(raw(number, prompt=str(number)) for number in range(6)), "nonsense")
    queue.lost_replies = lost
    bench = run(queue, machine, story)
    assert (queue.waiting, queue.processing, bench.account.lost) == ([], [], 0)
    assert queue.put_aside == ["nonsense"]
    assert set(tries.values()) == {2}
    assert len({row["id"] for row in bench.account.finished.since(0)[0]}) == 6


def test_closing_puts_back_what_is_in_flight() -> None:
    async def machine(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        return await fine(request)

    async def story(bench: Bench) -> None:
        bench.register("a")
        await bench.until(lambda: len(bench.queue.processing) == 2)

    queue = Queue(*(raw(number) for number in range(4)))
    bench = run(queue, machine, story)
    assert sorted(queue.waiting) == [raw(number) for number in range(4)]
    assert queue.processing == []
    assert bench.account.lost == 0


def test_closing_without_redis_leaves_it_to_the_next_router() -> None:
    async def machine(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        return await fine(request)

    async def story(bench: Bench) -> None:
        bench.register("a")
        await bench.until(lambda: len(bench.queue.processing) == 2)
        bench.queue.away = 1000

    queue = Queue(raw(1), raw(2))
    run(queue, machine, story)
    assert len(queue.processing) == 2
