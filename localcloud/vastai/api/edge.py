"""Between HTTP and the cloud: faults, holds, keys and rate limits in a call's life."""

import asyncio
import contextlib
import json
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from localcloud.vastai.api.endpoint import Call, Endpoint, Handler
from localcloud.vastai.api.holds import Holds
from localcloud.vastai.api.refusals import rate_limited, server_error
from localcloud.vastai.api.results import Results
from localcloud.vastai.cloud import Cloud
from localcloud.vastai.errors import bad_key
from localcloud.vastai.faults import CALL_KINDS, Fault
from localcloud.vastai.machines.servers import Machines
from localcloud.vastai.rentals.lifecycle import serve_queue
from localcloud.vastai.wire import ApiError, Json, Reply, as_object, invalid

CUT = "localcloud.cut"
"""Key of the ASGI scope under which the server leaves a function that cuts the connection."""


class Cut(Response):
    """No answer: the connection is closed instead."""

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        """Close the connection and wait until the server knows."""
        cut: Callable[[], None] = scope[CUT]
        cut()
        while (await receive())["type"] != "http.disconnect":
            pass


class Edge:
    """Serves endpoints from one event loop; the cloud's state is touched only there."""

    def __init__(self, cloud: Cloud, machines: Machines) -> None:
        self.cloud = cloud
        self.machines = machines
        self.holds = Holds()
        self.results = Results()
        self._changed = asyncio.Event()

    async def serve(self, endpoint: Endpoint, request: Request) -> Response:
        """Answer one call of the Vast.ai API, or cut it."""
        cloud, names = self.cloud, endpoint.names
        cloud.counters.calls[endpoint.name] += 1
        raw = await request.body()
        slow = cloud.faults.take({"slow"}, names)
        await self.holds.pause(slow.number("seconds", 1.0) if slow else 0.0)
        fault = cloud.faults.take(CALL_KINDS, names)
        if fault is not None:
            cloud.log.add("fault", kind=fault.kind, endpoint=endpoint.name)
        if fault is not None and fault.kind == "never_received":
            return Cut()
        if not await self.holds.passed("received", names):
            return Cut()
        reply = self._refusal(endpoint, request, fault)
        if reply is None:
            reply = await self._handled(endpoint, request, raw, fault)
            return await self._replied(endpoint, reply, fault)
        return _response(reply)

    async def admin(self, handler: Handler, request: Request) -> Response:
        """Answer one call of the admin routes: nothing goes wrong with them."""
        raw = await request.body()
        return _response(await self._run(handler, request, raw, None))

    async def sync(self) -> None:
        """Bring the cloud up to the clock and the machines up to the cloud."""
        await self._bring_up()
        self._changed.set()

    async def keep_time(self) -> None:
        """Bring everything up whenever something is due, until cancelled."""
        while True:
            moment = self.cloud.next_change()
            delay = None if moment is None else self.cloud.clock.until(moment) + 0.001
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), delay)
            self._changed.clear()
            await self._bring_up()

    async def _bring_up(self) -> None:
        self.cloud.settle()
        serve_queue(self.cloud)
        await self.machines.sync()

    def _refusal(self, endpoint: Endpoint, request: Request, fault: Fault | None) -> Reply | None:
        """Return the answer to a call that does not reach its handler."""
        kind = None if fault is None else fault.kind
        identity = _key(request)
        if fault is not None and kind == "rate_limited":
            self.cloud.counters.refused[endpoint.name] += 1
            return rate_limited(str(fault.choice("form")), fault.number("retry_after", 1.0))
        if fault is not None and kind == "server_error" and fault.choice("when") == "before":
            return server_error(fault)
        if kind == "auth_as_404":
            return _refused(bad_key(404))
        if endpoint.auth and not self._accepts(identity):
            return _refused(bad_key(self.cloud.settings.bad_key_status if identity else 401))
        limits, now = self.cloud.limits, self.cloud.clock.real()
        wait = limits.wait(endpoint.name, endpoint.interval, identity, now)
        if wait:
            self.cloud.counters.refused[endpoint.name] += 1
            return rate_limited(limits.form, wait, endpoint.interval)
        return None

    def _accepts(self, key: str) -> bool:
        return bool(key) and self.cloud.settings.key in {None, key}

    async def _handled(
        self, endpoint: Endpoint, request: Request, raw: bytes, fault: Fault | None
    ) -> Reply:
        reply = await self._run(endpoint.handler, request, raw, fault)
        if "create" in endpoint.names:
            await self.holds.pause(self.cloud.settings.create_seconds)
        return reply

    async def _replied(self, endpoint: Endpoint, reply: Reply, fault: Fault | None) -> Response:
        """Send the answer of a handler, unless it gets lost on the way."""
        accepted = reply.status < 400  # noqa: PLR2004 - errors start there
        if accepted and not await self.holds.passed("accepted", endpoint.names):
            return Cut()
        if fault is not None and fault.kind == "lost_reply":
            return Cut()
        if fault is not None and fault.kind == "server_error":
            return _response(server_error(fault))
        return _response(reply)

    async def _run(
        self, handler: Handler, request: Request, raw: bytes, fault: Fault | None
    ) -> Reply:
        """Run a handler on settled state, then bring the machines up to what it did."""
        await self.sync()
        try:
            call = Call(
                cloud=self.cloud,
                path=request.path_params,
                query=request.query_params,
                body=_body(raw),
                base_url=str(request.base_url),
                address=self.machines.addresses.of,
                results=self.results,
                fault=fault,
            )
            result = handler(call)
        except ApiError as error:
            return _refused(error)
        await self.sync()
        return result if isinstance(result, Reply) else Reply(result)


def _key(request: Request) -> str:
    """Return the API key of a call: the bearer's, or the legacy query parameter."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return request.query_params.get("api_key", "")


def _body(raw: bytes) -> Json:
    if not raw:
        return {}
    try:
        body: object = json.loads(raw)
    except ValueError:
        raise invalid("the body must be JSON") from None
    return as_object(body, "the body")


def _refused(error: ApiError) -> Reply:
    return Reply(error.body, error.status)


def _response(reply: Reply) -> Response:
    """Return JSON with exactly `application/json`, which clients insist on, or plain text."""
    headers = dict(reply.headers)
    if isinstance(reply.body, str):
        return PlainTextResponse(reply.body, reply.status, headers)
    return JSONResponse(reply.body, reply.status, headers)
