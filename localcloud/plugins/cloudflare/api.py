"""Cloudflare's API behind the vendor's own client, which knows its tokens, errors and retries."""

import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from contracts.narrowing import is_list, is_object
from localcloud.plugins.model import PluginError
from localcloud.plugins.values import Properties, has_unknown, text_of

if TYPE_CHECKING:
    from cloudflare import APIStatusError, Cloudflare

Json = dict[str, Any]
TOKEN_VARIABLE = "CLOUDFLARE_API_TOKEN"  # noqa: S105 - a name
URL_VARIABLE = "CLOUDFLARE_BASE_URL"
TOKEN = re.compile(r"[0-9A-Za-z_-]{40,80}")
_NOT_DONE = ("apiKey", "apiUserServiceKey", "email")
# The first few of the official plugin's ten: a rate limit passes, a fault is told soon.
RETRIES = 3
ANSWER_SECONDS = 60.0
_NOT_FOUND = 404


class Gone(Exception):
    """What was asked for does not exist."""


@dataclass
class Api:
    """One account's API. Threads share it; the first that needs it makes the client."""

    token: str | None = field(repr=False)
    """None while the provider's settings are not known."""
    base_url: str | None
    """None is Cloudflare's own."""
    retries: int = RETRIES
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _client: "Cloudflare | None" = field(default=None, init=False, repr=False)

    def ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> object:
        """Return the `result` of a call.

        Raises Gone for a 404, PluginError with Cloudflare's code and message for all else.
        """
        client = self._connected()
        # Importing the package takes longer than all else: a preview does without.
        from cloudflare import APIConnectionError, APIError, APIStatusError  # noqa: PLC0415
        from httpx import Response  # noqa: PLC0415

        sent = None if body is None else dict(body)
        try:
            answer = _SENDERS[method](client, path, sent, Response)
            envelope: object = answer.json()
        except APIStatusError as error:
            if error.status_code == _NOT_FOUND:
                raise Gone(told(error)) from None
            raise PluginError(f"{method} {path}: {told(error)}") from None
        except APIConnectionError as error:
            why = error.__cause__ or error
            raise PluginError(
                f"Cloudflare at {client.base_url} cannot be reached: {why}\n"
                f"hint: start it, or set the provider's baseUrl or {URL_VARIABLE} to one that runs"
            ) from None
        except (APIError, ValueError) as error:
            raise PluginError(f"{method} {path}: no answer of Cloudflare's API: {error}") from None
        if not is_object(envelope) or "result" not in envelope:
            raise PluginError(f"{method} {path}: no answer of Cloudflare's API: {envelope!r:.200}")
        result: object = envelope["result"]
        return result

    def row(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Json:
        """Return the `result` of a call that must be an object; raises as `ask`."""
        result = self.ask(method, path, body)
        if not is_object(result):
            raise PluginError(f"{method} {path}: the result is no object but {result!r:.200}")
        return result

    def _connected(self) -> "Cloudflare":
        from cloudflare import Cloudflare  # noqa: PLC0415 - see `ask`

        if self.token is None:
            raise PluginError(
                "the cloudflare provider is not configured: one of its settings is not known yet"
            )
        with self._lock:
            if self._client is None:
                self._client = Cloudflare(
                    api_token=self.token,
                    base_url=self.base_url,
                    max_retries=self.retries,
                    timeout=ANSWER_SECONDS,
                )
            return self._client


def _get(client: "Cloudflare", path: str, _body: Json | None, kind: type[Any]) -> Any:  # noqa: ANN401 - httpx is imported late
    return client.get(path, cast_to=kind)


def _post(client: "Cloudflare", path: str, body: Json | None, kind: type[Any]) -> Any:  # noqa: ANN401 - see above
    return client.post(path, cast_to=kind, body=body)


def _put(client: "Cloudflare", path: str, body: Json | None, kind: type[Any]) -> Any:  # noqa: ANN401 - see above
    return client.put(path, cast_to=kind, body=body)


def _patch(client: "Cloudflare", path: str, body: Json | None, kind: type[Any]) -> Any:  # noqa: ANN401 - see above
    return client.patch(path, cast_to=kind, body=body)


def _delete(client: "Cloudflare", path: str, _body: Json | None, kind: type[Any]) -> Any:  # noqa: ANN401 - see above
    return client.delete(path, cast_to=kind)


_SENDERS = {"GET": _get, "POST": _post, "PUT": _put, "PATCH": _patch, "DELETE": _delete}


def told(error: "APIStatusError") -> str:
    """Return what Cloudflare said, with its codes; nothing of what was sent."""
    body: object = error.body
    rows: object = body.get("errors") if is_object(body) else None
    texts = [
        f"{row.get('message')} (code {row.get('code')})"
        for row in (rows if is_list(rows) else [])
        if is_object(row)
    ]
    return f"Cloudflare answered {error.status_code}: {'; '.join(texts) or 'without a reason'}"


def configure(settings: Properties) -> Api:
    """Return the API that the provider's settings, else the environment, name."""
    for name in _NOT_DONE:
        if name in settings:
            raise PluginError(
                f"the offline cloudflare plugin does not do the setting {name}; use apiToken"
            )
    if any(has_unknown(settings.get(name)) for name in ("apiToken", "baseUrl")):
        return Api(None, None)
    token = text_of(settings, "apiToken") or os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise PluginError(
            f"cloudflare has no API token: set the provider's apiToken or {TOKEN_VARIABLE}"
        )
    if not TOKEN.fullmatch(token):
        raise PluginError(
            f"the cloudflare API token has {len(token)} characters and is no token: it must match"
            f" {TOKEN.pattern}"
        )
    base_url = text_of(settings, "baseUrl") or os.environ.get(URL_VARIABLE) or None
    return Api(token, base_url)
