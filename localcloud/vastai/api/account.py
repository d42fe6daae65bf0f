"""Routes for the account: who am I, SSH keys of the account and of rentals."""

from localcloud.vastai.account import USER_ID, checked_key
from localcloud.vastai.api.endpoint import Call, Endpoint
from localcloud.vastai.billing import UNITS_PER_DOLLAR
from localcloud.vastai.wire import SUCCESS, ApiError, Json, Reply


def _me(call: Call) -> Json:
    credit = call.cloud.credit() / UNITS_PER_DOLLAR
    keys = [str(row["public_key"]) for row in call.cloud.account.keys.values()]
    return {
        "id": USER_ID,
        "email": "renter@example.com",
        "username": "renter",
        "fullname": "Emulated Renter",
        "credit": credit,
        "balance": 0.0,
        "balance_threshold": 0.0,
        "ssh_key": keys[0] if keys else None,
        "sid": None,
        "can_pay": True,
        "has_billing": True,
        "has_payout": False,
        "host_only": False,
        "host_agreement_accepted": False,
        "total_spent": call.cloud.bill() / UNITS_PER_DOLLAR,
    }


def _keys(call: Call) -> Reply:
    return Reply(list(call.cloud.account.keys.values()))


def _add_key(call: Call) -> Json:
    row = call.cloud.account.add_key(checked_key(call.body.get("ssh_key")), call.cloud.clock.now())
    return {"success": True, "key": row}


def _change_key(call: Call) -> Json:
    row = call.cloud.account.key(call.id())
    row["public_key"] = checked_key(call.body.get("ssh_key"))
    return {"success": True, "key": row}


def _remove_key(call: Call) -> Json:
    call.cloud.account.key(call.id())
    del call.cloud.account.keys[call.id()]
    return SUCCESS


def _rental_keys(call: Call) -> Json:
    return {"success": True, "ssh_keys": list(call.rental().ssh_keys)}


def _attach_key(call: Call) -> Json:
    rental = call.rental()
    text = checked_key(call.body.get("ssh_key"))
    if any(row["public_key"] == text for row in rental.ssh_keys):
        msg = "SSH key already associated with instance."
        return {"success": False, "error": "already_associated", "msg": msg}
    row = call.cloud.account.add_key(text, call.cloud.clock.now())
    rental.ssh_keys.append(row)
    return {"success": True, "msg": "SSH key added to instance.", "key": row}


def _detach_key(call: Call) -> Json:
    rental = call.rental()
    kept = [row for row in rental.ssh_keys if row["id"] != call.id("key")]
    if len(kept) == len(rental.ssh_keys):
        raise ApiError(404, "no_such_key", f"SSH key {call.id('key')} not found.")
    rental.ssh_keys = kept
    return {"success": True, "msg": "SSH key removed from instance."}


ENDPOINTS = (
    Endpoint(name="user", method="GET", path="/api/v0/users/current", handler=_me),
    Endpoint(name="ssh_keys", method="GET", path="/api/v0/ssh", handler=_keys, interval=1.0),
    Endpoint(name="ssh_add", method="POST", path="/api/v0/ssh", handler=_add_key, interval=1.0),
    Endpoint(
        name="ssh_change", method="PUT", path="/api/v0/ssh/{id}", handler=_change_key, interval=1.0
    ),
    Endpoint(
        name="ssh_remove",
        method="DELETE",
        path="/api/v0/ssh/{id}",
        handler=_remove_key,
        interval=1.0,
    ),
    Endpoint(
        name="ssh_of_instance",
        method="GET",
        path="/api/v0/instances/{id}/ssh",
        handler=_rental_keys,
        interval=2.0,
    ),
    Endpoint(
        name="ssh_attach",
        method="POST",
        path="/api/v0/instances/{id}/ssh",
        handler=_attach_key,
        interval=2.0,
    ),
    Endpoint(
        name="ssh_detach",
        method="DELETE",
        path="/api/v0/instances/{id}/ssh/{key}",
        handler=_detach_key,
        interval=2.0,
    ),
)
