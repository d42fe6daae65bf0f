"""Access service tokens: credentials of machines. A client secret is told once and not kept."""

import re
from datetime import datetime, timedelta

from localcloud.cloudflare.access import tokens_named
from localcloud.cloudflare.calls import Call, Handler, Page, found, page, text
from localcloud.cloudflare.errors import ApiError, bad_request
from localcloud.cloudflare.source import stamp
from localcloud.cloudflare.state import Json

INVALID = 12130
YEAR = "8760h"
FOREVER = "forever"
FAR = datetime.fromisoformat("9999-12-31T23:59:59+00:00")
SETTABLE = frozenset(
    {"name", "duration", "enabled", "client_secret_version", "previous_client_secret_expires_at"}
)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def create(call: Call) -> Json:
    """Add a token; only this answer and that of a rotation hold the client secret."""
    now = call.source.now()
    sent: Json = {"duration": YEAR, "client_secret_version": 1, **_settings(call.body)}
    token: Json = {
        **sent,
        "id": call.source.uuid(),
        "client_id": f"{call.source.hexadecimal(32)}.access",
        "created_at": stamp(now),
        "updated_at": stamp(now),
        "expires_at": stamp(_expiry(now, sent["duration"])),
    }
    call.state.service_tokens[token["id"]] = token
    return {**token, "client_secret": call.source.hexadecimal(64)}


def listed(call: Call) -> Page:
    """Return the tokens, by `name`."""
    wanted = call.query.get("name")
    rows = call.state.service_tokens.values()
    return page(call, [row for row in rows if wanted is None or row["name"] == wanted])


def get(call: Call) -> Json:
    """Return a token without its secret."""
    missing = ApiError(404, 11021, "access.api.error.not_found: service token")
    return found(call.state.service_tokens, call.path["id"], missing)


def replace(call: Call) -> Json:
    """Change a token; a higher `client_secret_version` gives it a new secret."""
    token = get(call)
    sent = _settings({**token, **call.body})
    version = sent["client_secret_version"]
    rotates = version > token["client_secret_version"]
    if version < token["client_secret_version"]:
        raise bad_request(INVALID, f"client_secret_version cannot fall to {version!r}")
    if rotates and not sent.get("previous_client_secret_expires_at"):
        raise bad_request(INVALID, "a rotation needs previous_client_secret_expires_at")
    now = call.source.now()
    if sent["duration"] != token["duration"]:
        token["expires_at"] = stamp(_expiry(now, sent["duration"]))
    token.update(sent, updated_at=stamp(now))
    return {**token, "client_secret": call.source.hexadecimal(64)} if rotates else token


def rotate(call: Call) -> Json:
    """Give a token a new secret at once."""
    token = get(call)
    token["client_secret_version"] += 1
    token["updated_at"] = stamp(call.source.now())
    return {**token, "client_secret": call.source.hexadecimal(64)}


def refresh(call: Call) -> Json:
    """Let a token's life begin anew."""
    token = get(call)
    now = call.source.now()
    token.update(expires_at=stamp(_expiry(now, token["duration"])), updated_at=stamp(now))
    return token


def delete(call: Call) -> Json:
    """Remove a token that no policy names."""
    token = get(call)
    users = [
        row["name"] for row in call.state.policies.values() if token["id"] in tokens_named(row)
    ]
    if users:
        named = ", ".join(users)
        raise bad_request(12139, f"access.api.error.service_token_in_use: by the policies {named}")
    return call.state.service_tokens.pop(token["id"])


def _settings(body: Json) -> Json:
    sent = {name: body[name] for name in SETTABLE & body.keys() if body[name] is not None}
    text(sent, "name", INVALID)
    if "duration" in sent:
        seconds(text(sent, "duration", INVALID))
    version = sent.get("client_secret_version", 1)
    if isinstance(version, bool) or not isinstance(version, int | float) or version < 1:
        raise bad_request(INVALID, f"client_secret_version must be 1 or more, got {version!r}")
    return sent


def seconds(duration: str) -> float | None:
    """Return how long a Go duration such as `2h45m` is; None is forever."""
    if duration == FOREVER:
        return None
    if not re.fullmatch(rf"(?:{_PART.pattern})+", duration):
        raise bad_request(INVALID, f"duration must be like 8760h or 2h45m, got {duration!r}")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(duration))


def _expiry(now: datetime, duration: str) -> datetime:
    length = seconds(duration)
    try:
        return FAR if length is None else now + timedelta(seconds=length)
    except OverflowError:
        return FAR


_TOKENS = "/accounts/{account}/access/service_tokens"
ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("POST", _TOKENS, create),
    ("GET", _TOKENS, listed),
    ("GET", f"{_TOKENS}/{{id}}", get),
    ("PUT", f"{_TOKENS}/{{id}}", replace),
    ("DELETE", f"{_TOKENS}/{{id}}", delete),
    ("POST", f"{_TOKENS}/{{id}}/rotate", rotate),
    ("POST", f"{_TOKENS}/{{id}}/refresh", refresh),
)
