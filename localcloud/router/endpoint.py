"""What a route is made of."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localcloud.router.state import Router

Handler = Callable[[Router, Request], Awaitable[Response]]


class BadRequest(Exception):
    """A body or a parameter is not what it must be; `detail` says where."""

    def __init__(self, detail: object) -> None:
        super().__init__(str(detail))
        self.detail = detail


def route(
    router: Router, method: str, path: str, handler: Handler, *, always: bool = False
) -> Route:
    """Return a route; one that is not there `always` answers 503 while the router is down."""

    async def serve(request: Request) -> Response:
        if router.is_down and not always:
            return JSONResponse({"status": "down", "error": "out of order"}, 503)
        try:
            return await handler(router, request)
        except BadRequest as error:
            return JSONResponse({"detail": error.detail}, 422)

    return Route(path, serve, methods=[method])
