"""Admin routes under `/_admin/`, without a token: looking inside, and what others would do."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localcloud.cloudflare import tunnels
from localcloud.cloudflare.calls import decoded, text
from localcloud.cloudflare.cloud import Cloud
from localcloud.cloudflare.errors import ApiError
from localcloud.cloudflare.state import Json

Handler = Callable[[Cloud, Json], Json]


def routes(cloud: Cloud) -> list[Route]:
    """Return the admin routes of one emulator."""
    handlers: tuple[tuple[str, str, Handler], ...] = (
        ("GET", "state", _state),
        ("GET", "calls", _calls),
        ("GET", "faults", _faults),
        ("POST", "connect", _connect),
        ("POST", "disconnect", _disconnect),
        ("POST", "seed", _seed),
        ("POST", "faults", _order),
        ("DELETE", "faults", _cancel),
        ("POST", "reset", _reset),
    )
    return [_route(cloud, method, f"/_admin/{name}", handler) for method, name, handler in handlers]


def _state(cloud: Cloud, _body: Json) -> Json:
    return cloud.state.shown()


def _calls(cloud: Cloud, _body: Json) -> Json:
    return {"calls": list(cloud.calls)}


def _faults(cloud: Cloud, _body: Json) -> Json:
    return {"faults": [fault.as_json() for fault in cloud.faults.waiting]}


def _connect(cloud: Cloud, body: Json) -> Json:
    tunnel = tunnels.connect(cloud.state, cloud.source, text(body, "tunnel_id"))
    cloud.keep()
    return tunnel


def _disconnect(cloud: Cloud, body: Json) -> Json:
    tunnel = tunnels.disconnect(cloud.state, cloud.source, text(body, "tunnel_id"))
    cloud.keep()
    return tunnel


def _seed(cloud: Cloud, body: Json) -> Json:
    return cloud.seed(body)


def _order(cloud: Cloud, body: Json) -> Json:
    return cloud.faults.order(body).as_json()


def _cancel(cloud: Cloud, _body: Json) -> Json:
    count = len(cloud.faults.waiting)
    cloud.faults.waiting.clear()
    return {"cancelled": count}


def _reset(cloud: Cloud, _body: Json) -> Json:
    cloud.reset()
    return {"reset": True}


def _route(cloud: Cloud, method: str, path: str, handler: Handler) -> Route:
    async def serve(request: Request) -> Response:
        raw = await request.body()
        try:
            return JSONResponse(handler(cloud, decoded(raw)))
        except ApiError as error:
            status = 404 if error.status == 404 else 422  # noqa: PLR2004 - not found stays that
            return JSONResponse({"detail": error.message}, status)

    return Route(path, serve, methods=[method])
