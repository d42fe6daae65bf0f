"""What each failure of Vast.ai means, how reads recover from it, and that no text shows a key."""

import logging
from collections.abc import Callable

import httpx
import pytest

from providers.vastai import client as client_module
from providers.vastai.client import VastClient
from providers.vastai.credentials import Credentials
from providers.vastai.errors import (
    Ambiguous,
    AuthFailed,
    NoCredit,
    NoSuchOffer,
    NotFound,
    QuotaExceeded,
    RateLimited,
    Rejected,
    Unavailable,
    VastError,
)
from providers.vastai.pacing import NoPace, SharedPace
from tests.unit.conftest import Held, Reply, Script
from tests.unit.test_vastai_cloud import KEY, TAILNET_KEY, URL, Clock, order

Scripted = Callable[..., tuple[VastClient, Script]]
LEGACY = "error 404/3603: no_such_ask Instance type by id 7 is not available."
LACK = "You lack credit, see the billing page."


def no(status: int, text: str | None = None, **body: object) -> httpx.Response:
    if text is not None:
        return httpx.Response(status, text=text)
    return httpx.Response(status, json={"success": False, **body})


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (no(404, error="no_such_ask", ask_id=7), NoSuchOffer),
        (no(404, error="invalid_args", msg=LEGACY), NoSuchOffer),
        (no(410, msg="error 410/3907: no_such_ask ... no longer available."), NoSuchOffer),
        (no(200, error="no_such_ask"), NoSuchOffer),
        (no(400, error="invalid_price", msg="price must be at least 0.3"), NoSuchOffer),
        (no(400, error="invalid_args", msg="bad image"), Rejected),
        (no(400, error="missing_billing", msg=LACK), NoCredit),
        (no(400, error="insufficient_credit"), NoCredit),
        (no(401, error="auth_error", msg="Invalid user key"), AuthFailed),
        (no(403, text="Forbidden"), AuthFailed),
        (no(404, error="auth_error", msg="Invalid user key"), AuthFailed),
        (no(404, msg="Session expired. Please log in again."), AuthFailed),
        (no(200, error="auth_error"), AuthFailed),
        (no(429, text="API requests too frequent"), RateLimited),
        (no(429, error="search_quota_exceeded"), QuotaExceeded),
        (no(302, text=""), Rejected),
        (no(404, text="<html>nothing here</html>"), Rejected),
        (no(408, text="timeout"), Ambiguous),
        (no(409, error="conflict"), Ambiguous),
        (no(425, text="too early"), Ambiguous),
        (no(500, text="oops"), Ambiguous),
        (no(502, text="bad gateway"), Ambiguous),
        (no(500, error="no_such_ask"), Ambiguous),
        (httpx.Response(200, text="<html>"), Ambiguous),
        (httpx.Response(200, json=[1]), Ambiguous),
        (httpx.ReadTimeout("t"), Ambiguous),
        (httpx.ReadError("reset"), Ambiguous),
        (httpx.RemoteProtocolError("closed"), Ambiguous),
        (httpx.ConnectError("refused"), Unavailable),
        (httpx.ConnectTimeout("t"), Unavailable),
        (httpx.PoolTimeout("t"), Unavailable),
    ],
)
def test_a_failed_create_says_whether_something_may_live(
    scripted: Scripted, reply: Reply, error: type[VastError]
) -> None:
    client, _ = scripted(reply)
    with pytest.raises(error) as caught:
        client.create(7, order())
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (no(404, error="no_such_instance", msg="Instance 7 not found."), NotFound),
        (no(404, error="instances_not_found"), NotFound),
        (no(200, error="no_such_instance"), NotFound),
        (no(404, error="auth_error"), AuthFailed),
        (no(404, text="Invalid user key"), AuthFailed),
        (no(404, text=""), Rejected),
        (no(502, error="no_such_instance"), Ambiguous),
        (no(200, error="invalid_id", msg="not up"), Rejected),
        (no(400, error="invalid_price"), Rejected),
    ],
)
def test_only_its_own_code_proves_an_instance_gone(
    scripted: Scripted, reply: Reply, error: type[VastError]
) -> None:
    client, _ = scripted(reply)
    with pytest.raises(error) as caught:
        client.destroy(7)
    assert type(caught.value) is error


