"""What describes a signal: strict, told apart by `kind`, and never a place to see a secret."""

from typing import Any

import pytest
from pydantic import SecretStr, TypeAdapter, ValidationError

from autoscaler.signals import SIGNALS, SignalSettings, make_signal
from autoscaler.signals.base import MOST, SignalUnreadable, Surroundings, whole
from autoscaler.signals.settings import RedisList
from contracts.errors import AgentDockerError, SettingsError
from contracts.settings import Strict, parse

SECRET = "p4ss-w0rd-canary"  # noqa: S105 - that is what it is
SOUND: dict[str, dict[str, Any]] = {
    "bullmq": {"queue": "infer"},
    "http-json": {"url": "http://queue.test/stats", "depth": "waiting"},
    "prometheus": {"url": "https://prometheus.test", "query": "sum(depth)"},
    "redis-list": {"queue": "jobs"},
    "redis-stream": {"queue": "jobs", "group": "workers"},
}


class Holder(Strict):
    """As the autoscaler's settings hold it."""

    signal: SignalSettings


def document(kind: str, **changes: object) -> dict[str, Any]:
    return {"kind": kind, **SOUND[kind], **changes}


def settings(kind: str, **changes: object) -> SignalSettings:
    return Holder.model_validate({"signal": document(kind, **changes)}).signal


def refusal(wrong: object) -> str:
    with pytest.raises(SettingsError) as caught:
        parse(Holder, {"signal": wrong}, where="autoscaler.yaml", key="autoscaler")
    return str(caught.value)


def make(kind: str, redis_url: str = "redis://127.0.0.1:1/0", **changes: object) -> object:
    env = changes.pop("env", {})
    assert isinstance(env, dict)
    chosen = settings(kind, **changes)
    signal = make_signal(chosen, redis_url=redis_url, env=env, now=lambda: 5.0)
    signal.close()
    signal.close()
    return signal


def test_every_kind_has_a_signal_and_closing_twice_is_harmless() -> None:
    assert {type(settings(kind)) for kind in SOUND} == set(SIGNALS)
    assert len({type(make(kind)) for kind in SOUND}) == len(SOUND)


def test_keys_are_camel_case_both_ways() -> None:
    read = settings("redis-list", inFlight="busy", priorities=[0, 3])
    assert isinstance(read, RedisList)
    assert (read.in_flight, read.priorities, read.separator) == ("busy", (0, 3), None)
    assert TypeAdapter(SignalSettings).validate_python(read.model_dump(mode="json")) == read


@pytest.mark.parametrize("kind", SOUND)
def test_every_field_says_what_it_means(kind: str) -> None:
    for name, field in type(settings(kind)).model_fields.items():
        assert field.description, f"{kind} {name}"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"kind": "sqs"}, "autoscaler.signal: `kind` must be bullmq, http-json, prometheus, "),
        ({"queue": "jobs"}, "autoscaler.signal: `kind` must be"),
        ("jobs", "autoscaler.signal: `kind` must be"),
        ({"kind": ["x"]}, "autoscaler.signal: `kind` must be"),
        ({"kind": "redis-list"}, "queue: is required"),
        (document("redis-list", queue=""), "queue: "),
        (document("redis-list", quue="x"), "quue: is not a setting"),
        (document("redis-list", priorities=[-1]), "priorities.0: "),
        (document("redis-list", in_flight="x"), "in_flight: is not a setting"),
        (document("redis-stream", group=True), "group: must not be true or false"),
        (document("http-json", timeoutSeconds=0), "timeoutSeconds: "),
        (document("http-json", timeoutSeconds=60), "timeoutSeconds: "),
        (document("http-json", url="queue.test"), "url must be an http:// or https:// URL"),
        (document("http-json", url="ftp://queue.test"), "url must be an http:// or https:// URL"),
        (document("http-json", url="http://queue.test:x"), "url must be an http:// or https://"),
        (document("http-json", url="http:///path"), "url must be an http:// or https:// URL"),
        (document("http-json", url="http://queue.test/#a"), "no user, password or fragment"),
        (document("prometheus", url="http://p.test?a=b"), "url must be Prometheus' base URL"),
        (document("prometheus", query=""), "query: "),
    ],
)
def test_a_mistake_is_named(wrong: object, said: str) -> None:
    assert said in refusal(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        document("http-json", url=f"http://user:{SECRET}@queue.test"),
        document("http-json", bearerEnv=SECRET),
        document("http-json", bearerEnv=SECRET.replace("-", "_")),
        document("prometheus", bearerEnv=f"Bearer {SECRET}"),
        {"kind": "redis-list", "url": f"redis://:{SECRET}@r.test"},
        {"kind": "redis-list", "queue": "x", "more": 1, "url": f"redis://:{SECRET}@r.test"},
        {"kind": "redis-list", "queue": "x", "url": [f"redis://:{SECRET}@r.test"]},
    ],
)
def test_a_mistake_never_shows_a_secret(wrong: dict[str, Any]) -> None:
    assert SECRET not in refusal(wrong)
    assert SECRET.replace("-", "_") not in refusal(wrong)
    kind = next(
        model for model in SIGNALS if model.__name__.lower() in wrong["kind"].replace("-", "")
    )
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(wrong)
    assert SECRET not in str(caught.value)


