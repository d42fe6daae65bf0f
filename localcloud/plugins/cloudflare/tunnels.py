"""Tunnels, their configurations and their tokens."""

import json
from collections.abc import Mapping
from dataclasses import replace

from localcloud.plugins.cloudflare import shapes
from localcloud.plugins.cloudflare.api import Api, Gone, Json
from localcloud.plugins.cloudflare.rest import Place, Rest, refuse_other, token_of
from localcloud.plugins.cloudflare.wire import Names, same_name
from localcloud.plugins.diffs import changes
from localcloud.plugins.model import (
    Call,
    Change,
    Found,
    Function,
    Made,
    Old,
    PluginError,
    ResourceType,
)
from localcloud.plugins.shapes import Refusal
from localcloud.plugins.values import Properties, Value, Values, map_of, maps_of, text_of

SOURCES = ("cloudflare", "local")
LOCAL = "local"
_CHANGEABLE = ("name", "configSrc", "tunnelSecret")


def _with_text(values: Values) -> Values:
    """The SDK has free-form JSON as a text."""
    return {**values, "metadata": json.dumps(values.get("metadata", {}))}


_TUNNELS = Rest(
    collection="cfd_tunnel",
    inputs=shapes.TUNNEL,
    computed=shapes.TUNNEL_OUTPUTS,
    tidy=_with_text,
    unread=frozenset({"tunnelSecret"}),
)
# Here the API has the SDK's style, but for what Go makes of abbreviations.
_CONFIGS = Rest(
    collection="cfd_tunnel",
    inputs=shapes.TUNNEL_CONFIG,
    computed=shapes.TUNNEL_CONFIG_OUTPUTS,
    names=Names(
        same_name,
        {
            "audTags": "audTag",
            "createdAt": "created_at",
            "ingresses": "ingress",
            "matchSnItoHost": "matchSNItoHost",
            "noTlsVerify": "noTLSVerify",
            "tunnelId": "tunnel_id",
        },
    ),
    sent={"source": "cloudflare"},
)


def _read(call: Call[Api], old: Old) -> Found | None:
    """A deleted tunnel can still be read, but is gone."""
    place = _TUNNELS.place(old)
    try:
        row = call.client.row("GET", _TUNNELS.url(place))
    except Gone:
        return None
    return None if row.get("deleted_at") else _TUNNELS.found(place, row)


def _diff(old: Old, new: Properties) -> Mapping[str, Change]:
    """Another `configSrc` replaces the tunnel; dropping it leaves the tunnel and makes it local."""
    found = changes(_PLAIN, old, new)
    if found.get("configSrc") == "delete":
        del found["configSrc"]
        if text_of(old.outputs, "configSrc") != LOCAL:
            found["remoteConfig"] = "update"
    return found


def _update(call: Call[Api], old: Old, inputs: Properties) -> Values:
    """Send the changed keys only."""
    wanted: Values = {**inputs, "configSrc": inputs.get("configSrc", LOCAL)}
    changed = {
        name: wanted[name]
        for name in _CHANGEABLE
        if wanted.get(name) is not None and wanted[name] != old.outputs.get(name)
    }
    url = _TUNNELS.url(_TUNNELS.place(old))
    if not changed:
        return _TUNNELS.outputs(call.client.row("GET", url))
    return _TUNNELS.outputs(call.client.row("PATCH", url, _TUNNELS.body(changed)))


def _check(inputs: Properties) -> list[Refusal]:
    return refuse_other(inputs, "configSrc", SOURCES)


_PLAIN: ResourceType[Api] = ResourceType(
    token=token_of("ZeroTrustTunnelCloudflared"),
    inputs=shapes.TUNNEL,
    create=_TUNNELS.create,
    read=_read,
    update=_update,
    delete=_TUNNELS.delete,
    replaces=frozenset({"accountId", "configSrc"}),
    computed=frozenset({*shapes.TUNNEL_OUTPUTS, "configSrc"}),
    secret=frozenset({"tunnelSecret"}),
    check=_check,
)