@pytest.mark.parametrize("reply", [no(404, error="auth_error"), no(401, text="no")])
def test_a_revoked_key_is_never_an_absent_instance(scripted: Scripted, reply: Reply) -> None:
    client, script = scripted(reply)
    with pytest.raises(AuthFailed, match="VASTAI_API_KEY"):
        client.instance(7)
    assert len(script.asked) == 1


class TestSlowDown:
    @pytest.mark.parametrize(
        ("reply", "after"),
        [
            (no(429, text="API requests too frequent: endpoint threshold=4.5"), None),
            (httpx.Response(429, headers={"Retry-After": "2.5"}), 2.5),
            (no(429, error="HTTPTooManyRequests", msg="slow", retry_after=3), 3.0),
            (httpx.Response(429, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}), None),
            (httpx.Response(429, headers={"Retry-After": "inf"}), None),
            (httpx.Response(429, headers={"Retry-After": "nan"}), None),
            (httpx.Response(429, headers={"Retry-After": "-3"}), None),
            (no(429, detail=["slow down"]), None),
        ],
    )
    def test_the_wait_is_what_was_told(
        self, scripted: Scripted, reply: httpx.Response, after: float | None
    ) -> None:
        client, _ = scripted(reply)
        with pytest.raises(RateLimited) as caught:
            client.destroy(7)
        assert caught.value.retry_after == after

    @pytest.mark.parametrize(("told", "held"), [(None, 12.0), ("3", 3.0), ("600", 60.0)])
    def test_everybody_holds_the_endpoint(
        self, scripted: Scripted, told: str | None, held: float
    ) -> None:
        pace = Held()
        headers = {"Retry-After": told} if told else {}
        client, _ = scripted(httpx.Response(429, headers=headers), pace=pace)
        with pytest.raises(RateLimited):
            client.create(7, order())
        assert (pace.turns, pace.holds) == ([], [("create", held)])

    def test_a_used_up_quota_is_not_waited_for(self, scripted: Scripted) -> None:
        pace = Held()
        client, script = scripted(no(429, error="search_quota_exceeded"), pace=pace)
        with pytest.raises(QuotaExceeded, match="00:00 UTC"):
            client.search({})
        assert (len(script.asked), pace.holds) == (1, [])

    def test_a_read_is_tried_again_after_its_hold(self, scripted: Scripted, clock: Clock) -> None:
        pace = Held()
        done = httpx.Response(200, json={"offers": []})
        client, script = scripted(no(429, text="slow"), no(429, text="slow"), done, pace=pace)
        assert client.search({}) == []
        assert (len(script.asked), pace.turns) == (3, ["search"] * 3)
        assert clock.slept == [0.5, 1.0]

    @pytest.mark.parametrize(("told", "asked"), [("13", 1), ("12", 4)])
    def test_a_read_gives_up_on_a_long_wait(
        self, scripted: Scripted, told: str, asked: int
    ) -> None:
        replies = [httpx.Response(429, headers={"Retry-After": told}) for _ in range(4)]
        client, script = scripted(*replies)
        with pytest.raises(RateLimited):
            client.instances()
        assert len(script.asked) == asked


