"""Draining: idle, unknown and unreachable are three different things."""

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from contracts.outputs import InstanceOutput
from operations.router import RouterGate
from providers.agent_router import RouterError

RECORD = InstanceOutput.model_validate(
    {
        "slot": "gpu-7k2x",
        "contract": 1,
        "gpu": "RTX 4090",
        "gpuCount": 1,
        "costPerHour": 0.3,
        "endpoint": "http://gpu-7k2x-1.tailnet.test:11434",
        "status": "running",
        "image": "ollama/ollama:0.12.6",
    }
)


@dataclass
class Router:
    """agent-router as far as the registry goes; `answer` makes what a listing says."""

    url: str = ""
    answer: Callable[[], tuple[int, Any]] = lambda: (200, {"providers": []})
    registered: list[dict[str, Any]] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    status: int = 200


@contextmanager
def stand_in() -> Generator[Router]:
    """An agent-router that serves from a thread."""
    state = Router()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, body = state.answer()
            self._reply(code, body)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.registered.append(json.loads(body))
            self._reply(state.status, {})

        def do_DELETE(self) -> None:
            state.removed += parse_qs(urlsplit(self.path).query)["endpoint"]
            self._reply(state.status, {})

        def _reply(self, code: int, body: object) -> None:
            data = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def gate(router: Router | None, *, deadline: float = 120.0) -> tuple[RouterGate, Clock]:
    clock = Clock()
    url = router.url if router else None
    return (
        RouterGate(url=url, models=["llama3.2"], deadline=deadline, clock=clock, sleep=clock.sleep),
        clock,
    )


def listing(*counts: Any) -> Callable[[], tuple[int, Any]]:  # noqa: ANN401 - whatever JSON holds
    """One listing after another; the last one stays."""
    left = list(counts)

    def answer() -> tuple[int, Any]:
        count = left.pop(0) if len(left) > 1 else left[0]
        other = {"endpoint": "http://another", "in_flight": 9}
        return 200, {"providers": [other, {"endpoint": RECORD.endpoint, "in_flight": count}]}

    return answer


@pytest.fixture
def router() -> Iterator[Router]:
    with stand_in() as state:
        yield state


def test_a_drain_ends_when_nothing_is_in_flight_any_more(router: Router) -> None:
    router.answer = listing(3, 2, 1, 0)
    drained = gate(router)[0].drain(RECORD)
    assert (drained.idle, drained.waited) == (True, 6.0)
    assert router.removed == [RECORD.endpoint]


def test_an_idle_machine_is_not_waited_for(router: Router) -> None:
    router.answer = listing(0)
    assert gate(router)[0].drain(RECORD).waited == 0.0


@pytest.mark.parametrize("count", [None, False, "0", 0.0])
def test_what_is_no_count_is_given_the_whole_deadline(router: Router, count: object) -> None:
    router.answer = listing(count)
    drained = gate(router, deadline=31.0)[0].drain(RECORD)
    assert (drained.idle, drained.waited) == (False, 31.0)


def test_a_router_that_forgot_the_machine_is_given_the_whole_deadline(router: Router) -> None:
    drained = gate(router, deadline=5.0)[0].drain(RECORD)
    assert (drained.idle, drained.waited) == (False, 5.0)


def test_a_router_that_stops_answering_while_we_wait_is_not_taken_for_idle(router: Router) -> None:
    router.answer = lambda: (503, {})
    assert not gate(router, deadline=9.0)[0].drain(RECORD).idle


def test_work_that_never_ends_is_cut_off_at_the_deadline(router: Router) -> None:
    router.answer = listing(1)
    drained = gate(router)[0].drain(RECORD)
    assert (drained.idle, drained.waited) == (False, 120.0)


def test_a_router_that_is_down_is_an_error_with_its_address() -> None:
    down = Router(url="http://127.0.0.1:9")
    for act in (gate(down)[0].drain, gate(down)[0].register):
        with pytest.raises(RouterError, match=r"http://127\.0\.0\.1:9 does not answer") as caught:
            act(RECORD)
        assert caught.value.exit_code == 6


def test_a_router_that_refuses_is_an_error(router: Router) -> None:
    router.status = 500
    with pytest.raises(RouterError, match="answered DELETE 500"):
        gate(router)[0].drain(RECORD)


def test_registering_tells_the_router_what_it_needs(router: Router) -> None:
    assert gate(router)[0].register(RECORD)
    assert router.registered == [
        {
            "endpoint": RECORD.endpoint,
            "models": ["llama3.2"],
            "gpu_type": "RTX 4090",
            "cost_per_hour": 0.3,
            "type": "ollama",
        }
    ]


def test_without_a_router_there_is_nothing_to_do() -> None:
    without, clock = gate(None)
    assert without.drain(RECORD).idle
    assert not without.register(RECORD)
    assert clock.now == 100.0
