"""The emulator as an ASGI application: the edge between HTTP and the resources."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localcloud.cloudflare import access, accounts, admin, records, service_tokens, tunnels
from localcloud.cloudflare.calls import Call, Handler, Page, decoded
from localcloud.cloudflare.cloud import Cloud
from localcloud.cloudflare.errors import ApiError, no_route
from localcloud.cloudflare.state import Json

PREFIX = "/client/v4"
ROUTES = (
    *accounts.ROUTES,
    *tunnels.ROUTES,
    *records.ROUTES,
    *access.ROUTES,
    *service_tokens.ROUTES,
)
# Clients retry a 409 or 5xx for many seconds; an ordered fault is meant to be seen.
NO_RETRY = {"x-should-retry": "false"}


def create_app(cloud: Cloud) -> Starlette:
    """Return the application."""

    async def elsewhere(request: Request, error: Exception) -> Response:
        # A path that nothing answers must not tell more than one that is not allowed.
        del error
        path = request.url.path.removeprefix(PREFIX)
        answer = failure(no_route(path))
        _note(cloud, request, answer.status_code)
        return answer

    routes = [_route(cloud, method, path, handler) for method, path, handler in ROUTES]
    handlers = {404: elsewhere, 405: elsewhere}
    app = Starlette(routes=[*routes, *admin.routes(cloud)], exception_handlers=handlers)
    app.router.redirect_slashes = False
    return app


def success(result: object) -> Response:
    """Return the envelope of a result; a page brings `result_info`."""
    envelope: Json = {"success": True, "errors": [], "messages": [], "result": result}
    if isinstance(result, Page):
        envelope |= {"result": result.rows, "result_info": result.info}
    return JSONResponse(envelope)


def failure(error: ApiError, *, retry: bool = True) -> Response:
    """Return the envelope of an error."""
    told = [{"code": error.code, "message": error.message}]
    envelope = {"success": False, "errors": told, "messages": [], "result": None}
    return JSONResponse(envelope, error.status, headers=None if retry else NO_RETRY)


def _route(cloud: Cloud, method: str, path: str, handler: Handler) -> Route:
    async def serve(request: Request) -> Response:
        raw = await request.body()
        answer = _answer(cloud, request, handler, raw)
        _note(cloud, request, answer.status_code)
        return answer

    # Without HEAD: Starlette adds it to GET, Cloudflare's API does not have it.
    route = Route(PREFIX + path, serve, methods=[method])
    route.methods = {method}
    return route


def _answer(cloud: Cloud, request: Request, handler: Handler, raw: bytes) -> Response:
    path = request.url.path.removeprefix(PREFIX)
    try:
        cloud.authorize(request.headers.get("authorization"), path)
        fault = cloud.faults.take(request.method, path)
        if fault is not None and not fault[1]:
            return failure(fault[0], retry=False)
        cloud.check_scope(request.path_params, path)
        result = cloud.do(handler, _call(cloud, request, raw), request.method)
    except ApiError as error:
        return failure(error)
    return success(result) if fault is None else failure(fault[0], retry=False)


def _call(cloud: Cloud, request: Request, raw: bytes) -> Call:
    sent = decoded(raw)
    return Call(cloud.state, cloud.source, request.path_params, request.query_params, sent)


def _note(cloud: Cloud, request: Request, status: int) -> None:
    facts = {"method": request.method, "path": request.url.path.removeprefix(PREFIX)}
    cloud.calls.append({**facts, "query": request.url.query, "status": status})
