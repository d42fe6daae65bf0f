"""What a failed answer of Vast.ai means: pure reading of status and body.

Bodies come as JSON in several shapes or as plain text, and a code may stand in `error` or in
`msg`; a 404 may be a revoked key and a 200 may say `success: false`.
"""

from collections.abc import Mapping
from typing import Any

import httpx

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

_GONE_OFFER = ("no_such_ask",)
_GONE = ("no_such_instance", "instances_not_found")
_CREDIT = ("missing_billing", "insufficient_credit", "lack credit", "lacks credit", "billing page")
_KEY_HINT = "check VASTAI_API_KEY and its scopes (instance_read, instance_write, user_read)"
_TEXT_LIMIT = 300
# Only a change leaves a doubt behind: what was read can be read again.
_READS = frozenset({"search", "list", "show", "user"})


def check(answer: Mapping[str, Any], endpoint: str, key: str) -> None:
    """Raise for a 2xx answer that carries `success: false`."""
    if answer.get("success") is False:
        raise _by_code(_text(answer, key), endpoint) or Rejected(
            f"Vast.ai refused {endpoint}: {_text(answer, key)}"
        )


def failure(response: httpx.Response, endpoint: str, key: str) -> VastError:
    """The error for an answer that is not a success. `key` is blotted out of the text."""
    status, text = response.status_code, _body_text(response, key)
    said = f"{endpoint} answered {status}: {text}"
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return _too_many(response, said, text)
    if status in {401, 403} or _is_auth(text):
        return AuthFailed(f"Vast.ai does not accept the key: {said}", hint=_KEY_HINT)
    known = _by_code(text, endpoint)
    if known is not None:
        return known
    if status >= 500:  # noqa: PLR2004 - the class of server errors
        # A gateway's error says nothing about what stands behind it.
        kind = Unavailable if endpoint in _READS else Ambiguous
        return kind(f"Vast.ai failed: {said}")
    if status == httpx.codes.REQUEST_TIMEOUT:
        return Ambiguous(f"Vast.ai timed out: {said}")
    return Rejected(f"Vast.ai refused: {said}")


def _by_code(text: str, endpoint: str) -> VastError | None:
    if any(code in text for code in _GONE_OFFER):
        return NoSuchOffer(f"the offer is gone: {text}")
    if any(code in text for code in _GONE):
        return NotFound(f"{endpoint}: {text}")
    if any(code in text.lower() for code in _CREDIT):
        return NoCredit(
            f"Vast.ai: the account lacks credit: {text}", hint="add credit to the Vast.ai account"
        )
    return None


def _too_many(response: httpx.Response, said: str, text: str) -> RateLimited:
    try:
        after = float(response.headers.get("retry-after", ""))
    except ValueError:
        after = None
    if "search_quota_exceeded" in text:
        return QuotaExceeded(
            f"Vast.ai's daily search quota is used up: {said}",
            hint="it resets at 00:00 UTC",
            retry_after=24 * 3600.0,
        )
    return RateLimited(f"Vast.ai asks to slow down: {said}", retry_after=after)


def _is_auth(text: str) -> bool:
    lower = text.lower()
    return "auth_error" in lower or "invalid user key" in lower or "session expired" in lower


def _body_text(response: httpx.Response, key: str) -> str:
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        return _text(body, key)
    return _blot(response.text.strip() or response.reason_phrase, key)


def _text(body: Mapping[str, Any], key: str) -> str:
    parts = [str(body[name]) for name in ("error", "msg", "message", "detail") if body.get(name)]
    return _blot(" ".join(dict.fromkeys(parts)) or "no reason given", key)


def _blot(text: str, key: str) -> str:
    return " ".join(text.replace(key, "***").split())[:_TEXT_LIMIT]
