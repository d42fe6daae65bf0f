"""The offline `kubernetes` plugin as the engine runs it, and objects to ask it for."""

import copy
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2 as proto
from pulumi.runtime.proto import provider_pb2_grpc, status_pb2

from localcloud.plugins.values import Properties, decode, encode
from tests.offline_plugins import asked

VERSIONS = {
    "Deployment": "apps/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
}
Inputs = dict[str, Any]
SECRET = "correct-horse-battery"  # noqa: S105 - made up
IMAGE = "registry.test/agent:1"
RESTRICTED = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True)
class Resource:
    """What the engine keeps of one."""

    id: str
    inputs: Properties
    outputs: Properties


@dataclass(frozen=True)
class Failed:
    """A resource that is there but failed, as the engine takes it into the state."""

    reason: str
    resource: Resource


def urn(kind: str, name: str = "thing") -> str:
    version = VERSIONS.get(kind, "core/v1")
    return f"urn:pulumi:test::plugins::kubernetes:{version}:{kind}::{name}"


@dataclass(frozen=True)
class Plugin:
    """An engine. Inputs in `secret` are sent as secrets."""

    stub: provider_pb2_grpc.ResourceProviderStub

    def check(self, kind: str, news: Inputs) -> tuple[Properties, list[str]]:
        sent = encode(news, getattr(news, "secret", ()))
        answer = self.stub.Check(proto.CheckRequest(urn=urn(kind), news=sent))
        return decode(answer.inputs), [failure.reason for failure in answer.failures]

    def _checked(self, kind: str, news: Inputs) -> Properties:
        inputs, failures = self.check(kind, news)
        assert not failures, failures
        return inputs

    def create(
        self, kind: str, news: Inputs, *, name: str = "thing", preview: bool = False
    ) -> Resource:
        inputs = self._checked(kind, news)
        made = self.stub.Create(
            proto.CreateRequest(
                urn=urn(kind, name), properties=encode(inputs, inputs.secret), preview=preview
            )
        )
        return Resource(made.id, inputs, decode(made.properties))

    def begin_create(self, kind: str, news: Inputs) -> "Future[Resource]":
        return ThreadPoolExecutor(1).submit(self.create, kind, news)

    def diff(self, kind: str, old: Resource, news: Inputs) -> dict[str, str]:
        """What changes, and how: a kind's name by property."""
        answer = self.stub.Diff(
            proto.DiffRequest(
                id=old.id,
                urn=urn(kind),
                olds=encode(old.outputs),
                old_inputs=encode(old.inputs),
                news=encode(self._checked(kind, news)),
            )
        )
        assert answer.deleteBeforeReplace
        names = proto.PropertyDiff.Kind.Name
        return {name: names(change.kind) for name, change in answer.detailedDiff.items()}

    def update(self, kind: str, old: Resource, news: Inputs, *, preview: bool = False) -> Resource:
        inputs = self._checked(kind, news)
        answer = self.stub.Update(
            proto.UpdateRequest(
                id=old.id,
                urn=urn(kind),
                olds=encode(old.outputs, old.outputs.secret),
                old_inputs=encode(old.inputs, old.inputs.secret),
                news=encode(inputs, inputs.secret),
                preview=preview,
            )
        )
        return Resource(old.id, inputs, decode(answer.properties))

    def read(self, kind: str, old: Resource) -> Resource | None:
        answer = self.stub.Read(
            proto.ReadRequest(
                id=old.id,
                urn=urn(kind),
                properties=encode(old.outputs, old.outputs.secret),
                inputs=encode(old.inputs, old.inputs.secret),
            )
        )
        if not answer.id:
            return None
        return Resource(answer.id, decode(answer.inputs), decode(answer.properties))

    def delete(self, kind: str, old: Resource, *, seconds: float = 0) -> None:
        self.stub.Delete(
            proto.DeleteRequest(
                id=old.id,
                urn=urn(kind),
                properties=encode(old.outputs),
                old_inputs=encode(old.inputs),
                timeout=seconds,
            )
        )

    def cancel(self) -> None:
        self.stub.Cancel(empty_pb2.Empty())

    def settled(self, kind: str, old: Resource, news: Inputs) -> Resource:
        """No change now, none after a refresh, and the refresh itself finds nothing new."""
        assert self.diff(kind, old, news) == {}
        fresh = self.read(kind, old)
        assert fresh is not None
        assert fresh.inputs == old.inputs
        assert fresh.outputs == old.outputs
        assert self.diff(kind, fresh, news) == {}
        return fresh

    def fails(self, kind: str, news: Inputs) -> Failed:
        """Create what exists but does not get well."""
        with pytest.raises(grpc.RpcError) as caught:
            self.create(kind, news)
        return failed(caught.value, self._checked(kind, news))


def failed(error: Any, inputs: Properties) -> Failed:  # noqa: ANN401 - grpc's errors have no type
    """What the engine reads of an InitFailed answer."""
    metadata = {item.key: item.value for item in error.trailing_metadata()}
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    detail = proto.ErrorResourceInitFailed()
    assert status.details[0].Unpack(detail)
    resource = Resource(detail.id, inputs, decode(detail.properties))
    return Failed(detail.reasons[0], resource)


