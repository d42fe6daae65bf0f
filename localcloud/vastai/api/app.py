"""The emulator as an ASGI application."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localcloud.vastai.api import account, admin, instances, offers, volumes
from localcloud.vastai.api.edge import Edge
from localcloud.vastai.api.endpoint import Endpoint

# Fixed paths stand before those with an id in the same place.
ENDPOINTS = (
    *offers.ENDPOINTS,
    *instances.ENDPOINTS,
    *account.ENDPOINTS,
    *volumes.ENDPOINTS,
)


def create_app(edge: Edge) -> Starlette:
    """Return the application; while it lives, machines boot by themselves."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        keeper = asyncio.create_task(edge.keep_time())
        try:
            yield
        finally:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
            await edge.machines.close()

    routes = [route for endpoint in ENDPOINTS for route in _routes(edge, endpoint)]
    app = Starlette(routes=[*routes, *admin.routes(edge)], lifespan=lifespan)
    app.router.redirect_slashes = False
    return app


def _routes(edge: Edge, endpoint: Endpoint) -> list[Route]:
    """Return an endpoint's routes: Vast.ai answers with and without a slash at the end."""

    async def serve(request: Request) -> Response:
        return await edge.serve(endpoint, request)

    return [
        Route(path, serve, methods=[endpoint.method])
        for path in (endpoint.path, endpoint.path + "/")
    ]
