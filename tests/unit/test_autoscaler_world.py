"""Asking many machines at once; the clocks of the world."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from autoscaler import world
from autoscaler.world import Clock, HttpProbe, ids
from tests.unit.autoscaler_fakes import instance


def answer(request: httpx.Request) -> httpx.Response:
    match request.url.host:
        case "well":
            return httpx.Response(200)
        case "elsewhere":
            return httpx.Response(302, headers={"Location": "http://well"})
        case "slow":
            raise httpx.ReadTimeout("too slow")
        case _:
            return httpx.Response(503)


class Well(BaseHTTPRequestHandler):
    """A machine that answers."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's
        """Say nothing."""


Made = Callable[..., HttpProbe]


@pytest.fixture
def made() -> Iterator[Made]:
    """Makes probes."""
    with ExitStack() as opened:
        yield lambda *given: opened.enter_context(closing(HttpProbe(*given)))


def test_who_answers_well_is_healthy(made: Made) -> None:
    probe = made(httpx.MockTransport(answer))
    assert probe({}) == {}
    urls = {name: f"http://{name}/" for name in ("well", "elsewhere", "slow", "ill")}
    urls["none"] = "http://well:port/"
    assert probe(urls) == {name: name == "well" for name in urls}
    many = {str(number): "http://well/" for number in range(100)}
    assert all(probe(many).values())


@contextmanager
def dripping(head: bytes, drop: bytes) -> Iterator[str]:
    """The URL of a host that answers `head`, and then `drop` again and again without an end."""
    ended = threading.Event()

    def serve(server: socket.socket) -> None:
        client, _ = server.accept()
        with client:
            client.recv(65_536)
            client.sendall(head)
            while not ended.wait(0.01):
                try:
                    client.sendall(drop)
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/api/version"
        ended.set()
        thread.join()


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("head", "drop", "healthy"),
    [
        (OK + b"Content-Length: 9999999\r\n\r\n", b"x", True),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", True),
        (OK, b"X-More: 1\r\n", False),
        (b"", b"H", False),
    ],
    ids=["body", "chunks", "header", "nonsense"],
)
def test_a_host_that_drips_holds_nobody_up(
    made: Made, monkeypatch: pytest.MonkeyPatch, head: bytes, drop: bytes, *, healthy: bool
) -> None:
    monkeypatch.setattr(world, "_PROBE_SECONDS", 0.3)
    found: dict[str, bool] = {}
    with dripping(head, drop) as url:
        asking = threading.Thread(target=lambda: found.update(made()({"a": url})))
        asking.start()
        asking.join(timeout=10)
        assert found == {"a": healthy}


def test_names_that_nobody_resolves_hold_nobody_up(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of many machines that boot, or are gone, while the name server is slow."""
    monkeypatch.setattr(world, "_PROBE_SECONDS", 5.0)
    resolved, over = socket.getaddrinfo, threading.Event()

    def resolve(host: object, *rest: object, **more: object) -> object:
        if "lost" in str(host):
            over.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return resolved("127.0.0.1", *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with ThreadingHTTPServer(("127.0.0.1", 0), Well) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        names = [f"lost-{number}" for number in range(40)]
        names += [f"well-{number}" for number in range(20)]
        urls = {name: f"http://{name}.test:{server.server_port}/" for name in names}
        try:
            found = made()(urls)
        finally:
            over.set()
            server.shutdown()
            thread.join()
    assert found == {name: name.startswith("well") for name in urls}


def test_a_probe_asks_no_proxy(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    clients: list[httpx.AsyncClient] = []

    class Client(httpx.AsyncClient):
        def __init__(self, **given: object) -> None:
            super().__init__(**given)  # type: ignore[arg-type]
            clients.append(self)

    monkeypatch.setattr(httpx, "AsyncClient", Client)
    made(httpx.MockTransport(answer))({"a": "http://well/"})
    assert [client.trust_env for client in clients] == [False]


def test_the_clocks_and_the_contracts() -> None:
    clock = Clock()
    assert clock.wall() > clock.mono() - clock.mono()
    assert ids([instance(1), instance(7)]) == {1, 7}
