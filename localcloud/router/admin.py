"""Admin routes under `/_admin/`: looking inside, and ordering faults. They always answer."""

import json
import math
import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from contracts.narrowing import is_object
from localcloud.router.endpoint import BadRequest, route
from localcloud.router.journal import Journal
from localcloud.router.state import Router


def routes(router: Router) -> list[Route]:
    """Return the admin routes of one router."""
    handlers = (
        ("GET", "state", _state),
        ("GET", "jobs", _jobs),
        ("GET", "events", _events),
        ("POST", "forget", _forget),
        ("POST", "down", _down),
        ("POST", "up", _up),
    )
    return [
        route(router, method, f"/_admin/{name}", handler, always=True)
        for method, name, handler in handlers
    ]


async def _state(router: Router, _request: Request) -> Response:
    waiting, trouble = await router.depth()
    facts = {"waiting": waiting, "redis": trouble or "ok", **router.account.as_json()}
    return JSONResponse({**facts, "providers": router.registry.rows()})


async def _jobs(router: Router, request: Request) -> Response:
    return _since(request, "jobs", router.account.finished)


async def _events(router: Router, request: Request) -> Response:
    return _since(request, "events", router.account.events)


async def _forget(router: Router, _request: Request) -> Response:
    return JSONResponse({"forgotten": router.forget()})


async def _down(router: Router, request: Request) -> Response:
    router.down_until = time.monotonic() + _seconds(await request.body())
    return JSONResponse({"down": True})


async def _up(router: Router, _request: Request) -> Response:
    router.down_until = 0.0
    return JSONResponse({"down": False})


def _since(request: Request, name: str, journal: Journal) -> Response:
    try:
        first = int(request.query_params.get("since", "0"))
    except ValueError:
        raise BadRequest("since must be an integer") from None
    rows, following = journal.since(first)
    return JSONResponse({name: rows, "next": following})


def _seconds(raw: bytes) -> float:
    """Return for how long; without a number, until it is told otherwise."""
    try:
        body: object = json.loads(raw or b"{}")
    except ValueError:
        body = None
    if not is_object(body):
        raise BadRequest("the body must be an object")
    seconds: object = body.get("seconds", math.inf)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
        raise BadRequest("seconds must be a number from 0 up")
    return seconds
