"""Routes for reading, changing and destroying rentals."""

from localcloud.vastai.api.endpoint import Call, Endpoint
from localcloud.vastai.rentals.lifecycle import (
    change_bid,
    change_state,
    relabel,
    restart,
    update_template,
)
from localcloud.vastai.rentals.listing import list_page
from localcloud.vastai.rentals.rental import Rental, Status
from localcloud.vastai.wire import SUCCESS, ApiError, Json, Reply, as_id, as_list, invalid

MAX_BULK = 64


def _list(call: Call) -> Json:
    now = call.cloud.clock.now()
    rows = [
        call.record(rental)
        for rental in call.cloud.live()
        if rental.created_at + rental.twist.list_lag <= now
    ]
    return list_page(rows, call.query)


def _list_old(_call: Call) -> Reply:
    raise ApiError(410, "deprecated_endpoint", "Use /api/v1/instances/ instead.")


def _list_lite(_call: Call) -> Reply:
    raise ApiError(404, "not_found", "Not found.")


def _show(call: Call) -> Json:
    rental = call.cloud.find(call.id())
    return {"instances": None if rental is None else call.record(rental)}


def _change(call: Call) -> Json:
    rental = call.rental()
    if "label" in call.body:
        relabel(call.cloud, rental, call.body["label"])
        return SUCCESS
    return change_state(call.cloud, rental, call.body.get("state"))


def _change_bulk(call: Call) -> Json:
    answers = [
        change_state(call.cloud, rental, call.body.get("state")) for rental in _several(call, "ids")
    ]
    return next((answer for answer in answers if not answer["success"]), SUCCESS)


def _destroy(call: Call) -> Json:
    call.cloud.destroy(call.rental())
    return SUCCESS


def _destroy_bulk(call: Call) -> Json:
    for rental in _several(call, "instance_ids"):
        call.cloud.destroy(rental)
    return SUCCESS


def _several(call: Call, field: str) -> list[Rental]:
    """Return the rentals that a bulk call names; unknown ones are skipped unless all are."""
    ids = [as_id(one, field) for one in as_list(call.body.get(field), field)]
    if len(ids) > MAX_BULK:
        raise invalid(f"{field} must have at most {MAX_BULK} items, got {len(ids)}")
    found = [rental for rental in map(call.cloud.find, dict.fromkeys(ids)) if rental is not None]
    if not found:
        raise ApiError(404, "instances_not_found", f"Instances {ids} not found.")
    return found


def _reboot(call: Call) -> Json:
    return restart(call.cloud, call.rental(), Status.REBOOTING)


def _recycle(call: Call) -> Json:
    return restart(call.cloud, call.rental(), Status.RECYCLING)


def _bid(call: Call) -> Json:
    return change_bid(call.cloud, call.rental(), call.body.get("price"))


def _template(call: Call) -> Json:
    return update_template(call.cloud, call.rental(), call.body)


def _prepay(call: Call) -> Json:
    call.rental()
    return {"success": True, "timescale": 1.0, "discount_rate": 0.0}


def _logs(call: Call) -> Json:
    rental = call.rental()
    events = [event for event in call.cloud.log.since(0) if event.get("id") == rental.id]
    lines = [str(event.get("status", event["event"])) for event in events]
    tail = call.body.get("tail")
    if tail is not None:
        lines = lines[-as_id(tail, "tail") :]
    return _result(call, "\n".join(lines) + "\n")


def _command(call: Call) -> Json:
    rental = call.rental()
    command = str(call.body.get("command", ""))
    if rental.status is not Status.STOPPED:
        raise invalid("Commands run only on stopped instances.")
    if command.split(" ", 1)[0] not in {"ls", "du", "rm"}:
        raise invalid(f"Command must be ls, du or rm, got {command!r}.")
    return {**_result(call, ""), "writeable_path": f"/var/lib/emulated/C.{rental.id}"}


def _result(call: Call, text: str) -> Json:
    """Return where a text can be fetched; the URL works without a key."""
    url = f"{call.base_url}_results/{call.results.add(text)}"
    return {"success": True, "result_url": url, "msg": "Result will be available shortly."}


def _fetch_result(call: Call) -> Reply:
    return call.results.fetch(call.path["token"])


def _filters(call: Call) -> Json:
    rows = [call.record(rental) for rental in call.cloud.live()]
    columns = ("actual_status", "gpu_name", "verification")
    seen = dict.fromkeys(tuple(row[column] for column in columns) for row in rows)
    return {"filters": [dict(zip(columns, values, strict=True)) for values in seen]}


ENDPOINTS = (
    Endpoint(
        name="list",
        method="GET",
        path="/api/v1/instances",
        handler=_list,
        interval=1.0,
    ),
    Endpoint(name="list_lite", method="GET", path="/api/v1/instances/lite", handler=_list_lite),
    Endpoint(
        name="list_old", method="GET", path="/api/v0/instances", handler=_list_old, interval=20.0
    ),
    Endpoint(name="filters", method="GET", path="/api/v0/instances/filters", handler=_filters),
    Endpoint(
        name="change_bulk",
        method="PUT",
        path="/api/v0/instances",
        handler=_change_bulk,
        interval=4.0,
        group="change",
    ),
    Endpoint(
        name="destroy_bulk",
        method="DELETE",
        path="/api/v0/instances",
        handler=_destroy_bulk,
        interval=3.0,
        group="destroy",
    ),
    Endpoint(
        name="reboot",
        method="PUT",
        path="/api/v0/instances/reboot/{id}",
        handler=_reboot,
        interval=1.0,
    ),
    Endpoint(
        name="recycle",
        method="PUT",
        path="/api/v0/instances/recycle/{id}",
        handler=_recycle,
        interval=1.0,
    ),
    Endpoint(
        name="bid",
        method="PUT",
        path="/api/v0/instances/bid_price/{id}",
        handler=_bid,
        interval=5.5,
    ),
    Endpoint(
        name="update_template",
        method="PUT",
        path="/api/v0/instances/update_template/{id}",
        handler=_template,
        interval=2.0,
    ),
    Endpoint(name="prepay", method="PUT", path="/api/v0/instances/prepay/{id}", handler=_prepay),
    Endpoint(name="logs", method="PUT", path="/api/v0/instances/request_logs/{id}", handler=_logs),
    Endpoint(
        name="command",
        method="PUT",
        path="/api/v0/instances/command/{id}",
        handler=_command,
        interval=1.5,
    ),
    Endpoint(
        name="result", method="GET", path="/_results/{token}", handler=_fetch_result, auth=False
    ),
    Endpoint(name="show", method="GET", path="/api/v0/instances/{id}", handler=_show, interval=2.0),
    Endpoint(
        name="change", method="PUT", path="/api/v0/instances/{id}", handler=_change, interval=1.0
    ),
    Endpoint(
        name="destroy",
        method="DELETE",
        path="/api/v0/instances/{id}",
        handler=_destroy,
        interval=3.0,
    ),
)
