"""What a failed answer of Vast.ai means: pure reading of status and body.

Bodies come as JSON in several shapes or as plain text, and a code may stand in `error` or in
`msg`; a 404 may be a revoked key and a 200 may say `success: false`.
"""

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from contracts.narrowing import is_object
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
from providers.vastai.lean_httpx import httpx

_GONE_OFFER = ("no_such_ask",)
_GONE = ("no_such_instance", "instances_not_found")
_CREDIT = ("missing_billing", "insufficient_credit", "lack credit", "lacks credit", "billing page")
_KEY_HINT = "check VASTAI_API_KEY and its scopes (instance_read, instance_write, user_read)"
_TEXT_LIMIT = 300
# Only a change leaves a doubt behind: what was read can be read again.
_READS = frozenset({"search", "list", "show", "user"})
# Timed out, in conflict, too early: none of them says that nothing was done.
_UNCLEAR = frozenset({408, 409, 425})


def check(answer: Mapping[str, Any], endpoint: str, secrets: Iterable[str]) -> None:
    """Raise for a 2xx answer that carries `success: false`."""
    if answer.get("success") is False:
        text = _text(answer, secrets)
        raise _by_code(text, endpoint) or Rejected(f"Vast.ai refused {endpoint}: {text}")


def failure(response: httpx.Response, endpoint: str, secrets: Iterable[str]) -> VastError:
    """The error for an answer that is not a success. `secrets` are blotted out of its text."""
    body = json_object(response) or {}
    status, text = response.status_code, _body_text(response, body, secrets)
    said = f"{endpoint} answered {status}: {text}"
    if status == httpx.codes.TOO_MANY_REQUESTS.value:
        return _too_many(response.headers.get("retry-after"), body, said)
    # A gateway's error says nothing about what stands behind it, whatever its text holds.
    if status >= 500 or status in _UNCLEAR:  # noqa: PLR2004 - the class of server errors
        kind = Unavailable if endpoint in _READS else Ambiguous
        return kind(f"Vast.ai failed: {said}")
    if status in {401, 403}:
        return AuthFailed(f"Vast.ai does not accept the key: {said}", hint=_KEY_HINT)
    return _by_code(text, endpoint) or Rejected(f"Vast.ai refused: {said}")


def _by_code(text: str, endpoint: str) -> VastError | None:
    if _is_auth(text):
        return AuthFailed(f"Vast.ai does not accept the key: {endpoint}: {text}", hint=_KEY_HINT)
    # A bid is within our bounds, so a wrong one is below a minimum that rose since the search.
    if any(code in text for code in _GONE_OFFER) or (
        endpoint == "create" and "invalid_price" in text
    ):
        return NoSuchOffer(f"the offer is gone: {text}")
    if any(code in text for code in _GONE):
        return NotFound(f"{endpoint}: {text}")
    if any(code in text.lower() for code in _CREDIT):
        return NoCredit(
            f"Vast.ai: the account lacks credit: {text}", hint="add credit to the Vast.ai account"
        )
    return None


def _too_many(header: str | None, body: Mapping[str, Any], said: str) -> RateLimited:
    if "search_quota_exceeded" in said:
        return QuotaExceeded(
            f"Vast.ai's daily search quota is used up: {said}",
            hint="it resets at 00:00 UTC",
            retry_after=24 * 3600.0,
        )
    after = _seconds(header) or _seconds(body.get("retry_after"))
    return RateLimited(f"Vast.ai asks to slow down: {said}", retry_after=after)


def _seconds(told: object) -> float | None:
    try:
        seconds = float(str(told))
    except ValueError:
        return None
    return seconds if isfinite(seconds) and seconds > 0 else None


def _is_auth(text: str) -> bool:
    lower = text.lower()
    return "auth_error" in lower or "invalid user key" in lower or "session expired" in lower


def json_object(response: httpx.Response) -> dict[str, Any] | None:
    """The body as an object; None for any other body."""
    try:
        body: Any = response.json()
    except ValueError:
        return None
    return body if is_object(body) else None


def _body_text(response: httpx.Response, body: Mapping[str, Any], secrets: Iterable[str]) -> str:
    if body:
        return _text(body, secrets)
    return _blot(response.text.strip() or response.reason_phrase, secrets)


def _text(body: Mapping[str, Any], secrets: Iterable[str]) -> str:
    parts = [str(body[name]) for name in ("error", "msg", "message", "detail") if body.get(name)]
    return _blot(" ".join(dict.fromkeys(parts)) or "no reason given", secrets)


def _blot(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return " ".join(text.split())[:_TEXT_LIMIT]
