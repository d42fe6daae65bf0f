"""The router as an ASGI application: the contract of docs/router.md."""

import contextlib
from collections.abc import AsyncGenerator

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.router import admin
from localcloud.router.endpoint import BadRequest, route
from localcloud.router.providers import Registration
from localcloud.router.state import Router


def create_app(router: Router) -> Starlette:
    """Return the application; while it lives, jobs are handed out."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        router.dispatcher.start()
        try:
            yield
        finally:
            await router.dispatcher.close()

    routes = [
        route(router, "POST", "/api/providers", _register),
        route(router, "GET", "/api/providers", _listed),
        route(router, "DELETE", "/api/providers", _deregister),
        route(router, "GET", "/healthz", _health),
    ]
    return Starlette(routes=[*routes, *admin.routes(router)], lifespan=lifespan)


async def _register(router: Router, request: Request) -> Response:
    try:
        registration = Registration.model_validate_json(await request.body())
    except ValidationError as error:
        # What was sent may be no text, and then is no part of an answer either.
        told = error.errors(include_url=False, include_input=False, include_context=False)
        raise BadRequest(told) from None
    changed = router.register(registration)
    return JSONResponse({"endpoint": registration.endpoint, "changed": changed})


async def _listed(router: Router, _request: Request) -> Response:
    return JSONResponse({"providers": router.registry.rows()})


async def _deregister(router: Router, request: Request) -> Response:
    endpoint = request.query_params.get("endpoint")
    if not endpoint:
        raise BadRequest("endpoint is required")
    if not router.deregister(endpoint):
        return JSONResponse({"error": f"no provider {endpoint}"}, 404)
    return JSONResponse({"endpoint": endpoint})


async def _health(router: Router, _request: Request) -> Response:
    waiting, trouble = await router.depth()
    facts = {"status": "degraded" if trouble else "ok", "redis": trouble or "ok"}
    return JSONResponse({**facts, "waiting": waiting}, 503 if trouble else 200)
