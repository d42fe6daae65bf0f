"""Routes for volumes: enough to search, rent, list and delete local ones."""

from localcloud.vastai.api.endpoint import Call, Endpoint
from localcloud.vastai.query import matches
from localcloud.vastai.wire import SUCCESS, ApiError, Json, as_id, as_number, invalid

ASK_OFFSET = 1_000_000
"""A machine's volume offer has the machine's id plus this."""


def _search(call: Call) -> Json:
    offers: list[Json] = [
        {
            "id": machine.machine_id + ASK_OFFSET,
            "machine_id": machine.machine_id,
            "host_id": machine.host_id,
            "disk_space": machine.disk_gb // 2,
            "storage_cost": machine.storage_price / 1_000_000,
            "geolocation": machine.geolocation,
            "reliability2": machine.reliability,
            "verification": machine.verification,
            "inet_up": machine.inet_up,
            "inet_down": machine.inet_down,
            "disk_bw": machine.disk_bw,
        }
        for machine in call.cloud.market.machines.values()
    ]
    limit = call.body.get("limit")
    offers = [row for row in offers if matches(row, call.body)]
    return {"offers": offers[: 64 if limit is None else as_id(limit, "limit")]}


def _rent(call: Call) -> Json:
    ask = as_id(call.body.get("id"), "id")
    if ask - ASK_OFFSET not in call.cloud.market.machines:
        raise ApiError(404, "no_such_ask", f"Volume offer {ask} is not available.", ask_id=ask)
    size = as_number(call.body.get("size"), "size")
    if size < 1:
        raise invalid(f"size must be at least 1 GB, got {size:g}")
    volume = call.cloud.add_volume(ask - ASK_OFFSET, size, call.body.get("name"))
    return {"success": True, "volume_name": f"V.{volume}"}


def _list(call: Call) -> Json:
    return {"volumes": list(call.cloud.volumes.values())}


def _delete(call: Call) -> Json:
    volume = as_id(call.query.get("id", call.body.get("id")), "id")
    if volume not in call.cloud.volumes:
        raise ApiError(404, "no_such_volume", f"Volume {volume} not found.")
    flags = f"V.{volume}:"
    if any(flags in key for rental in call.cloud.live() for key, _ in rental.order.env):
        raise ApiError(409, "volume_in_use", "volume in use")
    del call.cloud.volumes[volume]
    return SUCCESS


ENDPOINTS = (
    Endpoint(
        name="volume_search",
        method="POST",
        path="/api/v0/volumes/search",
        handler=_search,
        interval=2.0,
    ),
    Endpoint(name="volume_rent", method="PUT", path="/api/v0/volumes", handler=_rent, interval=1.0),
    Endpoint(name="volume_list", method="GET", path="/api/v0/volumes", handler=_list, interval=2.0),
    Endpoint(
        name="volume_delete",
        method="DELETE",
        path="/api/v0/volumes",
        handler=_delete,
        interval=2.0,
    ),
)
