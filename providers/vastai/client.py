"""The Vast.ai REST API over httpx: no Pulumi, no decisions, no retries that could rent twice.

Facts are those of the official client 1.9.1 and the vendor's API reference. A call either returns
what was asked, or raises one of `providers.vastai.errors`; reading is retried where that is safe,
anything that changes something is sent exactly once.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self, TypeVar

from pydantic import ValidationError

from contracts.narrowing import is_list
from providers.bounded_http import send
from providers.vastai.answers import check, failure, json_object
from providers.vastai.credentials import Credentials
from providers.vastai.errors import (
    Ambiguous,
    NotFound,
    QuotaExceeded,
    RateLimited,
    Unavailable,
    VastError,
)
from providers.vastai.lean_httpx import httpx
from providers.vastai.models import (
    SECRET_VARIABLES,
    Instance,
    Offer,
    Record,
    Rental,
    User,
)
from providers.vastai.pacing import NoPace, Pace, SharedPace

R = TypeVar("R", bound=Record)

_PAGE = 25  # The API's own maximum.
_READ_ATTEMPTS = 4
_LOG_POLLS = 30
_LOG_POLL_SECONDS = 0.3
# Vast.ai adds a penalty for hasty calls and does not say how long; this clears every threshold.
_HOLD_SECONDS = 12.0


class VastClient:
    """One account. Safe to use from several threads."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        pace: Pace | None = None,
        transport: httpx.BaseTransport | None = None,
        timeout: float = 20.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._key = credentials.key
        self._sleep = sleep
        self._pace: Pace = pace or _pace_for(credentials)
        self._http = httpx.Client(
            base_url=credentials.url,
            headers={"Authorization": f"Bearer {credentials.key}", "User-Agent": "agent-docker"},
            timeout=httpx.Timeout(timeout, connect=5.0),
            transport=transport,
            # Proxies of the shell must not see the key, nor lead the local profile elsewhere.
            trust_env=False,
            # Plain HTTP has no certificate; loading the trust store costs 35 ms of CPU.
            verify=not credentials.url.lower().startswith("http:"),
            follow_redirects=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def pace(self) -> Pace:
        """The turns this client keeps."""
        return self._pace

    # Reading.

    def search(self, query: Mapping[str, Any]) -> list[Offer]:
        """Offers that match a flat query of the API (`{"num_gpus": {"eq": 1}, ...}`).

        One host's malformed offer is left out; it must not hide the others.
        """
        answer = self._read("POST", "/api/v0/bundles/", "search", dict(query))
        rows: Any = answer.get("offers")
        sound = [row for row in rows if _is_sound(Offer, row)] if is_list(rows) else []
        return _records(Offer, sound or rows, "search")

    def instances(self, *, label: str | None = None) -> list[Instance]:
        """Every live rental of the account, or those that carry exactly `label`.

        Raises rather than returning part of the truth: an unreadable list is never "none".
        """
        filters = {"label": {"eq": label}} if label is not None else {}
        found = [item for page in self._pages(filters) for item in page]
        # Looked at here too: what shares our label may be destroyed as a surplus.
        return [item for item in found if label is None or item.label == label]

    def _pages(self, filters: Mapping[str, Any]) -> Iterator[list[Instance]]:
        order = json.dumps([{"col": "id", "dir": "asc"}])
        params = {"select_filters": json.dumps(filters), "order_by": order, "limit": str(_PAGE)}
        seen: set[str] = set()
        while True:
            answer = self._read("GET", "/api/v1/instances/", "list", params=params)
            yield _records(Instance, answer.get("instances"), "list")
            token = str(answer.get("next_token") or "")
            if not token:
                return
            if token in seen:
                raise Unavailable("Vast.ai's list of instances does not end: a page came twice")
            seen.add(token)
            params = params | {"after_token": token}

    def instance(self, contract: int) -> Instance:
        """One rental; NotFound only when the answer proves that it is gone."""
        path = f"/api/v0/instances/{contract}/"
        answer = self._read("GET", path, "show", params={"owner": "me"})
        if "instances" not in answer:
            raise Unavailable(f"Vast.ai's answer about instance {contract} has no `instances`")
        found = answer["instances"]
        if not found:
            raise NotFound(f"instance {contract} is gone")
        return _records(Instance, [found], "show")[0]

    def current_user(self) -> User:
        """Whose key it is, and the credit left."""
        return _records(User, [self._read("GET", "/api/v0/users/current/", "user")], "user")[0]

    def gpu_names(self) -> list[str]:
        """Every GPU name that Vast.ai knows."""
        answer = self._read("GET", "/api/v0/gpu_names/unique/", "user")
        names: list[Any] = answer.get("gpu_names") or []
        return [str(name) for name in names]

    def logs(self, contract: int, *, tail: int = 100) -> str:
        """The last `tail` lines that the container printed."""
        path = f"/api/v0/instances/request_logs/{contract}/"
        answer = self._change("PUT", path, "logs", {"tail": str(tail)})
        url = str(answer.get("result_url") or "")
        try:
            link = self._http.build_request("GET", url, timeout=10.0)
            # A signed link elsewhere: the key must not travel there.
            del link.headers["Authorization"]
            for _ in range(_LOG_POLLS if url else 0):
                got = send(self._http, link)
                if got.status_code == httpx.codes.OK.value:
                    return got.text
                self._sleep(_LOG_POLL_SECONDS)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            kind = type(error).__name__
            raise Unavailable(
                f"the logs of instance {contract} cannot be fetched: {kind}"
            ) from None
        raise Unavailable(f"the logs of instance {contract} were not ready in time")

    # Changing; each call is sent once.

    def create(self, offer: int, rental: Rental, *, timeout: float | None = None) -> int:
        """Rent `offer`; the contract id. `timeout` in seconds.

        Keeps no pace: the caller waits for its turn first, because its deadline starts then.
        Ambiguous means that the machine may exist: look for the label before anything else.
        """
        path = f"/api/v0/asks/{offer}/"
        answer = self._send("PUT", path, "create", rental.body(), timeout=timeout)
        contract = answer.get("new_contract")
        # `success: false` with an id is a machine that exists, stopped, and bills its storage.
        if isinstance(contract, int) and not isinstance(contract, bool):
            return contract
        check(answer, "create", self._hidden(rental.env))
        raise Ambiguous(f"Vast.ai accepted the rental of offer {offer} but named no contract")

    def destroy(self, contract: int) -> None:
        """Ask for the end of a rental; NotFound when there is none."""
        self._change("DELETE", f"/api/v0/instances/{contract}/", "destroy", {})

    def start(self, contract: int) -> None:
        """Ask a stopped rental to run again."""
        self._manage(contract, {"state": "running"})

    def stop(self, contract: int) -> None:
        """Stop a rental; its storage goes on billing."""
        self._manage(contract, {"state": "stopped"})

    def set_label(self, contract: int, label: str) -> None:
        """Write the rental's label."""
        self._manage(contract, {"label": label})

    def bid(self, contract: int, price: float) -> None:
        """Change the bid of an interruptible rental, $/h per machine."""
        path = f"/api/v0/instances/bid_price/{contract}/"
        self._change("PUT", path, "bid", {"client_id": "me", "price": price})

    def update_template(
        self, contract: int, *, image: str, env: Mapping[str, str], onstart: str, args: list[str]
    ) -> None:
        """Recreate the container in place with this image, environment and command.

        The GPU is kept, work in flight is lost. One call, so nothing lies half-way between.
        """
        template = {"image": image, "env": dict(env), "onstart": onstart, "args": args}
        path = f"/api/v0/instances/update_template/{contract}/"
        body = {"id": contract, "recycle": True, **template}
        self._change("PUT", path, "update_template", body)

    def _manage(self, contract: int, body: Mapping[str, Any]) -> None:
        self._change("PUT", f"/api/v0/instances/{contract}/", "manage", body)

    # The wire.

    def _read(
        self,
        method: str,
        path: str,
        endpoint: str,
        body: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """A call without effect: tried again while the service is busy."""
        for attempt in range(1, _READ_ATTEMPTS + 1):
            self._pace.turn(endpoint)
            try:
                answer = self._send(method, path, endpoint, body, params=params)
                check(answer, endpoint, [self._key])
            except RateLimited as error:
                # The next turn comes after the hold that `_send` has set.
                if attempt == _READ_ATTEMPTS or (error.retry_after or 0) > _HOLD_SECONDS:
                    raise
            except (Ambiguous, Unavailable) as error:
                if attempt == _READ_ATTEMPTS:
                    raise Unavailable(error.message, hint=error.hint) from None
            else:
                return answer
            self._sleep(0.5 * attempt)
        raise AssertionError  # pragma: no cover - the loop returns or raises

    def _change(
        self, method: str, path: str, endpoint: str, body: Mapping[str, Any]
    ) -> dict[str, Any]:
        """A call that changes something: sent once, on its turn."""
        self._pace.turn(endpoint)
        answer = self._send(method, path, endpoint, body)
        check(answer, endpoint, self._hidden(body.get("env")))
        return answer

    def _hidden(self, env: Mapping[str, str] | None) -> list[str]:
        """What must not stand in an error's text, should Vast.ai echo what it was sent."""
        sent = env or {}
        return [self._key, *(sent[name] for name in SECRET_VARIABLES if sent.get(name))]

    def _send(
        self,
        method: str,
        path: str,
        endpoint: str,
        body: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        limit = httpx.USE_CLIENT_DEFAULT if timeout is None else httpx.Timeout(timeout, connect=5.0)
        try:
            request = self._http.build_request(
                method, path, json=body, params=params, timeout=limit
            )
            response = send(self._http, request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Unavailable(
                f"Vast.ai cannot be reached at {self._http.base_url}: {error}",
                hint="is the address right, and is the network (or the local cloud) up?",
            ) from None
        except httpx.HTTPError as error:
            raise Ambiguous(
                f"no answer to {endpoint} from Vast.ai: {type(error).__name__}"
            ) from None
        if response.is_success:
            return _object(response, endpoint)
        raised = failure(response, endpoint, self._hidden((body or {}).get("env")))
        # Waiting does not bring a day's quota back.
        if isinstance(raised, RateLimited) and not isinstance(raised, QuotaExceeded):
            self._pace.hold(endpoint, min(raised.retry_after or _HOLD_SECONDS, 60.0))
        raise raised


def _pace_for(credentials: Credentials) -> Pace:
    # The address belongs to the account: the local cloud and Vast.ai never share turns.
    return SharedPace(f"{credentials.url} {credentials.key}") if credentials.paced else NoPace()


def _object(response: httpx.Response, endpoint: str) -> dict[str, Any]:
    answer = json_object(response)
    if answer is None:
        raise Ambiguous(f"Vast.ai answered {endpoint} with {response.status_code} but no object")
    return answer


def _is_sound(model: type[Record], row: object) -> bool:
    try:
        model.model_validate(row)
    except ValidationError:
        return False
    return True


def _records(model: type[R], rows: object, endpoint: str) -> list[R]:
    if not is_list(rows):
        raise Unavailable(f"Vast.ai's answer to {endpoint} holds no list")
    try:
        return [model.model_validate(row) for row in rows]
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise VastError(
            f"Vast.ai's answer to {endpoint} has a bad `{field}`: {first['msg']}"
        ) from None