TUNNEL = replace(_PLAIN, diff=_diff)


def _config_url(place: Place) -> str:
    return f"{_CONFIGS.url(place)}/configurations"


def _put_config(call: Call[Api], place: Place, inputs: Mapping[str, Value]) -> Values:
    sent = {name: value for name, value in inputs.items() if name != "tunnelId"}
    row = call.client.row("PUT", _config_url(place), _CONFIGS.body(sent))
    return _tidy_config(row)


def _create_config(call: Call[Api], inputs: Properties) -> Made:
    tunnel = text_of(inputs, "tunnelId")
    place = _CONFIGS.place(Old(tunnel, inputs, inputs))
    return Made(tunnel, _put_config(call, place, inputs))


def _read_config(call: Call[Api], old: Old) -> Found | None:
    place = _CONFIGS.place(old)
    try:
        row = call.client.row("GET", _config_url(place))
    except Gone:
        return None
    found = _CONFIGS.found(place, row)
    known: Values = {"config": _bare(map_of(found.outputs, "config")) or None}
    known["tunnelId"] = place.id
    return Found(place.id, {**found.outputs, **known}, {**found.inputs, **known})


def _update_config(call: Call[Api], old: Old, inputs: Properties) -> Values:
    return _put_config(call, _CONFIGS.place(old), inputs)


def _keep_config(call: Call[Api], old: Old) -> None:
    """The API cannot delete a configuration: it goes with its tunnel."""
    del old
    call.log("the configuration stays until its tunnel goes")


def _tidy_config(row: Json) -> Values:
    outputs = _CONFIGS.outputs(row)
    config = _bare(map_of(outputs, "config"))
    return {**outputs, "config": config} if config else outputs


def _bare(config: Values) -> Values:
    """Return a configuration without the empty `originRequest` that the API puts everywhere."""
    rules: list[Value] = [_without_empty(rule) for rule in maps_of(config, "ingresses")]
    bare = _without_empty(config)
    return {**bare, "ingresses": rules} if rules else bare


def _without_empty(values: Values) -> Values:
    return {name: value for name, value in values.items() if value != {} or name != "originRequest"}


def _same_config(name: str, old: Value, new: Value) -> bool:
    if name == "config" and isinstance(old, dict) and isinstance(new, dict):
        return _bare(old) == _bare(new)
    return old == new


def _check_config(inputs: Properties) -> list[Refusal]:
    rules = maps_of(map_of(inputs, "config"), "ingresses")
    if rules and (rules[-1].get("hostname") or rules[-1].get("path")):
        reason = "the last rule must catch all: a service without hostname and path"
        return [Refusal(f"config.ingresses[{len(rules) - 1}]", reason)]
    return refuse_other(inputs, "source", SOURCES)


CONFIG: ResourceType[Api] = ResourceType(
    token=token_of("ZeroTrustTunnelCloudflaredConfig"),
    inputs=shapes.TUNNEL_CONFIG,
    create=_create_config,
    read=_read_config,
    update=_update_config,
    delete=_keep_config,
    replaces=frozenset({"accountId", "tunnelId"}),
    computed=frozenset({*shapes.TUNNEL_CONFIG_OUTPUTS, "source"}),
    check=_check_config,
    same=_same_config,
)


def _token(call: Call[Api], inputs: Properties) -> Values:
    place = _TUNNELS.place(Old(text_of(inputs, "tunnelId"), inputs, inputs))
    url = f"{_TUNNELS.url(place)}/token"
    try:
        token = call.client.ask("GET", url)
    except Gone as error:
        raise PluginError(f"the tunnel {place.id} has no token: {error}") from None
    if not isinstance(token, str):
        raise PluginError(f"GET {url}: the result is no text")
    return {**inputs, "token": token}


TOKEN: Function[Api] = Function(
    token=token_of("getZeroTrustTunnelCloudflaredToken"),
    inputs=shapes.TUNNEL_TOKEN,
    run=_token,
    secret=frozenset({"token"}),
)