def test_a_password_shows_neither_in_settings_nor_in_surroundings() -> None:
    url = f"redis://:{SECRET}@r.test"
    read = settings("redis-stream", url=url)
    assert getattr(read, "url", None) == SecretStr(url)
    world = Surroundings(redis_url=url, env={"TOKEN": SECRET}, now=lambda: 0.0)
    for text in (repr(read), str(read), read.model_dump_json(), repr(world)):
        assert SECRET not in text


@pytest.mark.parametrize(
    "url",
    [
        f"http://:{SECRET}@r.test",
        f":{SECRET}@r.test",
        f"redis://:{SECRET}@r.test:port",
        f"redis://user:{SECRET}/more@r.test:6379",
        f"redis://:12/{SECRET}@r.test:6379",
        f"redis://:12#{SECRET}@r.test:6379",
        f"redis://:{SECRET}@r.test?socket_timeout=long",
        f"redis://:{SECRET}@r.test?no_such_option=1",
        "",
    ],
)
def test_what_is_no_url_of_redis_is_a_mistake_that_is_not_quoted(url: str) -> None:
    for change in ({"url": url}, {"redis_url": url}):
        with pytest.raises(SettingsError, match="is no URL of Redis, expected redis://") as caught:
            make("redis-list", **change)
        assert SECRET not in str(caught.value)
        assert "12" not in str(caught.value)
    assert str(caught.value).startswith("REDIS_URL of the signal")


@pytest.mark.parametrize("token", ["", "  ", "töken", "to\nken"])
@pytest.mark.parametrize("kind", ["http-json", "prometheus"])
def test_the_variable_of_a_token_must_hold_one(kind: str, token: str) -> None:
    with pytest.raises(SettingsError, match=r"^QUEUE_TOKEN (is not set|holds no token)") as caught:
        make(kind, bearerEnv="QUEUE_TOKEN", env={"QUEUE_TOKEN": token})
    assert "ken" not in str(caught.value).replace("QUEUE_TOKEN", "").replace("token", "")


@pytest.mark.parametrize(("value", "number"), [(0, 0), (-0.0, 0), (3.0, 3), (0.2, 1), (MOST, MOST)])
def test_a_number_of_requests_is_whole(value: object, number: int) -> None:
    assert whole(value, "x") == number
    assert isinstance(whole(value, "x"), int)


@pytest.mark.parametrize(
    "value",
    [True, False, None, "3", [], {}, -1, -0.5, MOST + 1, 1e300, float("nan"), float("inf")],
)
def test_anything_else_is_none(value: object) -> None:
    with pytest.raises(
        SignalUnreadable, match=r"^the depth is .*, expected a number from 0"
    ) as got:
        whole(value, "the depth")
    assert isinstance(got.value, AgentDockerError)


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(SignalUnreadable) as caught:
        whole("x" * 10_000, "the depth")
    assert len(str(caught.value)) < 120
