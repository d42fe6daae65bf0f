"""agent-router's provider registry: who serves inference.

`POST /api/providers` is the platform plan's; `GET /api/providers` and
`DELETE /api/providers?endpoint=<url>` are our contract with the router (docs/router.md).
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import httpx

from contracts.errors import AgentDockerError
from contracts.narrowing import is_list, is_object
from providers.bounded_http import send

_PATH = "/api/providers"
# A destroy must not wait for a router that is down: the machine costs money meanwhile.
_QUIET_SECONDS = 2.0
_SECONDS = 10.0


class RouterError(AgentDockerError):
    """The router could not be reached, or refused."""

    exit_code = 6


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What the router is told about one machine; `cost_per_hour` in $."""

    endpoint: str
    models: Sequence[str]
    gpu_type: str
    cost_per_hour: float
    type: str = "ollama"


def client(timeout: float = _SECONDS) -> httpx.Client:
    """A client for whoever calls often: making one costs more than a call."""
    return httpx.Client(timeout=timeout, trust_env=False)


def register(router: str, registration: Registration, *, http: httpx.Client | None = None) -> None:
    """Add or refresh a provider; RouterError when the router did not take it."""
    _call("POST", router, http, body=asdict(registration))


def deregister(router: str, endpoint: str, *, http: httpx.Client | None = None) -> None:
    """Take a provider out; one that the router does not know is out already."""
    _call("DELETE", router, http, params={"endpoint": endpoint}, missing_is_fine=True)


def deregister_quietly(router: str, endpoint: str) -> bool:
    """One attempt of 2 s that never raises; whether the router confirmed it."""
    with client(_QUIET_SECONDS) as http:
        try:
            deregister(router, endpoint, http=http)
        except RouterError:
            return False
    return True


def providers(router: str, *, http: httpx.Client | None = None) -> list[dict[str, Any]]:
    """What the router serves from now, as it reports it."""
    try:
        answer: Any = _call("GET", router, http).json()
    except ValueError:
        answer = None
    rows: Any = answer.get("providers") if is_object(answer) else answer
    if not is_list(rows):
        raise RouterError(f"agent-router at {router} answered no list of providers")
    return rows


def _call(
    method: str,
    router: str,
    http: httpx.Client | None,
    *,
    body: dict[str, Any] | None = None,
    params: dict[str, str] | None = None,
    missing_is_fine: bool = False,
) -> httpx.Response:
    url = router.rstrip("/") + _PATH
    try:
        with client() if http is None else nullcontext(http) as used:
            response = send(used, used.build_request(method, url, json=body, params=params))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RouterError(f"agent-router at {router} does not answer: {error}") from None
    gone = missing_is_fine and response.status_code == httpx.codes.NOT_FOUND.value
    if not response.is_success and not gone:
        raise RouterError(f"agent-router at {router} answered {method} {response.status_code}")
    return response
