"""Admin routes under `/_admin/`: looking inside, ordering faults, moving time. No key needed."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localcloud.vastai.api.edge import Edge
from localcloud.vastai.api.endpoint import Call, Handler
from localcloud.vastai.billing import UNITS_PER_DOLLAR, dollar_text
from localcloud.vastai.cloud import Cloud
from localcloud.vastai.rentals.lifecycle import befall
from localcloud.vastai.rentals.rental import Rental
from localcloud.vastai.wire import SUCCESS, Json, as_number, flag, invalid


def state(cloud: Cloud) -> Json:
    """Return everything that exists or did, with bills in dollars as decimal text."""
    now = cloud.clock.now()
    return {
        "now": now,
        "rentals": [rental_state(rental, now) for rental in cloud.rentals.values()],
        "live": sum(1 for _ in cloud.live()),
        "total_bill": dollar_text(cloud.bill()),
        "credit": dollar_text(cloud.credit()),
        "offers": len(cloud.market.offers),
        "endpoints": cloud.counters.as_json(),
        "limits": {"enabled": cloud.limits.enabled, "form": cloud.limits.form},
        "faults": [fault.as_json() for fault in cloud.faults.waiting],
    }


def rental_state(rental: Rental, now: float) -> Json:
    """Return the inside of a rental; unlike the API it shows the offer, the bid and the bill."""
    return {
        "id": rental.id,
        "label": rental.order.label,
        "offer_id": rental.offer.id,
        "machine_id": rental.offer.machine.machine_id,
        "gpu_name": rental.offer.machine.model.name,
        "num_gpus": rental.offer.gpus,
        "status": rental.status,
        "intended": rental.intended,
        "cur_state": rental.cur_state,
        "live": rental.live,
        "serves": rental.serves,
        "is_bid": rental.is_bid,
        "queued": rental.queued,
        "created_at": rental.created_at,
        "destroyed_at": rental.destroyed_at,
        "gpu_rate_micros": rental.gpu_rate,
        "storage_rate_micros": rental.storage_rate,
        "gpu_bill": dollar_text(rental.gpu.read(now)),
        "storage_bill": dollar_text(rental.storage.read(now)),
        "bill": dollar_text(rental.bill(now)),
    }


def _state(call: Call) -> Json:
    return state(call.cloud)


def _order_fault(call: Call) -> Json:
    return {"success": True, "fault": call.cloud.faults.order(call.body).as_json()}


def _clear_faults(call: Call) -> Json:
    call.cloud.faults.clear()
    return SUCCESS


def _befall(call: Call) -> Json:
    rental = call.rental()
    befall(call.cloud, rental, call.path["fate"])
    return rental_state(rental, call.cloud.clock.now())


def _limits(call: Call) -> Json:
    limits = call.cloud.limits
    limits.enabled = flag(call.body, "enabled", default=limits.enabled)
    form = call.body.get("form", limits.form)
    if form not in {"text", "json", "retry_after"}:
        raise invalid(f"form must be text, json or retry_after, got {form!r}")
    limits.form = str(form)
    limits.clear()
    return SUCCESS


def _clock(call: Call) -> Json:
    seconds = as_number(call.body.get("advance", 0), "advance")
    if seconds < 0:
        raise invalid(f"advance must not be negative, got {seconds:g}")
    call.cloud.clock.advance(seconds)
    call.cloud.log.add("clock_advanced", seconds=seconds)
    return {"now": call.cloud.clock.now()}


def _credit(call: Call) -> Json:
    """Set what is left now."""
    left = as_number(call.body.get("credit"), "credit")
    call.cloud.account.credit = round(left * UNITS_PER_DOLLAR) + call.cloud.bill()
    return {"credit": dollar_text(call.cloud.credit())}


def _events(call: Call) -> Json:
    try:
        first = int(call.query.get("since", "0"))
    except ValueError:
        raise invalid("since must be an integer") from None
    events = call.cloud.log.since(first)
    return {"events": events, "next": first + len(events)}


def routes(edge: Edge) -> list[Route]:
    """Return the admin routes of one emulator."""

    def _hold(call: Call) -> Json:
        edge.holds.order(call.body)
        return SUCCESS

    def _release(call: Call) -> Json:
        return {"released": edge.holds.release(call.body)}

    def _held(_call: Call) -> Json:
        return {"held": edge.holds.waiting()}

    def route(method: str, path: str, handler: Handler) -> Route:
        async def serve(request: Request) -> Response:
            return await edge.admin(handler, request)

        return Route(f"/_admin/{path}", serve, methods=[method])

    return [
        route("GET", "state", _state),
        route("GET", "events", _events),
        route("POST", "faults", _order_fault),
        route("DELETE", "faults", _clear_faults),
        route("POST", "instances/{id}/{fate}", _befall),
        route("POST", "limits", _limits),
        route("POST", "clock", _clock),
        route("POST", "credit", _credit),
        route("POST", "hold", _hold),
        route("POST", "release", _release),
        route("GET", "held", _held),
    ]
