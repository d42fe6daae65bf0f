"""Answers of the parts of the service in front of the API: the limiter and the load balancer."""

import math
from http import HTTPStatus

from localcloud.vastai.faults import Fault
from localcloud.vastai.wire import Reply, as_number

TOO_FREQUENT = "API requests too frequent"


def rate_limited(form: str, wait: float, threshold: float | None = None) -> Reply:
    """Return a 429: plain text as today, JSON with or without `Retry-After`, or a spent quota.

    `wait` is in seconds; for the quota it is the epoch second at which a new day begins.
    """
    text = TOO_FREQUENT if threshold is None else f"{TOO_FREQUENT}: endpoint threshold={threshold}"
    if form == "text":
        return Reply(text, 429)
    if form == "json":
        return Reply({"detail": text}, 429)
    if form == "search_quota":
        reset = {"X-RateLimit-Reset": str(int(wait))}
        return Reply({"error": "search_quota_exceeded", "msg": "Daily quota."}, 429, reset)
    seconds = math.ceil(wait * 100) / 100
    body = {
        "error": "HTTPTooManyRequests",
        "msg": text,
        "retry_after": seconds,
        "limit": 1,
        "remaining": 0,
    }
    headers = {
        "Retry-After": f"{seconds:g}",
        "X-RateLimit-Limit": "1",
        "X-RateLimit-Remaining": "0",
    }
    return Reply(body, 429, headers)


def server_error(fault: Fault) -> Reply:
    """Return a 5xx as a gateway sends it: no JSON."""
    status = HTTPStatus(int(as_number(fault.choice("status"), "status")))
    return Reply(f"{status.value} {status.phrase}", status.value)
