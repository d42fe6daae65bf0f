"""JSON over HTTP as the signals see it: one bounded GET, without redirects and retries."""

import json
from typing import Any

import httpx

from autoscaler.signals.base import SignalUnreadable, Surroundings
from autoscaler.signals.settings import HttpJson, Prometheus
from contracts.errors import SettingsError
from providers.bounded_http import send

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
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if settings.bearer_env is not None:
            headers["Authorization"] = f"Bearer {_token(settings.bearer_env, world)}"
        self._client = httpx.Client(
            timeout=settings.timeout_seconds,
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
            request = self._client.build_request("GET", url, params=params)
            response = send(self._client, request, most=_MOST_BYTES)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            text = str(error) or type(error).__name__
            raise SignalUnreadable(f"{self.name} does not answer: {text}") from None
        if response.has_redirect_location:
            raise SignalUnreadable(
                f"{self.name} answered {response.status_code}, a redirect",
                hint="no redirect is followed: set the signal's url to where it leads",
            )
        try:
            return response.status_code, json.loads(response.content)
        except (ValueError, RecursionError):
            if not response.is_success:
                return response.status_code, None
            raise SignalUnreadable(
                f"{self.name} answered no JSON: {response.content[:40]!r}"
            ) from None

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


def _token(variable: str, world: Surroundings) -> str:
    token = world.env.get(variable, "").strip()
    if not token:
        raise SettingsError(f"{variable} is not set, but bearerEnv of the signal names it")
    if not (token.isascii() and token.isprintable()):
        raise SettingsError(f"{variable} holds no token: it has characters no header may carry")
    return token
