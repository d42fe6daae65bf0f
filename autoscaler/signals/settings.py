"""Settings of the signals: one model per kind, told apart by `kind`. No secret but in `url`."""

import re
from typing import Annotated, Literal, Self

import httpx
from pydantic import ConfigDict, Discriminator, Field, SecretStr, Tag, model_validator

from contracts.narrowing import is_object
from contracts.settings import Strict

Name = Annotated[str, Field(min_length=1, max_length=512)]
Path = Annotated[str, Field(max_length=512)]
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


class _Signal(Strict):
    # A failing model would print the document it was given, and with it a password.
    model_config = ConfigDict(hide_input_in_errors=True)


class _Redis(_Signal):
    url: SecretStr | None = Field(
        default=None,
        description="Redis that holds the queue, with its password; none means `REDIS_URL`.",
    )


class _Http(_Signal):
    url: str = Field(description="Where to ask, `http://` or `https://`; no password in it.")
    bearer_env: str | None = Field(
        default=None, description="NAME of the variable that holds a bearer token, never the token."
    )
    timeout_seconds: float = Field(
        default=3, gt=0, le=5, description="Longest wait for one answer, s."
    )

    # On the model, not on the field: a wrong field is shown with its value, which may be a secret.
    @model_validator(mode="after")
    def _no_secrets(self) -> Self:
        try:
            url = httpx.URL(self.url)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if url.scheme not in {"http", "https"} or not url.host:
            raise ValueError("url must be an http:// or https:// URL")
        if url.userinfo or url.fragment:
            raise ValueError("url must hold no user, password or fragment; a token is `bearerEnv`")
        if self.bearer_env is not None and not _VARIABLE.fullmatch(self.bearer_env):
            raise ValueError("bearerEnv must be the NAME of a variable (A-Z, 0-9, _), not a token")
        return self


class RedisList(_Redis):
    """A Redis list, or a Celery queue."""

    kind: Literal["redis-list"] = Field(description="A Redis list, or a Celery queue.")
    queue: Name = Field(description="Key of the list; for Celery the name of the queue.")
    priorities: tuple[Annotated[int, Field(ge=0, le=255)], ...] = Field(
        default=(), description="Celery's priority steps, `0, 3, 6, 9` unless it was told others."
    )
    separator: str | None = Field(
        default=None,
        min_length=1,
        max_length=16,
        description="What stands between queue and priority: `sep` of Celery's transport options.",
    )
    in_flight: Name | None = Field(
        default=None,
        description="Key of the list, (sorted) set or hash of what is served; Celery: `unacked`.",
    )


class RedisStream(_Redis):
    """A consumer group of a Redis stream."""

    kind: Literal["redis-stream"] = Field(description="A consumer group of a Redis stream.")
    queue: Name = Field(description="Key of the stream.")
    group: Name = Field(description="The consumer group that serves it.")


class Bullmq(_Redis):
    """A BullMQ queue."""

    kind: Literal["bullmq"] = Field(description="A BullMQ queue.")
    queue: Name = Field(description="Name of the queue.")
    prefix: Name = Field(default="bull", description="Prefix of its keys.")


class HttpJson(_Http):
    """A number in a JSON document."""

    kind: Literal["http-json"] = Field(description="A number in a JSON document.")
    depth: Path = Field(
        description="Where what waits stands: `queue.waiting`, or a JSON pointer `/queue/waiting`."
    )
    in_flight: Path | None = Field(
        default=None, description="Where what is being served stands; none means not known."
    )


class Prometheus(_Http):
    """An instant query of Prometheus."""

    kind: Literal["prometheus"] = Field(description="An instant query of Prometheus.")
    query: Name = Field(description="PromQL whose one value is what waits, e.g. `sum(depth)`.")
    in_flight_query: Name | None = Field(
        default=None, description="The same for what is being served; none means not known."
    )

    @model_validator(mode="after")
    def _url_is_the_base(self) -> Self:
        if httpx.URL(self.url).query:
            raise ValueError("url must be Prometheus' base URL, without a query")
        return self


def _kind(document: object) -> object:
    if is_object(document):
        return document.get("kind")
    return getattr(document, "kind", None)


# A function tells the kinds apart: pydantic's own way refuses fields with a validator, and Strict
# puts one on each.
SignalSettings = Annotated[
    Annotated[RedisList, Tag("redis-list")]
    | Annotated[RedisStream, Tag("redis-stream")]
    | Annotated[Bullmq, Tag("bullmq")]
    | Annotated[HttpJson, Tag("http-json")]
    | Annotated[Prometheus, Tag("prometheus")],
    Discriminator(
        _kind,
        custom_error_type="kind",
        custom_error_message=(
            "`kind` must be bullmq, http-json, prometheus, redis-list or redis-stream"
        ),
    ),
]
