"""Tunnels, their configurations, their tokens, and the connectors that tests let connect."""

import base64
import binascii
import json
from typing import Any

from contracts.narrowing import is_object
from localcloud.cloudflare.calls import Call, Handler, Page, choice, found, objects, page, text
from localcloud.cloudflare.errors import ApiError, bad_request
from localcloud.cloudflare.source import Source, stamp
from localcloud.cloudflare.state import Json, State

SOURCES = ("cloudflare", "local")
SECRET_BYTES = 32
CHANGEABLE = frozenset({"name", "config_src", "tunnel_secret"})


def create(call: Call) -> Json:
    """Make a tunnel that no connector serves yet."""
    name = _free_name(call.state, text(call.body, "name"))
    config_src = choice({"config_src": "local", **call.body}, "config_src", SOURCES)
    secret = _secret(call.body) or _new_secret(call.source)
    tunnel: Json = {
        **_public(call.body),
        **_new(call.state, call.source.uuid(), name, stamp(call.source.now())),
        "config_src": config_src,
        "remote_config": config_src == "cloudflare",
    }
    call.state.tunnels[tunnel["id"]] = tunnel
    call.state.secrets[tunnel["id"]] = secret
    return tunnel


def _new(state: State, tunnel_id: str, name: str, now: str) -> Json:
    return {
        "id": tunnel_id,
        "account_tag": state.account["id"],
        "name": name,
        "created_at": now,
        "deleted_at": None,
        "conns_active_at": None,
        "conns_inactive_at": None,
        "connections": [],
        "status": "inactive",
        "tun_type": "cfd_tunnel",
        "metadata": {},
    }


def listed(call: Call) -> Page:
    """Return tunnels by `name`, `uuid`, `status`, and whether they are deleted."""
    rows = list(call.state.tunnels.values())
    for parameter, key in (("name", "name"), ("uuid", "id"), ("status", "status")):
        wanted = call.query.get(parameter)
        rows = [row for row in rows if wanted is None or row[key] == wanted]
    deleted = call.query.get("is_deleted")
    if deleted is not None:
        rows = [row for row in rows if (row["deleted_at"] is not None) == (deleted == "true")]
    return page(call, rows)


def get(call: Call) -> Json:
    """Return a tunnel; a deleted one too, as Cloudflare does."""
    return found(call.state.tunnels, call.path["id"], _missing())


def edit(call: Call) -> Json:
    """Change what the body names and nothing else."""
    tunnel = live(call.state, call.path["id"])
    strange = sorted(call.body.keys() - CHANGEABLE)
    if strange:
        raise bad_request(1003, f"a tunnel's {', '.join(strange)} cannot be changed")
    secret = _secret(call.body)
    changes = _public(call.body)
    if "name" in changes and text(changes, "name") != tunnel["name"]:
        _free_name(call.state, changes["name"])
    if "config_src" in changes:
        changes["remote_config"] = choice(changes, "config_src", SOURCES) == "cloudflare"
    if secret:
        call.state.secrets[tunnel["id"]] = secret
    tunnel.update(changes)
    return tunnel


def delete(call: Call) -> Json:
    """Delete a tunnel that no connector is connected to."""
    tunnel = live(call.state, call.path["id"])
    if tunnel["connections"]:
        raise bad_request(
            1022, "Cannot delete tunnel because it has active connections. Stop cloudflared first."
        )
    tunnel["deleted_at"] = stamp(call.source.now())
    call.state.configurations.pop(tunnel["id"], None)
    call.state.secrets.pop(tunnel["id"], None)
    return tunnel


def token(call: Call) -> str:
    """Return what `cloudflared tunnel run` is given: a bare string."""
    tunnel = live(call.state, call.path["id"])
    facts = {"a": tunnel["account_tag"], "t": tunnel["id"], "s": call.state.secrets[tunnel["id"]]}
    return base64.b64encode(json.dumps(facts, separators=(",", ":")).encode()).decode()


def connections(call: Call) -> Page:
    """Return the connections of a tunnel."""
    return page(call, live(call.state, call.path["id"])["connections"])


def configuration(call: Call) -> Json:
    """Return the configuration; version 0 without rules if there never was one."""
    tunnel = live(call.state, call.path["id"])
    known = call.state.configurations.get(tunnel["id"])
    if known is not None:
        return known
    return _configuration(tunnel, None, 0, tunnel["created_at"])


def configure(call: Call) -> Json:
    """Replace the whole configuration; its version grows by one."""
    tunnel = live(call.state, call.path["id"])
    config: object = call.body.get("config")
    if not is_object(config):
        raise bad_request(1003, f"config must be an object, got {config!r}")
    check_ingress(config)
    version = configuration(call)["version"] + 1
    made = _configuration(tunnel, config, version, stamp(call.source.now()))
    stored = {**made, "source": call.body.get("source", "cloudflare")}
    call.state.configurations[tunnel["id"]] = stored
    return stored


