"""Asking many machines at once; the clocks of the world."""

import httpx

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
    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        probe = HttpProbe(http)
        assert probe({}) == {}
        urls = {name: f"http://{name}/" for name in ("well", "elsewhere", "slow", "ill")}
        assert probe(urls) == {"well": True, "elsewhere": False, "slow": False, "ill": False}
        many = {str(number): "http://well/" for number in range(40)}
        assert all(probe(many).values())


def test_a_probe_waits_short_and_asks_no_proxy() -> None:
    probe = HttpProbe()
    assert probe.http.timeout.read == 3
    assert probe.http.trust_env is False
    probe.http.close()


def test_the_clocks_and_the_contracts() -> None:
    clock = Clock()
    assert clock.wall() > clock.mono() - clock.mono()
    assert ids([instance(1), instance(7)]) == {1, 7}
