"""Machines work jobs off: so many at a time, the others wait, whoever left is passed over."""

import asyncio

import pytest

from localcloud.vastai.__main__ import settings
from localcloud.vastai.machines import work
from localcloud.vastai.machines.ollama import Ollama
from localcloud.vastai.machines.work import Work
from localcloud.vastai.settings import Settings


class Gate:
    """Takes the place of sleeping: who works stays until let go."""

    def __init__(self) -> None:
        self.working = 0
        self.most = 0
        self.opened = asyncio.Event()

    async def sleep(self, _seconds: float) -> None:
        self.working += 1
        self.most = max(self.most, self.working)
        await self.opened.wait()
        self.working -= 1


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    found = Gate()
    monkeypatch.setattr(work.asyncio, "sleep", found.sleep)
    return found


async def settle() -> None:
    """Let every task run until it waits for something outside."""
    loop = asyncio.get_running_loop()
    for _ in range(50):
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn


def here() -> bool:
    return False


def test_without_seconds_nothing_waits() -> None:
    assert asyncio.run(Work(0.0, 1).done(lambda: True))


def test_so_many_work_at_a_time_and_the_others_wait(gate: Gate) -> None:
    async def main() -> list[bool]:
        slots = Work(1.0, 3)
        tasks = [asyncio.create_task(slots.done(here)) for _ in range(10)]
        await settle()
        assert gate.working == 3
        gate.opened.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == [True] * 10
    assert gate.most == 3


def test_a_client_that_left_while_it_waited_costs_no_time(gate: Gate) -> None:
    gone: set[int] = set()

    async def main() -> list[bool]:
        slots = Work(1.0, 1)
        tasks = [asyncio.create_task(slots.done(lambda n=n: n in gone)) for n in range(3)]
        await settle()
        gone.add(1)
        gate.opened.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == [True, False, True]


def test_a_request_that_is_cut_gives_its_slot_back(gate: Gate) -> None:
    async def main() -> bool:
        slots = Work(1.0, 1)
        first = asyncio.create_task(slots.done(here))
        second = asyncio.create_task(slots.done(here))
        await settle()
        first.cancel()
        gate.opened.set()
        return await second

    assert asyncio.run(main())


def test_only_generating_is_work() -> None:
    ollama = Ollama(["m:latest"])
    body = b'{"model": "m"}'
    assert ollama.answer("POST", "/api/generate", body).generated
    assert ollama.answer("POST", "/api/generate", b'{"model": "m", "stream": false}').generated
    for method, path in (("POST", "/api/pull"), ("GET", "/api/ps"), ("GET", "/")):
        assert not ollama.answer(method, path, body).generated
    assert not ollama.answer("POST", "/api/generate", b'{"model": "other"}').generated


def test_options_of_the_work() -> None:
    assert (Settings().work_seconds, Settings().parallel) == (0.0, 4)
    chosen = settings(["--work-seconds", "0.5", "--parallel", "2"])
    assert (chosen.work_seconds, chosen.parallel) == (0.5, 2)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_work_takes_a_time_that_can_be_waited(seconds: float) -> None:
    with pytest.raises(ValueError, match="work seconds"):
        Settings(work_seconds=seconds)


def test_a_machine_works_on_something() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Settings(parallel=0)