def _configuration(tunnel: Json, config: Json | None, version: int, now: str) -> Json:
    return {
        "account_id": tunnel["account_tag"],
        "tunnel_id": tunnel["id"],
        "version": version,
        "config": config,
        "source": tunnel["config_src"],
        "created_at": now,
    }


def check_ingress(config: Json) -> None:
    """Raise unless each rule has a service and only the last one catches all."""
    rules = objects(config, "ingress", 1056)
    for number, rule in enumerate(rules):
        text(rule, "service", 1056)
        last = number == len(rules) - 1
        catches_all = not rule.get("hostname") and not rule.get("path")
        if last and not catches_all:
            raise bad_request(1056, "The last ingress rule must match all URLs, without hostname")
        if catches_all and not last:
            raise bad_request(1056, f"Rule #{number + 1} matches all URLs, but is not the last")


def connect(state: State, source: Source, tunnel_id: str) -> Json:
    """Let a connector connect, as cloudflared would."""
    tunnel = live(state, tunnel_id)
    now = stamp(source.now())
    connection: dict[str, Any] = {
        "id": source.uuid(),
        "client_id": source.uuid(),
        "client_version": "2026.1.0",
        "colo_name": "loc01",
        "is_pending_reconnect": False,
        "opened_at": now,
        "origin_ip": "127.0.0.1",
    }
    tunnel["connections"].append({**connection, "uuid": connection["id"]})
    tunnel.update(status="healthy", conns_active_at=now, conns_inactive_at=None)
    return tunnel


def disconnect(state: State, source: Source, tunnel_id: str) -> Json:
    """Let all connectors of a tunnel go."""
    tunnel = live(state, tunnel_id)
    tunnel["connections"].clear()
    tunnel.update(status="inactive", conns_inactive_at=stamp(source.now()))
    return tunnel


def seed(state: State, source: Source, wanted: Json) -> Json:
    """Put in a tunnel that somebody else made: `id`, `name`, and perhaps a `config`."""
    tunnel_id = str(wanted.get("id") or source.uuid())
    if tunnel_id in state.tunnels:
        raise bad_request(1003, f"there is a tunnel {tunnel_id} already")
    config: object = wanted.get("config")
    if config is not None and not is_object(config):
        raise bad_request(1003, f"config must be an object, got {config!r}")
    now = stamp(source.now())
    name = _free_name(state, text(wanted, "name"))
    tunnel = _new(state, tunnel_id, name, now) | {"config_src": "cloudflare", "remote_config": True}
    state.tunnels[tunnel_id] = tunnel
    state.secrets[tunnel_id] = _new_secret(source)
    if config is not None:
        state.configurations[tunnel_id] = _configuration(tunnel, config, 1, now)
    return tunnel


def live(state: State, tunnel_id: str) -> Json:
    """Return a tunnel that is not deleted."""
    tunnel = found(state.tunnels, tunnel_id, _missing())
    if tunnel["deleted_at"] is not None:
        raise _missing()
    return tunnel


def _missing() -> ApiError:
    return ApiError(404, 1003, "Tunnel not found")


def _free_name(state: State, name: str) -> str:
    if any(row["name"] == name and row["deleted_at"] is None for row in state.tunnels.values()):
        raise ApiError(409, 1013, f"You already have a tunnel with this name: {name}")
    return name


def _secret(body: Json) -> str | None:
    """Return the tunnel secret that was sent; an error never repeats it."""
    secret = body.get("tunnel_secret")
    if secret is None:
        return None
    try:
        size = len(base64.b64decode(secret, validate=True)) if isinstance(secret, str) else 0
    except binascii.Error:
        size = 0
    if not isinstance(secret, str) or size < SECRET_BYTES:
        raise bad_request(1003, f"tunnel_secret must be base64 of at least {SECRET_BYTES} bytes")
    return secret


def _new_secret(source: Source) -> str:
    return base64.b64encode(bytes.fromhex(source.hexadecimal(2 * SECRET_BYTES))).decode()


def _public(body: Json) -> Json:
    return {name: value for name, value in body.items() if name != "tunnel_secret"}


_TUNNEL = "/accounts/{account}/cfd_tunnel/{id}"
ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("POST", "/accounts/{account}/cfd_tunnel", create),
    ("GET", "/accounts/{account}/cfd_tunnel", listed),
    ("GET", _TUNNEL, get),
    ("PATCH", _TUNNEL, edit),
    ("DELETE", _TUNNEL, delete),
    ("GET", f"{_TUNNEL}/token", token),
    ("GET", f"{_TUNNEL}/connections", connections),
    ("GET", f"{_TUNNEL}/configurations", configuration),
    ("PUT", f"{_TUNNEL}/configurations", configure),
)
