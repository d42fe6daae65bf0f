"""Routes for searching offers and renting them."""

import json
from dataclasses import replace

from localcloud.vastai.api.endpoint import Call, Endpoint
from localcloud.vastai.errors import ask_no_longer_available, no_such_ask
from localcloud.vastai.faults import Fault
from localcloud.vastai.offers.search import search
from localcloud.vastai.rentals.order import parse_order
from localcloud.vastai.rentals.rental import OCI_ERROR, Order, Rental, Twist
from localcloud.vastai.wire import ApiError, Json, as_id, as_list, as_object, invalid

MAX_BULK = 64


def _search(call: Call) -> Json:
    return _offers(call, call.body, None)


def _search_by_get(call: Call) -> Json:
    query = _json_parameter(call, "q", {})
    return _offers(call, as_object(query, "q"), _json_parameter(call, "select_cols", None))


def _search_asks(call: Call) -> Json:
    query = as_object(call.body.get("q", {}), "q")
    return _offers(call, query, call.body.get("select_cols"))


def _offers(call: Call, query: Json, columns: object) -> Json:
    rows = search(call.cloud.market, query, call.cloud.clock.now())
    call.cloud.log.add("search", found=len(rows))
    if columns is not None:
        names = [str(name) for name in as_list(columns, "select_cols")]
        if "*" not in names:
            rows = [{name: row.get(name) for name in names} for row in rows]
    return {"offers": rows}


def _json_parameter(call: Call, name: str, default: object) -> object:
    try:
        value: object = json.loads(call.query[name]) if name in call.query else default
    except ValueError:
        raise invalid(f"{name} must be JSON, got {call.query[name]!r}") from None
    return value


def _gpu_names(call: Call) -> Json:
    machines = call.cloud.market.machines.values()
    return {"gpu_names": sorted({machine.model.name for machine in machines})}


def _create(call: Call) -> Json:
    rental = _rented(call, call.id(), parse_order(call.body))
    return {
        "success": rental.cur_state == "running",
        "new_contract": rental.id,
        "instance_api_key": f"emulated-{rental.id}",
    }


def _rented(call: Call, offer_id: int, order: Order) -> Rental:
    """Rent an offer, or let the fault of this call get in the way."""
    fault = call.fault
    if fault is not None and fault.kind == "offer_vanishes":
        raise _vanished(call, offer_id, fault)
    if fault is not None and fault.kind == "resources_unavailable":
        return call.cloud.rent_without_gpus(offer_id, order)
    return call.cloud.rent(offer_id, order, _twist(call))


def _vanished(call: Call, offer_id: int, fault: Fault) -> ApiError:
    """Give the offer to somebody else and return the refusal in the asked form."""
    offer = call.cloud.market.offers.get(offer_id)
    if offer is not None:
        call.cloud.market.take(offer.machine.machine_id, offer.gpu_ids)
    if fault.choice("form") == "410":
        return ask_no_longer_available(offer_id)
    return no_such_ask(offer_id, legacy=fault.choice("form") == "404_legacy")


def _twist(call: Call) -> Twist:
    """Return what is to go wrong with the rental; one fault of each kind is used up."""
    names = {"create", "any"}
    faults = call.cloud.faults
    stuck = faults.take({"stuck_loading"}, names)
    broken = faults.take({"boot_error"}, names)
    lag = faults.take({"list_lag"}, names)
    return Twist(
        stuck=stuck is not None,
        boot_error=None if broken is None else broken.text("message") or OCI_ERROR,
        list_lag=0.0 if lag is None else lag.number("seconds", 5.0),
    )


def _create_bulk(call: Call) -> Json:
    ids = [as_id(one, "ids") for one in as_list(call.body.get("ids"), "ids")]
    if not 0 < len(ids) <= MAX_BULK:
        raise invalid(f"ids must have 1 to {MAX_BULK} items, got {len(ids)}")
    order = parse_order(call.body)
    results = [_bulk_result(call, offer_id, order) for offer_id in ids]
    created = [row["new_contract"] for row in results if "new_contract" in row]
    failed = [row["ask_id"] for row in results if "new_contract" not in row]
    return {
        "success": not failed,
        "results": results,
        "created": created,
        "failed": failed,
        "elapsed": 0.1,
    }


def _bulk_result(call: Call, offer_id: int, order: Order) -> Json:
    try:
        rental = _rented(call, offer_id, order)
    except ApiError as error:
        return {"ask_id": offer_id, **error.body}
    return {
        "ask_id": offer_id,
        "success": rental.cur_state == "running",
        "new_contract": rental.id,
        "state": rental.cur_state,
    }


def _launch(call: Call) -> Json:
    """Rent the first offer that the query finds."""
    query = {**as_object(call.body.get("q", {}), "q"), "limit": 1}
    order = parse_order(call.body)
    offers = search(call.cloud.market, query, call.cloud.clock.now())
    if not offers:
        return {"success": False, "error": "offer_not_found", "message": "No matching offers."}
    rental = _rented(call, as_id(offers[0]["id"], "id"), replace(order, cancel_unavail=True))
    return {"success": rental.cur_state == "running", "new_contract": rental.id}


ENDPOINTS = (
    Endpoint(
        name="search",
        method="POST",
        path="/api/v0/bundles",
        handler=_search,
        interval=2.0,
        auth=False,
    ),
    Endpoint(
        name="search_get",
        method="GET",
        path="/api/v0/bundles",
        handler=_search_by_get,
        interval=0.8,
        auth=False,
        group="search",
    ),
    Endpoint(
        name="search_asks",
        method="PUT",
        path="/api/v0/search/asks",
        handler=_search_asks,
        auth=False,
        group="search",
    ),
    Endpoint(
        name="gpu_names",
        method="GET",
        path="/api/v0/gpu_names/unique",
        handler=_gpu_names,
        auth=False,
    ),
    Endpoint(
        name="create_bulk",
        method="POST",
        path="/api/v0/asks/bulk",
        handler=_create_bulk,
        interval=4.5,
        group="create",
    ),
    Endpoint(
        name="create",
        method="PUT",
        path="/api/v0/asks/{id}",
        handler=_create,
        interval=4.5,
        group="create",
    ),
    Endpoint(
        name="launch",
        method="PUT",
        path="/api/v0/launch_instance",
        handler=_launch,
        interval=2.0,
        group="create",
    ),
)
