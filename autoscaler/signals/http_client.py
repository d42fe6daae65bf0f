"""JSON over HTTP as the signals see it: one bounded GET, without redirects and retries."""

import json
from time import monotonic
from typing import Any

import httpx

from autoscaler.signals.base import SignalUnreadable, Surroundings
from autoscaler.signals.settings import HttpJson, Prometheus
from contracts.errors import SettingsError

_MOST_BYTES = 1 << 20


class HttpClient:
    """Asks one URL; `name` is that URL without its query, which may hold what nobody shall read."""

    def __init__(
        self,
        settings: HttpJson | Prometheus,
        world: Surroundings,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.name = str(httpx.URL(settings.url).copy_with(query=None))
        self._url = settings.url
        self._seconds = settings.timeout_seconds
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if settings.bearer_env is not None:
            headers["Authorization"] = f"Bearer {_token(settings.bearer_env, world)}"
        self._client = httpx.Client(
            timeout=self._seconds,
            headers=headers,
            trust_env=False,
            follow_redirects=False,
            # Reads are a minute apart: a connection kept would mostly be closed by then.
            limits=httpx.Limits(max_keepalive_connections=0),
            transport=transport,
        )

    def get(self, path: str = "", params: dict[str, str] | None = None) -> tuple[int, Any]:
        """Status and JSON of an answer; the JSON is None when an error's body holds none."""
        url = self._url.rstrip("/") + path if path else self._url
        try:
            with self._client.stream("GET", url, params=params) as response:
                body = self._body(response)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            text = str(error) or type(error).__name__
            raise SignalUnreadable(f"{self.name} does not answer: {text}") from None
        if response.has_redirect_location:
            raise SignalUnreadable(
                f"{self.name} answered {response.status_code}, a redirect",
                hint="no redirect is followed: set the signal's url to where it leads",
            )
        try:
            return response.status_code, json.loads(body)
        except (ValueError, RecursionError):
            if not response.is_success:
                return response.status_code, None
            raise SignalUnreadable(f"{self.name} answered no JSON: {body[:40]!r}") from None

    def refused(self, status: int, text: str = "") -> SignalUnreadable:
        """The error for an answer with a status that is no success."""
        login = status in {httpx.codes.UNAUTHORIZED.value, httpx.codes.FORBIDDEN.value}
        why = ": " + " ".join(text.split())[:200] if text else ""
        return SignalUnreadable(
            f"{self.name} answered {status}{why}",
            hint="check the token in the variable that bearerEnv names" if login else None,
        )

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def _body(self, response: httpx.Response) -> bytes:
        # httpx's timeout is for each chunk: an answer that drips would hold the tick for ever.
        end = monotonic() + self._seconds
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > _MOST_BYTES:
                raise SignalUnreadable(f"{self.name} answered more than {_MOST_BYTES} bytes")
            if monotonic() > end:
                raise SignalUnreadable(
                    f"{self.name} did not finish its answer in {self._seconds:g} s"
                )
        return bytes(body)


def _token(variable: str, world: Surroundings) -> str:
    token = world.env.get(variable, "").strip()
    if not token:
        raise SettingsError(f"{variable} is not set, but bearerEnv of the signal names it")
    if not (token.isascii() and token.isprintable()):
        raise SettingsError(f"{variable} holds no token: it has characters no header may carry")
    return token
