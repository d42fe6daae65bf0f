"""Asking many machines at once; the clocks of the world."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

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


def test_who_answers_well_is_healthy() -> None:
    probe = HttpProbe(httpx.MockTransport(answer))
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
    monkeypatch: pytest.MonkeyPatch, head: bytes, drop: bytes, *, healthy: bool
) -> None:
    monkeypatch.setattr(world, "_PROBE_SECONDS", 0.3)
    found: dict[str, bool] = {}
    with dripping(head, drop) as url:
        asking = threading.Thread(target=lambda: found.update(HttpProbe()({"a": url})))
        asking.start()
        asking.join(timeout=10)
        assert found == {"a": healthy}


def test_a_probe_asks_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[httpx.AsyncClient] = []

    class Client(httpx.AsyncClient):
        def __init__(self, **given: object) -> None:
            super().__init__(**given)  # type: ignore[arg-type]
            made.append(self)

    monkeypatch.setattr(httpx, "AsyncClient", Client)
    HttpProbe(httpx.MockTransport(answer))({"a": "http://well/"})
    assert [client.trust_env for client in made] == [False]


def test_the_clocks_and_the_contracts() -> None:
    clock = Clock()
    assert clock.wall() > clock.mono() - clock.mono()
    assert ids([instance(1), instance(7)]) == {1, 7}
