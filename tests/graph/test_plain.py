"""What is declared without an SDK reaches the engine exactly as the official SDK declares it."""

import importlib
from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_cloudflare
import pulumi_command
import pulumi_docker
import pulumi_kubernetes
import pytest
from google.protobuf.json_format import MessageToDict
from pulumi.runtime import mocks

from components import docker_kinds, ingress, kubernetes_kinds, postgres_schema
from components.plain import Kind, Plain, version
from tests.graph.conftest import under

OBJECTS = {kind.token: of for of, kind in kubernetes_kinds.KINDS.items()}
KINDS = (
    *docker_kinds.KINDS,
    *ingress.KINDS,
    postgres_schema.COMMAND,
    *kubernetes_kinds.KINDS.values(),
)
SDKS = {
    "pulumi-cloudflare": pulumi_cloudflare,
    "pulumi-command": pulumi_command.local,
    "pulumi-docker": pulumi_docker,
}
# What the SDK's classes do not go without.
INPUTS: dict[str, dict[str, Any]] = {
    "Command": {},
    "Container": {"image": "busybox:1"},
    "DnsRecord": {"name": "a", "ttl": 1, "type": "CNAME", "zoneId": "z"},
    "Network": {},
    "RemoteImage": {"name": "busybox:1"},
    "Volume": {},
    "ZeroTrustAccessApplication": {},
    "ZeroTrustAccessPolicy": {"accountId": "a", "decision": "allow", "name": "n"},
    "ZeroTrustAccessServiceToken": {"name": "n"},
    "ZeroTrustTunnelCloudflared": {"accountId": "a", "name": "n"},
    "ZeroTrustTunnelCloudflaredConfig": {"accountId": "a", "tunnelId": "t"},
}
SPECS: dict[str, dict[str, Any]] = {
    "Deployment": {"spec": {"replicas": 1}},
    "HorizontalPodAutoscaler": {"spec": {"maxReplicas": 2}},
}
# Names of the SDK's older types; this program never had any.
_OF_THE_PAST = "aliases"
_OF_THE_PROGRAM = {"sourcePosition", "stackTrace", "supportsPartialValues"}


class Anything(mocks.Mocks):
    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        return args.name, args.inputs

    def call(self, args: mocks.MockCallArgs) -> dict[str, Any]:
        return {**args.args, "token": f"of {args.token}", "id": "x"}


class Requests(mocks.MockMonitor):
    """What the engine is asked, as it is asked."""

    def __init__(self) -> None:
        super().__init__(Anything())
        self.registered: list[dict[str, Any]] = []
        self.invoked: list[dict[str, Any]] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: ANN401, N802 - the monitor's own
        if request.type != "pulumi:pulumi:Stack":
            self.registered.append(MessageToDict(request))
        return super().RegisterResource(request)

    def Invoke(self, request: Any) -> Any:  # noqa: ANN401, N802 - likewise
        self.invoked.append(MessageToDict(request))
        return super().Invoke(request)


def asked(program: Callable[[], object]) -> Requests:
    requests = Requests()

    def run() -> None:
        program()

    under(requests, run)
    return requests


def plain(request: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in request.items() if name not in _OF_THE_PROGRAM}


def snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def name_of(kind: Kind) -> str:
    return kind.token.rpartition(":")[2]


def official(kind: Kind) -> Any:  # noqa: ANN401 - a class of the SDK
    if kind.token not in OBJECTS:
        return getattr(SDKS[kind.package], name_of(kind))
    # `kubernetes:networking.k8s.io/v1:NetworkPolicy` is in `pulumi_kubernetes.networking.v1`.
    group, version = kind.token.split(":")[1].split("/")
    module = importlib.import_module(f"pulumi_kubernetes.{group.split('.')[0]}.{version}")
    return getattr(module, name_of(kind))


def inputs_of(kind: Kind) -> dict[str, Any]:
    """The least that it takes, as the provider names it."""
    if kind.token in OBJECTS:
        version, name = OBJECTS[kind.token]
        named = {"apiVersion": version, "kind": name, "metadata": {"name": "one"}}
        return named | SPECS.get(name, {})
    return INPUTS[name_of(kind)]


@pytest.mark.parametrize("kind", KINDS, ids=name_of)
def test_a_type_is_registered_as_the_sdk_registers_it(kind: Kind) -> None:
    inputs = inputs_of(kind)
    arguments = {snake(name): value for name, value in inputs.items()}
    (theirs,) = asked(lambda: official(kind)("one", **arguments)).registered
    (ours,) = asked(lambda: Plain(kind, "one", inputs)).registered
    theirs.pop(_OF_THE_PAST, None)
    if kind is postgres_schema.COMMAND:
        # What the database says stays out of the state; the SDK's user says so in its options.
        assert set(ours.pop("additionalSecretOutputs")) == {"stdout", "stderr"}
    assert plain(ours) == plain(theirs)


@pytest.mark.parametrize("kind", KINDS, ids=name_of)
def test_what_is_read_is_an_output_of_the_sdk(kind: Kind) -> None:
    for output in {*kind.outputs, *kind.secret}:
        assert isinstance(vars(official(kind))[snake(output)], property)


def test_an_output_is_what_the_provider_tells_of_it() -> None:
    seen: list[object] = []

    def program() -> None:
        made = Plain(docker_kinds.VOLUME, "one", {"name": "data", "driver": None})
        made.output("name").apply(seen.append)

    (request,) = asked(program).registered
    assert seen == ["data"]
    assert request["object"] == {"name": "data"}


def test_the_tunnels_token_is_asked_for_as_the_sdk_asks() -> None:
    arguments = {"account_id": "a", "tunnel_id": "t"}
    ask = pulumi_cloudflare.get_zero_trust_tunnel_cloudflared_token_output
    (theirs,) = asked(lambda: ask(**arguments)).invoked
    (ours,) = asked(
        lambda: ingress.invoke(
            "pulumi-cloudflare",
            ingress.ASK,
            {"accountId": "a", "tunnelId": "t"},
            pulumi.InvokeOutputOptions(),
        )
    ).invoked
    assert plain(ours) == plain(theirs)


@pytest.mark.parametrize(
    "sdk",
    [pulumi_cloudflare, pulumi_command, pulumi_docker, pulumi_kubernetes],
    ids=lambda one: one.__name__,
)
def test_a_release_is_named_as_the_sdk_names_it(sdk: Any) -> None:  # noqa: ANN401 - a module
    # The engine fetches plugins of this release, so it must be one of SemVer.
    assert version(sdk.__name__.replace("_", "-")) == sdk._utilities.get_version()