@contextmanager
def running_plugin(config: Inputs) -> Iterator[Plugin]:
    """A process of its own, configured."""
    # As a user's shell may have it: it must not matter.
    with asked("kubernetes", config, KUBECONFIG="/nonexistent/kubeconfig") as stub:
        yield Plugin(stub)


def refusal(work: Any, *arguments: Any) -> str:  # noqa: ANN401 - any question
    """The text of a question that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        work(*arguments)
    details: str = caught.value.details()  # type: ignore[attr-defined]
    return details


def thing(space: str, **more: Any) -> Inputs:  # noqa: ANN401 - an object's fields
    labels = {"app": "thing", "app.kubernetes.io/managed-by": "agent-docker"}
    return {"metadata": {"name": "thing", "namespace": space, "labels": labels}, **more}


def deployment(space: str, name: str = "thing", *, image: str = IMAGE, **spec: Any) -> Inputs:  # noqa: ANN401
    """As a program writes one: amounts and ports in forms that the server changes."""
    container = {
        "name": "agent",
        "image": image,
        "command": ["run", "--fast"],
        "env": [
            {"name": "B", "value": "0.5"},
            {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}},
        "resources": {"requests": {"cpu": "0.01", "memory": "1024Ki"}, "limits": {"cpu": 1}},
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - in the container
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": space,
            "labels": {"app.kubernetes.io/managed-by": "agent-docker", "app": name},
            "annotations": {"agent-docker/role": "a test"},
        },
        "spec": {
            "replicas": 2,
            "progressDeadlineSeconds": 60,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "containers": [container],
                    "terminationGracePeriodSeconds": 0,
                    "volumes": [{"name": "tmp", "emptyDir": {}}],
                },
            },
            **spec,
        },
    }


def changed(given: Inputs, path: str, value: Any) -> Inputs:  # noqa: ANN401 - any value
    """A copy with another value at a path; digits are indices."""
    made = copy.deepcopy(given)
    *above, last = path.split(".")
    at: Any = made
    for name in above:
        at = at[int(name)] if name.isdecimal() else at[name]
    at[last] = value
    return made


def container_of(live: Inputs) -> Inputs:
    found: Inputs = live["spec"]["template"]["spec"]["containers"][0]
    return found


def kinds(space: str) -> dict[str, tuple[Inputs, str, str, Any, Inputs]]:
    """By kind: inputs, a path that changes, its path as the plugin says, the value, and a drift."""
    policy = {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "egress": [{"ports": [{"port": 53}]}, {"to": [{"podSelector": {}}]}],
    }
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "thing"}
    metric = {"type": "Resource", "resource": {"name": "cpu"}}
    metric["resource"]["target"] = {"type": "AverageValue", "averageValue": "0.5"}  # type: ignore[index]
    return {
        "ServiceAccount": (
            thing(space, automountServiceAccountToken=False),
            "automountServiceAccountToken",
            "automountServiceAccountToken",
            True,
            {"automountServiceAccountToken": False},
        ),
        "ConfigMap": (
            thing(space, data={"role.txt": "a\nb", "x": "1"}),
            "data.x",
            "data.x",
            "2",
            {"data": {"x": "3"}},
        ),
        "Secret": (
            thing(space, type="Opaque", data={"a": "eA=="}, stringData={"b": SECRET}),
            "stringData.b",
            "data.b",
            "another",
            {"data": {"b": "eQ=="}},
        ),
        "Service": (
            thing(
                space,
                spec={
                    "selector": {"app": "thing"},
                    "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
                },
            ),
            "spec.selector",
            "spec.selector.app",
            {"app": "other"},
            {"spec": {"selector": {"app": "drifted"}}},
        ),
        "HorizontalPodAutoscaler": (
            thing(
                space,
                spec={
                    "scaleTargetRef": target,
                    "minReplicas": 1,
                    "maxReplicas": 3,
                    "metrics": [metric],
                },
            ),
            "spec.maxReplicas",
            "spec.maxReplicas",
            4,
            {"spec": {"maxReplicas": 9}},
        ),
        "PodDisruptionBudget": (
            thing(space, spec={"maxUnavailable": 1, "selector": {"matchLabels": {"app": "thing"}}}),
            "spec.maxUnavailable",
            "spec.maxUnavailable",
            "50%",
            {"spec": {"maxUnavailable": 2}},
        ),
        "NetworkPolicy": (
            thing(space, spec=policy),
            "spec.egress.0.ports",
            "spec.egress[0].ports[0].port",
            [{"port": 443}],
            {"spec": {"ingress": [{}]}},
        ),
        "Deployment": (
            deployment(space),
            "spec.template.spec.containers.0.image",
            "spec.template.spec.containers[0].image",
            "registry.test/agent:2",
            {"spec": {"replicas": 3}},
        ),
    }
