"""The account, its zone, and whether the token is good."""

from localcloud.cloudflare.calls import Call, Handler, Page, page
from localcloud.cloudflare.state import Json


def verify(_call: Call) -> Json:
    """Say that the token is active; a wrong one never comes this far."""
    return {"id": "0" * 32, "status": "active"}


def account(call: Call) -> Json:
    """Return the account."""
    return call.state.account


def accounts(call: Call) -> Page:
    """Return the only account."""
    return page(call, [call.state.account])


def zone(call: Call) -> Json:
    """Return the zone."""
    return call.state.zone


def zones(call: Call) -> Page:
    """Return the zone if it has the `name`, `status` and account that were asked for."""
    row = call.state.zone
    facts = {"name": row["name"], "status": row["status"], "account.id": row["account"]["id"]}
    fits = all(call.query.get(name, fact) == fact for name, fact in facts.items())
    return page(call, [row] if fits else [])


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/user/tokens/verify", verify),
    ("GET", "/accounts/{account}/tokens/verify", verify),
    ("GET", "/accounts", accounts),
    ("GET", "/accounts/{account}", account),
    ("GET", "/zones", zones),
    ("GET", "/zones/{zone}", zone),
)
