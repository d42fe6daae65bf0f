"""The HTTP kinds against answers of every sort; one real socket for what a fake cannot be."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from autoscaler.model import Reading
from autoscaler.signals import Signal, SignalUnreadable, make_signal
from autoscaler.signals.base import Surroundings
from autoscaler.signals.http_json import HttpJsonSignal
from autoscaler.signals.prometheus import PrometheusSignal
from autoscaler.signals.settings import HttpJson, Prometheus
from providers import bounded_http
from tests.unit.test_signals_settings import settings

TOKEN = "bearer-canary"  # noqa: S105 - that is what it is
WORLD = Surroundings(redis_url="", env={"QUEUE_TOKEN": TOKEN}, now=lambda: 7.5)
Answer = Callable[[httpx.Request], httpx.Response]


@contextmanager
def asking(kind: str, answer: Answer, **changes: object) -> Iterator[Signal]:
    chosen, transport = settings(kind, **changes), httpx.MockTransport(answer)
    made: Signal
    if isinstance(chosen, HttpJson):
        made = HttpJsonSignal(chosen, WORLD, transport)
    else:
        assert isinstance(chosen, Prometheus)
        made = PrometheusSignal(chosen, WORLD, transport)
    try:
        yield made
    finally:
        made.close()


def says(status: int = 200, **given: Any) -> Answer:  # noqa: ANN401 - as httpx takes it
    return lambda _: httpx.Response(status, **given)


def read(kind: str, answer: Answer, **changes: object) -> Reading:
    with asking(kind, answer, **changes) as signal:
        return signal.read()


def refusal(kind: str, answer: Answer, **changes: object) -> SignalUnreadable:
    with asking(kind, answer, **changes) as signal, pytest.raises(SignalUnreadable) as caught:
        signal.read()
    assert TOKEN not in str(caught.value)
    return caught.value


def vector(*values: str) -> dict[str, Any]:
    series = [{"metric": {"n": str(n)}, "value": [1.0, text]} for n, text in enumerate(values)]
    return {"status": "success", "data": {"resultType": "vector", "result": series}}


# What both share.


@pytest.mark.parametrize("kind", ["http-json", "prometheus"])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (says(401), "answered 401"),
        (says(403, text="<html>"), "answered 403"),
        (says(404, json={"waiting": 3}), "answered 404"),
        (says(304), "answered 304"),
        (says(302, headers={"Location": "http://else.test/?key=1"}), "answered 302, a redirect"),
        (says(200, text="<html>no</html>"), "answered no JSON: b'<html>no</html>'"),
        (says(200), "answered no JSON: b''"),
        (says(200, text="[" * 100_000), "answered no JSON"),
        (says(200, text='{"waiting": ' + "9" * 10_000 + "}"), "answered no JSON"),
        (says(200, content=b"\xff\xfe\x00"), "answered no JSON"),
        (says(200, content=b" " * (1 << 20) + b"1"), "does not answer: no end after 1048576 bytes"),
    ],
)
def test_an_answer_that_is_none_is_told(kind: str, answer: Answer, said: str) -> None:
    error = refusal(kind, answer)
    assert said in error.message
    assert "key=1" not in str(error)
    if "redirect" in said:
        assert "url" in str(error.hint)
    assert (error.hint or "").startswith("check the token") == (said[-3:] in {"401", "403"})


@pytest.mark.parametrize("kind", ["http-json", "prometheus"])
@pytest.mark.parametrize(
    "failure", [httpx.ConnectError("refused"), httpx.ReadTimeout(""), httpx.InvalidURL("bad")]
)
def test_a_server_that_does_not_answer_is_told(kind: str, failure: Exception) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise failure

    name = {"http-json": "http://queue.test/stats", "prometheus": "https://prometheus.test"}[kind]
    text = str(failure) or "ReadTimeout"
    assert str(refusal(kind, answer)) == f"{name} does not answer: {text}"


def test_an_answer_that_drips_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(bounded_http, "monotonic", lambda: float(next(clock)))
    error = refusal("http-json", says(content=(b" " for _ in range(50))), timeoutSeconds=2)
    assert str(error) == "http://queue.test/stats does not answer: no end after 2 s"


def test_the_token_is_sent_and_the_query_not_shown() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(500)

    url = "http://queue.test/stats?queue=a&key=hidden"
    error = refusal("http-json", answer, url=url, bearerEnv="QUEUE_TOKEN")
    assert (str(asked[0].url), asked[0].headers["Authorization"]) == (url, f"Bearer {TOKEN}")
    assert asked[0].headers["Accept-Encoding"] == "identity"
    assert str(error) == "http://queue.test/stats answered 500"


def test_a_server_that_accepts_and_says_nothing_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        chosen = settings("http-json", url=url, timeoutSeconds=0.05)
        signal = make_signal(chosen, redis_url="redis://r.test", env={}, now=lambda: 1.0)
        with pytest.raises(SignalUnreadable, match="does not answer: timed out"):
            signal.read()
        signal.close()


def test_proxies_of_the_shell_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    chosen = settings("http-json", url="http://127.0.0.1:1/", timeoutSeconds=1)
    signal = make_signal(chosen, redis_url="redis://r.test", env={}, now=lambda: 1.0)
    with pytest.raises(SignalUnreadable, match=r"^http://127.0.0.1:1/ does not answer"):
        signal.read()
    signal.close()


# JSON documents.


@pytest.mark.parametrize(
    ("document", "path", "depth"),
    [
        ({"waiting": 3}, "waiting", 3),
        ({"queue": {"waiting": 0}}, "queue.waiting", 0),
        ({"queue": {"waiting": 2.5}}, "/queue/waiting", 3),
        ({"queues": [{"n": 1}, {"n": 9}]}, "queues.1.n", 9),
        ({"a/b": {"c~d": 4}}, "/a~1b/c~0d", 4),
        ({"a.b": 6}, "/a.b", 6),
        ({"": 8}, "/", 8),
        ({"0": 1}, "0", 1),
        (5, "", 5),
    ],
)
def test_a_number_is_found_by_its_path(document: object, path: str, depth: int) -> None:
    assert read("http-json", says(json=document), depth=path) == Reading(depth=depth, at=7.5)


def test_what_is_being_served_comes_from_the_same_answer() -> None:
    answer = says(json={"waiting": 3, "active": 2})
    reading = read("http-json", answer, inFlight="active")
    assert reading == Reading(depth=3, in_flight=2, at=7.5)
    assert "'active' of" in str(
        refusal("http-json", says(json={"waiting": 3, "active": -1}), inFlight="active")
    )


@pytest.mark.parametrize(
    ("document", "path", "said"),
    [
        ({"other": 1}, "waiting", "has no 'waiting', found ['other']"),
        ({"queue": {"x": 1}}, "queue.waiting", "has no 'queue.waiting', found ['x']"),
        ({"queue": 5}, "queue.waiting", "has no 'queue.waiting', found 5"),
        ([1, 2], "2", "has no '2', found [1, 2]"),
        ([1, 2], "-1", "has no '-1', found [1, 2]"),
        ([1, 2], "\u0660", "found [1, 2]"),
        (None, "waiting", "found None"),
    ],
)
def test_a_path_that_leads_nowhere_says_what_is_there(
    document: object, path: str, said: str
) -> None:
    answer = says(content=json.dumps(document).encode())
    assert said in str(refusal("http-json", answer, depth=path))


@pytest.mark.parametrize("value", ["true", '"3"', "null", "-1", "1e10", "NaN", "Infinity", "{}"])
def test_a_value_that_is_no_number_of_requests_is_refused(value: str) -> None:
    error = refusal("http-json", says(text=f'{{"waiting": {value}}}'))
    assert str(error).startswith("'waiting' of http://queue.test/stats is ")
    assert str(error).endswith("expected a number from 0 to 10^9")


# Prometheus.


def test_both_queries_are_asked() -> None:
    asked: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.path, request.url.params["query"]))
        return httpx.Response(200, json=vector(str(10 * len(asked))))

    reading = read("prometheus", answer, url="http://p.test/base/", inFlightQuery="sum(busy)")
    assert reading == Reading(depth=10, in_flight=20, at=7.5)
    assert asked == [
        ("/base/api/v1/query", "sum(depth)"),
        ("/base/api/v1/query", "sum(busy)"),
    ]


@pytest.mark.parametrize(("text", "depth"), [("3", 3), ("0", 0), ("2.4e1", 24), ("0.5", 1)])
def test_a_sample_is_a_text(text: str, depth: int) -> None:
    assert read("prometheus", says(json=vector(text))).depth == depth
    scalar = {"status": "success", "data": {"resultType": "scalar", "result": [1.0, text]}}
    assert read("prometheus", says(json=scalar)) == Reading(depth=depth, at=7.5)


@pytest.mark.parametrize("text", ["NaN", "+Inf", "-1", "1e12", "many", "", None, True])
def test_a_sample_that_is_no_number_of_requests_is_refused(text: str) -> None:
    error = refusal("prometheus", says(json=vector(text)))
    assert str(error).startswith("'sum(depth)' at https://prometheus.test is ")
    assert str(error).endswith("expected a number from 0 to 10^9")


def test_more_or_less_than_one_series_is_refused_with_the_fix() -> None:
    several = refusal("prometheus", says(json=vector("1", "2")))
    assert "has 2 series, expected one value" in several.message
    assert "`sum(...)`" in str(several.hint)
    none = refusal("prometheus", says(json=vector()))
    assert "is empty, expected one value" in none.message
    assert "`or vector(0)`" in str(none.hint)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"resultType": "vector"},
        {"resultType": "vector", "result": ["x"]},
        {"resultType": "vector", "result": [{"metric": {}, "histogram": [1, {}]}]},
        {"resultType": "matrix", "result": [[1, "2"], [3, "4"]]},
        {"resultType": "string", "result": [1, "2"]},
        {"resultType": "scalar", "result": [1]},
    ],
)
def test_a_result_of_another_shape_is_refused(data: object) -> None:
    error = refusal("prometheus", says(json={"status": "success", "data": data}))
    assert "is no number (its type is " in str(error)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            says(400, json={"status": "error", "error": "parse\n error"}),
            "answered 400: parse error",
        ),
        (says(422, json={"status": "error", "error": "x" * 900}), "answered 422: " + "x" * 200),
        (says(200, json={"status": "error", "error": "slow"}), "answered 200: slow"),
        (says(200, json=[]), "answered 200: expected an answer of Prometheus' API"),
    ],
)
def test_what_prometheus_objects_to_is_told(answer: Answer, said: str) -> None:
    assert str(refusal("prometheus", answer)) == f"https://prometheus.test {said}"