class TestReadsRecover:
    @pytest.mark.parametrize(
        "reply",
        [
            httpx.ReadTimeout("t"),
            httpx.ConnectError("refused"),
            httpx.Response(503),
            httpx.Response(408),
            httpx.Response(200, text="<html>"),
            httpx.Response(200, json=[]),
        ],
    )
    def test_a_busy_service_is_asked_again(
        self, scripted: Scripted, clock: Clock, reply: Reply
    ) -> None:
        client, _ = scripted(reply, reply, httpx.Response(200, json={"instances": []}))
        assert client.instances() == []
        assert clock.slept == [0.5, 1.0]

    @pytest.mark.parametrize("reply", [httpx.ReadTimeout("t"), httpx.Response(500)])
    def test_a_read_that_never_succeeds_did_nothing(self, scripted: Scripted, reply: Reply) -> None:
        client, script = scripted(*[reply] * 4)
        with pytest.raises(Unavailable) as caught:
            client.instances()
        assert (type(caught.value), len(script.asked)) == (Unavailable, 4)

    @pytest.mark.parametrize("reply", [no(400, error="invalid_token"), no(200, error="odd")])
    def test_a_refused_read_is_not_repeated(self, scripted: Scripted, reply: Reply) -> None:
        client, script = scripted(reply)
        with pytest.raises(Rejected):
            client.instances()
        assert len(script.asked) == 1


class TestSecrets:
    @pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500])
    @pytest.mark.parametrize("shape", ["json", "text"])
    def test_no_error_shows_a_key_that_was_echoed(
        self, scripted: Scripted, status: int, shape: str
    ) -> None:
        template = {"image": "i", "env": order().env, "onstart": "", "args": []}
        calls: list[tuple[Callable[[VastClient], object], str]] = [
            (lambda c: c.create(7, order()), f"{KEY} {TAILNET_KEY}"),
            (lambda c: c.update_template(7, **template), f"{KEY} {TAILNET_KEY}"),
            (lambda c: c.search({}), f"Bearer {KEY}"),
        ]
        for call, echo in calls:
            reply = no(status, msg=echo) if shape == "json" else no(status, text=echo)
            client, _ = scripted(*[reply] * 4)
            with pytest.raises(VastError) as caught:
                call(client)
            shown = f"{caught.value} {caught.value!r} {caught.value.__cause__}"
            assert KEY not in shown
            assert TAILNET_KEY not in shown

    def test_a_long_answer_is_cut(self, scripted: Scripted) -> None:
        client, _ = scripted(no(400, text="x" * 5000))
        with pytest.raises(Rejected) as caught:
            client.destroy(7)
        assert len(caught.value.message) < 400

    def test_nothing_printed_or_logged_shows_a_key(
        self, scripted: Scripted, caplog: pytest.LogCaptureFixture
    ) -> None:
        client, _ = scripted(httpx.Response(200, json={"success": True, "new_contract": 1}))
        with caplog.at_level(logging.DEBUG):
            client.create(7, order())
        shown = f"{caplog.text} {client!r} {Credentials(key=KEY)!r} {order()!r} {order()}"
        assert KEY not in shown
        assert TAILNET_KEY not in shown


class TestTheWire:
    def test_proxies_of_the_shell_are_ignored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
        with VastClient(Credentials(key=KEY, url="https://vast.test"), pace=NoPace()) as client:
            assert client._http.trust_env is False
            assert not client._http._mounts

    @pytest.mark.parametrize("url", ["https://vast.test", "HTTPS://vast.test"])
    def test_certificates_are_checked(self, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        seen: list[object] = []
        monkeypatch.setattr(
            client_module.httpx, "Client", lambda **given: seen.append(given["verify"])
        )
        VastClient(Credentials(key=KEY, url=url), pace=NoPace())
        assert seen == [True]

    def test_a_refused_connection_names_the_address(self) -> None:
        with (
            VastClient(Credentials(key=KEY, url=URL), pace=NoPace()) as client,
            pytest.raises(Unavailable, match=r"cannot be reached at http://127\.0\.0\.1:9"),
        ):
            client.create(7, order())

    @pytest.mark.parametrize(("paced", "kind"), [(True, SharedPace), (False, NoPace)])
    def test_the_pace_follows_the_credentials(
        self, monkeypatch: pytest.MonkeyPatch, folder: object, *, paced: bool, kind: type
    ) -> None:
        monkeypatch.setenv("AGENT_DOCKER_RUN_DIR", str(folder))
        with VastClient(Credentials(key=KEY, url=URL, paced=paced)) as client:
            assert type(client.pace) is kind
