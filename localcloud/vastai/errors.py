"""The refusals that more than one place gives, in Vast.ai's words."""

from localcloud.vastai.wire import ApiError


def no_such_ask(offer_id: int, *, legacy: bool = False) -> ApiError:
    """Return the 404 for an offer that does not exist; the code moved between two fields."""
    text = f"no_such_ask Instance type by id {offer_id} is not available."
    if legacy:
        return ApiError(404, "invalid_args", f"error 404/3603: {text}", ask_id=offer_id)
    return ApiError(404, "no_such_ask", text, ask_id=offer_id)


def ask_no_longer_available(offer_id: int) -> ApiError:
    """Return the 410 for an offer that was rented meanwhile."""
    text = f"error 410/3907: no_such_ask Instance type by id {offer_id} is no longer available."
    return ApiError(410, "no_such_ask", text, ask_id=offer_id)


def no_such_instance(rental_id: int) -> ApiError:
    """Return the 404 for a contract that does not exist, or no longer."""
    return ApiError(404, "no_such_instance", f"Instance {rental_id} not found.")


def underfunded() -> ApiError:
    """Return the 400 of a create without credit."""
    return ApiError(400, "invalid_args", "Your account lacks credit; see the billing page.")


def missing_billing() -> ApiError:
    """Return the 400 of a start without credit."""
    return ApiError(400, "missing_billing", "You lack credit, see the billing page.")


def bad_key(status: int) -> ApiError:
    """Return the refusal of an unknown key."""
    return ApiError(status, "auth_error", "Invalid user key")
