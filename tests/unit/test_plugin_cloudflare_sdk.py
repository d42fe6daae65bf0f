"""The offline cloudflare plugin has the official SDK's names and kinds, no more and no fewer."""

import inspect
import typing
from collections.abc import Mapping
from typing import Any

import pulumi_cloudflare
import pytest
from pulumi._types import input_type_py_to_pulumi_names, input_type_types, unwrap_type

from localcloud.plugins.cloudflare import plugin, shapes, wire
from localcloud.plugins.shapes import Fields

TUNNEL = "ZeroTrustTunnelCloudflared"
CONFIG = "ZeroTrustTunnelCloudflaredConfig"
RECORD = "DnsRecord"
POLICY = "ZeroTrustAccessPolicy"
APPLICATION = "ZeroTrustAccessApplication"
SERVICE_TOKEN = "ZeroTrustAccessServiceToken"  # noqa: S105 - a type's name


def sdk_shape(kind: Any) -> Any:  # noqa: ANN401 - types of any sort
    kind = unwrap_type(kind)
    origin = typing.get_origin(kind)
    scalars = {str: "string", bool: "boolean", int: "integer", float: "number"}
    if kind in scalars:
        return scalars[kind]
    if origin is typing.Union:
        return sdk_shape(typing.get_args(kind)[0])
    if kind is typing.Any:
        return "any"
    if origin is not None and issubclass(origin, Mapping):
        return {"*": sdk_shape(typing.get_args(kind)[1])}
    if origin is not None:
        return [sdk_shape(typing.get_args(kind)[0])]
    return sdk_fields(kind)


def sdk_fields(args: Any) -> dict[str, Any]:  # noqa: ANN401 - a class
    names, types = input_type_py_to_pulumi_names(args), input_type_types(args)
    parameters = list(inspect.signature(args.__init__).parameters.values())[1:]
    return {
        names[one.name] + ("!" if one.default is inspect.Parameter.empty else ""): sdk_shape(
            types[names[one.name]]
        )
        for one in parameters
    }


def without(fields: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: "any" if name in names else shape for name, shape in fields.items()}


@pytest.mark.parametrize(
    ("kind", "ours", "unsupported"),
    [
        (TUNNEL, shapes.TUNNEL, frozenset[str]()),
        (CONFIG, shapes.TUNNEL_CONFIG, frozenset[str]()),
        (RECORD, shapes.RECORD, shapes.RECORD_UNSUPPORTED),
        (POLICY, shapes.POLICY, shapes.POLICY_UNSUPPORTED),
        (APPLICATION, shapes.APPLICATION, shapes.APPLICATION_UNSUPPORTED),
        (SERVICE_TOKEN, shapes.SERVICE_TOKEN, frozenset[str]()),
    ],
)
def test_the_inputs_are_the_sdks(kind: str, ours: Fields, unsupported: frozenset[str]) -> None:
    official = without(sdk_fields(getattr(pulumi_cloudflare, f"{kind}Args")), unsupported)
    if kind == APPLICATION:
        (policy,) = official["policies"]
        official["policies"] = [{name: policy[name] for name in ("id", "precedence")}]
    assert without(ours, unsupported) == official


@pytest.mark.parametrize(
    ("kind", "ours"),
    [
        (TUNNEL, shapes.TUNNEL_OUTPUTS),
        (CONFIG, shapes.TUNNEL_CONFIG_OUTPUTS),
        (RECORD, shapes.RECORD_OUTPUTS),
        (POLICY, shapes.POLICY_OUTPUTS),
        (APPLICATION, shapes.APPLICATION_OUTPUTS),
        (SERVICE_TOKEN, shapes.SERVICE_TOKEN_OUTPUTS),
    ],
)
def test_the_outputs_are_the_sdks(kind: str, ours: Fields) -> None:
    resource = getattr(pulumi_cloudflare, kind)
    own = {name for name, value in vars(resource).items() if isinstance(value, property)}
    inputs = set(inspect.signature(getattr(pulumi_cloudflare, f"{kind}Args").__init__).parameters)
    spelt = {"serviceAuth401Redirect": "service_auth401_redirect"}
    assert {spelt.get(name, wire.snake(name)) for name in ours} == own - inputs


def test_the_provider_is_the_sdks() -> None:
    official = set(input_type_py_to_pulumi_names(pulumi_cloudflare.ProviderArgs).values())
    assert set(shapes.PROVIDER) == official
    assert plugin.PLUGIN.version == pulumi_cloudflare._utilities.get_version()
