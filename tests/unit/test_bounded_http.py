"""An answer comes whole, in time and within a size, or not at all."""

import gzip
from collections.abc import Callable, Iterator

import httpx
import pytest

from providers import agent_router, bounded_http
from providers.agent_router import RouterError
from providers.bounded_http import send
from providers.vastai.client import VastClient
from providers.vastai.credentials import Credentials
from providers.vastai.errors import Ambiguous, Unavailable
from providers.vastai.models import Rental

Answer = Callable[[httpx.Request], httpx.Response]


def client(answer: Answer) -> httpx.Client:
    return httpx.Client(transport=httpx.MockTransport(answer), timeout=5.0)


def asked(answer: Answer, **given: int) -> httpx.Response:
    with client(answer) as http:
        return send(http, http.build_request("GET", "http://a.test/"), **given)


class Body(httpx.SyncByteStream):
    """Comes in `pieces`, of which it may have no end; whether it was closed."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces = pieces
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self.pieces

    def close(self) -> None:
        self.closed = True


def endless() -> Iterator[bytes]:
    while True:
        yield b"drip"


@pytest.fixture
def seconds_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is a second after the last one."""
    clock = iter(range(10_000))
    monkeypatch.setattr(bounded_http, "monotonic", lambda: float(next(clock)))


def dripping(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, stream=Body(endless()))


def test_an_answer_is_as_any_other() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        headers = {"Content-Encoding": "gzip", "Retry-After": "3", "Content-Type": "text/plain"}
        packed = gzip.compress("gr\u00fc\u00dfe".encode())
        return httpx.Response(429, headers=headers, stream=Body(iter([packed[:5], packed[5:]])))

    found = asked(answer)
    assert (found.status_code, found.text) == (429, "gr\u00fc\u00dfe")
    assert (found.headers["Retry-After"], found.reason_phrase) == ("3", "Too Many Requests")
    assert found.request.url == "http://a.test/"


@pytest.mark.usefixtures("seconds_pass")
def test_one_that_drips_is_cut_off_and_its_connection_closed() -> None:
    body = Body(endless())
    with pytest.raises(httpx.ReadTimeout, match="no end after 5 s"):
        asked(lambda _: httpx.Response(200, stream=body))
    assert body.closed


def test_one_that_is_too_large_is_cut_off_packed_or_not() -> None:
    body = Body(endless())
    with pytest.raises(httpx.RemoteProtocolError, match="no end after 1000 bytes"):
        asked(lambda _: httpx.Response(200, stream=body), most=1000)
    assert body.closed
    packed = Body(iter([gzip.compress(b"0" * 5000)]))
    headers = {"Content-Encoding": "gzip"}
    with pytest.raises(httpx.RemoteProtocolError, match="no end after 1000 bytes"):
        asked(lambda _: httpx.Response(200, headers=headers, stream=packed), most=1000)


# Those that ask so.


@pytest.mark.usefixtures("seconds_pass")
def test_a_router_that_drips_does_not_answer() -> None:
    with client(dripping) as http, pytest.raises(RouterError, match="does not answer: no end"):
        agent_router.providers("http://router.test", http=http)


@pytest.mark.usefixtures("seconds_pass")
def test_an_account_that_drips_is_not_waited_for() -> None:
    credentials = Credentials(key="k" * 64, url="http://vast.test", paced=False)
    transport = httpx.MockTransport(dripping)
    with VastClient(credentials, transport=transport, sleep=lambda _: None) as vast:
        with pytest.raises(Unavailable, match="no answer to list"):
            vast.instances()
        with pytest.raises(Ambiguous, match="no answer to create"):
            vast.create(1, Rental(image="a:1", disk=1.0, label="x"))
