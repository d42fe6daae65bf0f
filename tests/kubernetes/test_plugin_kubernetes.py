"""The offline `kubernetes` plugin as the engine runs it, against a real API server."""

import base64
import copy
import json
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from localcloud.plugins.values import UNKNOWN, Properties
from tests.kubernetes.conftest import Kubectl, until
from tests.kubernetes.plugin import (
    IMAGE,
    SECRET,
    Inputs,
    Plugin,
    Resource,
    changed,
    container_of,
    deployment,
    failed,
    kinds,
    refusal,
    running_plugin,
    thing,
)
from tests.offline_plugins import Project
from tools.cluster import Cluster


@pytest.fixture(scope="module")
def plugin(cluster: Cluster) -> Iterator[Plugin]:
    with running_plugin({"kubeconfig": str(cluster.kubeconfig)}) as started:
        yield started


@pytest.fixture(scope="module")
def everywhere(cluster: Cluster) -> Kubectl:
    return Kubectl(cluster)


@pytest.fixture
def space(everywhere: Kubectl) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"plugin-{secrets.token_hex(4)}"
    everywhere("create", "namespace", name)
    yield name
    everywhere("delete", "namespace", name, "--wait=false")


@pytest.fixture
def ctl(cluster: Cluster, space: str) -> Kubectl:
    return Kubectl(cluster, space)


@pytest.mark.parametrize("kind", sorted(kinds("")))
def test_the_life_of_a_kind(plugin: Plugin, ctl: Kubectl, space: str, kind: str) -> None:
    news, at, path, value, drift = kinds(space)[kind]
    made = plugin.create(kind, news)
    assert made.id == f"{space}/thing"
    fresh = plugin.settled(kind, made, news)
    other = changed(news, at, value)
    assert plugin.diff(kind, fresh, other) == {path: "UPDATE"}
    updated = plugin.settled(kind, plugin.update(kind, fresh, other), other)
    assert updated.outputs["metadata"]["uid"] == made.outputs["metadata"]["uid"]
    assert (
        updated.outputs["metadata"]["resourceVersion"]
        != (made.outputs["metadata"]["resourceVersion"])
    )
    ctl("patch", kind, "thing", "--type=merge", f"--patch={json.dumps(drift)}")
    drifted = plugin.read(kind, updated)
    assert drifted is not None
    assert plugin.diff(kind, drifted, other) != {}
    mended = plugin.update(kind, drifted, other)
    plugin.settled(kind, mended, other)
    plugin.delete(kind, mended)
    assert ctl.run("get", kind, "thing").returncode != 0
    assert plugin.read(kind, mended) is None
    plugin.delete(kind, mended)


def test_a_namespace_can_be_used_once_it_is_made(plugin: Plugin, everywhere: Kubectl) -> None:
    name = f"plugin-{secrets.token_hex(4)}"
    news = {"metadata": {"name": name, "labels": {"a.test/b": "c"}}}
    made = plugin.create("Namespace", news)
    assert made.id == name
    everywhere("--namespace", name, "get", "serviceaccount", "default")
    plugin.settled("Namespace", made, news)
    assert plugin.diff("Namespace", made, changed(news, "metadata.labels", {"a.test/b": "d"})) == {
        'metadata.labels["a.test/b"]': "UPDATE"
    }
    without = changed(news, "metadata.labels", {})
    assert plugin.diff("Namespace", made, without) == {'metadata.labels["a.test/b"]': "DELETE"}
    updated = plugin.settled("Namespace", plugin.update("Namespace", made, without), without)
    labels = everywhere.json("get", "namespace", name)["metadata"]["labels"]
    assert "a.test/b" not in labels
    plugin.create("Deployment", deployment(name))
    plugin.delete("Namespace", updated)
    assert everywhere.run("get", "namespace", name).returncode != 0


def test_what_others_set_is_no_difference(plugin: Plugin, ctl: Kubectl, space: str) -> None:
    news = deployment(space)
    del news["spec"]["replicas"]
    made = plugin.create("Deployment", news)
    ctl("scale", "deployment/thing", "--replicas=3")
    ctl("annotate", "deployment/thing", "other.test/note=mine")
    ctl("set", "env", "deployment/thing", "EXTRA=1")
    plugin.settled("Deployment", made, news)
    updated = plugin.update("Deployment", made, changed(news, "metadata.labels.app", "new"))
    live = ctl.json("get", "deployment", "thing")
    assert live["spec"]["replicas"] == 3
    assert {one["name"] for one in container_of(live)["env"]} == {"A", "B", "EXTRA"}
    assert updated.outputs["metadata"]["labels"]["app"] == "new"


def test_what_a_program_takes_out_goes(plugin: Plugin, ctl: Kubectl, space: str) -> None:
    news = deployment(space)
    made = plugin.create("Deployment", news)
    fewer = copy.deepcopy(news)
    del container_of(fewer)["env"][0]
    del fewer["metadata"]["annotations"]
    assert plugin.diff("Deployment", made, fewer) == {
        "metadata.annotations": "DELETE",
        "spec.template.spec.containers[0].env[0]": "DELETE",
    }
    updated = plugin.settled("Deployment", plugin.update("Deployment", made, fewer), fewer)
    live = ctl.json("get", "deployment", "thing")
    assert [one["name"] for one in container_of(live)["env"]] == ["A"]
    assert "agent-docker/role" not in live["metadata"]["annotations"]
    swapped = copy.deepcopy(news)
    container_of(swapped)["env"].reverse()
    both = plugin.update("Deployment", updated, swapped)
    assert plugin.diff("Deployment", both, news) == {
        "spec.template.spec.containers[0].env": "UPDATE"
    }
    plugin.settled("Deployment", plugin.update("Deployment", both, news), news)


@pytest.mark.parametrize(
    ("kind", "at", "value", "path"),
    [
        ("Deployment", "spec.selector", {"matchLabels": {"app": "x"}}, "spec.selector.matchLabels"),
        ("ConfigMap", "metadata.name", "other", "metadata.name"),
        ("ConfigMap", "metadata.namespace", "other", "metadata.namespace"),
        ("Secret", "type", "agent-docker.test/other", "type"),
        ("Service", "spec.clusterIP", "None", "spec.clusterIP"),
    ],
)
def test_what_cannot_change_in_place_replaces(
    plugin: Plugin, space: str, kind: str, at: str, value: object, path: str
) -> None:
    news = kinds(space)[kind][0]
    made = plugin.create(kind, news)
    found = plugin.diff(kind, made, changed(news, at, value))
    assert {name: how for name, how in found.items() if name.startswith(path)} == found
    assert set(found.values()) == {"UPDATE_REPLACE"}


def test_immutable_data_replaces(plugin: Plugin, space: str) -> None:
    news = thing(space, data={"a": "eA=="}, immutable=True)
    made = plugin.create("Secret", news)
    other = changed(news, "data.a", "eQ==")
    assert plugin.diff("Secret", made, other) == {"data.a": "UPDATE_REPLACE"}
    labelled = changed(news, "metadata.labels.app", "x")
    assert plugin.diff("Secret", made, labelled) == {"metadata.labels.app": "UPDATE"}


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("fail.test/image-pull:1", ["cannot pull the image fail.test/image-pull:1", "BackOff"]),
        ("fail.test/crash:1", ["ends with exit code 1 (Error)", "restarts", "last event: BackOff"]),
        ("fail.test/probe:1", ["its probe does not pass", "statuscode: 503"]),
    ],
)
def test_a_rollout_that_fails_says_why_in_one_line(
    plugin: Plugin, ctl: Kubectl, space: str, image: str, parts: list[str]
) -> None:
    news = deployment(space, image=image, progressDeadlineSeconds=2)
    answer = plugin.fails("Deployment", news)
    assert answer.reason.startswith(f"Deployment {space}/thing: ")
    assert all(part in answer.reason for part in parts), answer.reason
    assert "\n" not in answer.reason
    assert answer.resource.id == f"{space}/thing"
    uid = ctl.json("get", "deployment", "thing")["metadata"]["uid"]
    assert answer.resource.outputs["metadata"]["uid"] == uid
    good = changed(news, "spec.template.spec.containers.0.image", IMAGE)
    updated = plugin.update("Deployment", answer.resource, good)
    plugin.settled("Deployment", updated, good)


def test_a_quota_is_named(plugin: Plugin, ctl: Kubectl, space: str) -> None:
    ctl("create", "quota", "small", "--hard=pods=1")
    reason = plugin.fails("Deployment", deployment(space, progressDeadlineSeconds=2)).reason
    assert "pods cannot be created" in reason
    assert "exceeded quota: small" in reason


def test_pods_that_fit_nowhere_are_named(plugin: Plugin, space: str) -> None:
    news = deployment(space, progressDeadlineSeconds=2)
    container_of(news)["resources"] = {"requests": {"cpu": "9000"}}
    reason = plugin.fails("Deployment", news).reason
    assert "fits on no node" in reason
    assert "Insufficient cpu" in reason


def test_pod_security_is_named(plugin: Plugin, ctl: Kubectl, space: str) -> None:
    ctl("label", "namespace", space, "pod-security.kubernetes.io/enforce=restricted")
    plugin.create("Deployment", deployment(space, "good"))
    bad = deployment(space, progressDeadlineSeconds=2)
    del container_of(bad)["securityContext"]
    reason = plugin.fails("Deployment", bad).reason
    assert 'violates PodSecurity "restricted:latest"' in reason
    assert "runAsNonRoot" in reason


def test_a_wait_may_be_skipped_or_limited(plugin: Plugin, space: str) -> None:
    slow = deployment(space, image="fail.test/probe:1", progressDeadlineSeconds=600)
    slow["metadata"]["annotations"] = {"pulumi.com/timeoutSeconds": "1"}
    reason = plugin.fails("Deployment", slow).reason
    assert "not rolled out within 1 s: 0 of 2 ready: pod thing-" in reason
    skipped = deployment(space, "skipped", image="fail.test/probe:1")
    skipped["metadata"]["annotations"] = {"pulumi.com/skipAwait": "true"}
    plugin.create("Deployment", skipped)


def test_a_cancelled_wait_keeps_what_was_made(cluster: Cluster, ctl: Kubectl, space: str) -> None:
    news = deployment(space, image="fail.test/probe:1", progressDeadlineSeconds=600)
    with running_plugin({"kubeconfig": str(cluster.kubeconfig)}) as plugin:
        future = plugin.begin_create("Deployment", news)
        until(lambda: ctl.run("get", "deployment", "thing").returncode == 0)
        plugin.cancel()
        with pytest.raises(grpc.RpcError) as caught:
            future.result(60)
    answer = failed(caught.value, Properties(news))
    assert "cancelled before it had rolled out" in answer.reason
    assert answer.resource.id == f"{space}/thing"


def test_a_rollout_that_somebody_deletes_ends(plugin: Plugin, ctl: Kubectl, space: str) -> None:
    news = deployment(space, image="fail.test/probe:1", progressDeadlineSeconds=600)
    future = plugin.begin_create("Deployment", news)
    until(lambda: ctl.run("get", "deployment", "thing").returncode == 0)
    ctl("delete", "deployment", "thing")
    with pytest.raises(grpc.RpcError) as caught:
        future.result(60)
    assert "somebody deleted it" in failed(caught.value, Properties(news)).reason


def test_a_strangers_object_is_not_taken(plugin: Plugin, ctl: Kubectl, space: str) -> None:
    ctl("create", "configmap", "thing", "--from-literal=a=theirs")
    ctl("label", "configmap", "thing", "app.kubernetes.io/managed-by=helm")
    news = thing(space, data={"b": "ours"})
    text = refusal(plugin.create, "ConfigMap", news)
    assert f"ConfigMap {space}/thing is there already" in text
    assert "managed-by: helm" in text
    assert f"pulumi import kubernetes:core/v1:ConfigMap thing {space}/thing" in text
    assert ctl.json("get", "configmap", "thing")["data"] == {"a": "theirs"}


def test_a_create_whose_answer_was_lost_is_taken_up(
    plugin: Plugin, ctl: Kubectl, space: str
) -> None:
    news = thing(space, data={"a": "1"})
    lost = plugin.create("ConfigMap", news)
    ctl("patch", "configmap", "thing", "--type=merge", '--patch={"data":{"a":"2"}}')
    again = plugin.create("ConfigMap", news)
    assert again.outputs["metadata"]["uid"] == lost.outputs["metadata"]["uid"]
    assert ctl.json("get", "configmap", "thing")["data"] == {"a": "1"}
    plugin.settled("ConfigMap", again, news)
    with pytest.raises(grpc.RpcError, match="is there already, and not from this resource"):
        plugin.create("ConfigMap", news, name="renamed")


def test_what_is_on_its_way_out_is_waited_for(plugin: Plugin, ctl: Kubectl, space: str) -> None:
    held = thing(space, data={"a": "1"})
    held["metadata"]["finalizers"] = ["agent-docker.test/hold"]
    ctl.apply({"apiVersion": "v1", "kind": "ConfigMap", **held})
    ctl("delete", "configmap", "thing", "--wait=false")
    news = thing(space, data={"a": "2"})
    future = plugin.begin_create("ConfigMap", news)
    time.sleep(0.3)
    assert not future.done()
    ctl(
        "patch",
        "configmap",
        "thing",
        "--type=json",
        '--patch=[{"op":"remove","path":"/metadata/finalizers"}]',
    )
    plugin.settled("ConfigMap", future.result(60), news)


def test_a_finalizer_that_holds_is_named(plugin: Plugin, ctl: Kubectl, space: str) -> None:
    news = thing(space, data={"a": "1"})
    news["metadata"]["finalizers"] = ["agent-docker.test/hold"]
    news["metadata"]["annotations"] = {"pulumi.com/timeoutSeconds": "1"}
    made = plugin.create("ConfigMap", news)
    text = refusal(plugin.delete, "ConfigMap", made)
    assert "is still there after 1 s: held by agent-docker.test/hold" in text
    ctl(
        "patch",
        "configmap",
        "thing",
        "--type=json",
        '--patch=[{"op":"remove","path":"/metadata/finalizers"}]',
    )
    plugin.delete("ConfigMap", made)


def test_what_somebody_made_anew_is_theirs(plugin: Plugin, ctl: Kubectl, space: str) -> None:
    news = thing(space, data={"a": "1"})
    made = plugin.create("ConfigMap", news)
    ctl("delete", "configmap", "thing")
    again = plugin.update("ConfigMap", made, changed(news, "data.a", "2"))
    assert ctl.json("get", "configmap", "thing")["data"] == {"a": "2"}
    ctl("delete", "configmap", "thing")
    ctl("create", "configmap", "thing", "--from-literal=a=theirs")
    text = refusal(plugin.update, "ConfigMap", again, news)
    assert "is not the one of the state" in text
    assert plugin.read("ConfigMap", again) is None
    plugin.delete("ConfigMap", again)
    assert ctl.json("get", "configmap", "thing")["data"] == {"a": "theirs"}


def test_an_import_takes_everything(plugin: Plugin, ctl: Kubectl, space: str) -> None:
    ctl.apply(deployment(space))
    nothing = Resource(f"{space}/thing", Properties(), Properties())
    found = plugin.read("Deployment", nothing)
    assert found is not None
    assert found.id == f"{space}/thing"
    assert found.inputs["spec"]["replicas"] == 2
    assert set(found.inputs["metadata"]["annotations"]) == {"agent-docker/role"}
    assert "status" not in found.outputs
    assert "managedFields" not in found.outputs["metadata"]
    taken = plugin.update("Deployment", found, deployment(space))
    plugin.settled("Deployment", taken, deployment(space))
    gone = Resource(f"{space}/none", Properties(), Properties())
    assert plugin.read("Deployment", gone) is None
    text = refusal(plugin.read, "Deployment", Resource("thing", Properties(), Properties()))
    assert "'thing' is no id of a Deployment, expected namespace/name" in text


def test_fields_that_do_not_exist_are_refused(plugin: Plugin, ctl: Kubectl, space: str) -> None:
    wrong = changed(deployment(space), "spec.template.spec.replcas", 3)
    text = refusal(plugin.create, "Deployment", wrong)
    assert (
        text
        == f"Deployment {space}/thing: .spec.template.spec.replcas: field not declared in schema"
    )
    number = changed(deployment(space), "spec.template.spec.containers.0.env.0.value", 5)
    assert "expected string" in refusal(plugin.create, "Deployment", number)
    _, failures = plugin.check("ConfigMap", thing(space, spec={}))
    assert failures == [
        (
            "kubernetes:core/v1:ConfigMap has no input spec;"
            " it takes apiVersion, binaryData, data, immutable, kind, metadata"
        )
    ]
    assert ctl.json("get", "deployment")["items"] == []


def test_secrets_stay_out_of_every_message(plugin: Plugin, space: str) -> None:
    news = Properties(
        thing(space, stringData={"token": SECRET}, type="Opaque"), secret=["stringData"]
    )
    made = plugin.create("Secret", news)
    assert {"data", "stringData"} <= made.outputs.secret
    fresh = plugin.read("Secret", made)
    assert fresh is not None
    assert {"data", "stringData"} <= fresh.outputs.secret
    for bad in (
        changed(thing(space, data={"token": SECRET}), "metadata.name", "bad"),
        changed(thing(space, stringData={f"no {SECRET}": SECRET}), "metadata.name", "bad"),
    ):
        assert SECRET not in refusal(plugin.create, "Secret", bad)
    kept = plugin.create(
        "Secret",
        changed(thing(space, stringData={"a": SECRET}, immutable=True), "metadata.name", "kept"),
    )
    other = changed(kept.inputs, "stringData.a", f"{SECRET}-2")
    text = refusal(plugin.update, "Secret", kept, other)
    assert "field is immutable" in text
    assert SECRET not in text


def test_texts_that_a_program_takes_out_of_a_secret_go(
    plugin: Plugin, ctl: Kubectl, space: str
) -> None:
    made = plugin.create("Secret", thing(space, stringData={"a": "1", "b": "2"}))
    fewer = thing(space, stringData={"a": "1"})
    assert plugin.diff("Secret", made, fewer) == {"data.b": "DELETE"}
    plugin.settled("Secret", plugin.update("Secret", made, fewer), fewer)
    assert ctl.json("get", "secret", "thing")["data"] == {"a": "MQ=="}


def test_a_preview_knows_what_it_cannot_know(plugin: Plugin, space: str) -> None:
    news = thing(space, data={"a": "MQ=="})
    shown = plugin.create("Secret", news, preview=True)
    assert shown.id == ""
    assert shown.outputs["metadata"]["resourceVersion"] is UNKNOWN
    assert shown.outputs["metadata"]["uid"] is UNKNOWN
    made = plugin.create("Secret", news)
    other = changed(news, "data.a", "Mg==")
    updated = plugin.update("Secret", made, other, preview=True)
    assert updated.outputs["metadata"]["resourceVersion"] is UNKNOWN
    assert updated.outputs["metadata"]["uid"] == made.outputs["metadata"]["uid"]
    unknown = deployment(space)
    unknown["metadata"]["annotations"]["agent-docker/secret-version"] = UNKNOWN
    assert plugin.check("Deployment", unknown)[1] == []
    old = plugin.create("Deployment", deployment(space))
    assert plugin.diff("Deployment", old, unknown) == {
        'metadata.annotations["agent-docker/secret-version"]': "ADD"
    }


def kubeconfig(cluster: Cluster, folder: Path, **changes: Any) -> str:  # noqa: ANN401
    """The cluster's kubeconfig with another user's token, server or authority, as JSON."""
    found = json.loads(cluster.kubeconfig.read_text())
    for name in ("server", "certificate-authority-data"):
        if name in changes:
            found["clusters"][0]["cluster"][name] = changes[name]
    if "token" in changes:
        found["users"][0]["user"] = {"token": changes["token"]}
    path = folder / "kubeconfig"
    path.write_text(json.dumps(found))
    return str(path)


def test_what_is_forbidden_names_who_may_not_what(
    cluster: Cluster, ctl: Kubectl, space: str, tmp_path: Path
) -> None:
    ctl("create", "serviceaccount", "reader")
    ctl("create", "role", "reader", "--verb=get", "--resource=configmaps")
    ctl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={space}:reader")
    token = ctl("create", "token", "reader").strip()
    news = thing(space, data={"a": "1"})
    with running_plugin({"kubeconfig": kubeconfig(cluster, tmp_path, token=token)}) as plugin:
        text = refusal(plugin.create, "ConfigMap", news)
        assert (
            f'User "system:serviceaccount:{space}:reader" cannot patch resource "configmaps"'
            in text
        )
        assert f'in the namespace "{space}"' in text
        assert "hint: grant that" in text
        secret = refusal(plugin.read, "Secret", Resource(f"{space}/x", Properties(), Properties()))
        assert "cannot get resource" in secret, "what may not be seen is not gone"


def test_a_watch_that_is_not_allowed_costs_time_only(
    cluster: Cluster, ctl: Kubectl, space: str, tmp_path: Path
) -> None:
    ctl("create", "serviceaccount", "maker")
    ctl("create", "role", "maker", "--verb=get,patch,create", "--resource=deployments.apps")
    ctl("create", "rolebinding", "maker", "--role=maker", f"--serviceaccount={space}:maker")
    token = ctl("create", "token", "maker").strip()
    with running_plugin({"kubeconfig": kubeconfig(cluster, tmp_path, token=token)}) as plugin:
        plugin.settled(
            "Deployment", plugin.create("Deployment", deployment(space)), deployment(space)
        )
        bad = deployment(space, "bad", image="fail.test/crash:1", progressDeadlineSeconds=2)
        reason = plugin.fails("Deployment", bad).reason
        assert "has timed out progressing.; its pods cannot be looked at: " in reason
        assert "cannot list resource" in reason


def test_a_server_that_cannot_be_used_is_named(
    cluster: Cluster, space: str, tmp_path: Path
) -> None:
    news = thing(space, data={"a": "1"})
    cases = [
        (
            {"server": "https://127.0.0.1:9"},
            "the API server at https://127.0.0.1:9 cannot be reached",
        ),
        ({"token": "nobody's"}, f"{cluster.server} does not know the kubeconfig's user"),
        ({"certificate-authority-data": ""}, f"no trust in the API server at {cluster.server}"),
    ]
    for changes, wanted in cases:
        config = {"kubeconfig": kubeconfig(cluster, tmp_path, **changes)}
        with running_plugin(config) as plugin:
            text = refusal(plugin.create, "ConfigMap", news)
            assert wanted in text
            assert "nobody's" not in text
            old = Resource(f"{space}/thing", Properties(), Properties())
            assert wanted in refusal(plugin.read, "ConfigMap", old)


def test_a_namespace_that_is_not_there_is_named(plugin: Plugin) -> None:
    text = refusal(plugin.create, "ConfigMap", thing("no-such", data={"a": "1"}))
    assert 'namespaces "no-such" not found\nhint: create the namespace first' in text
    lacking = thing("x", data={})
    del lacking["metadata"]["namespace"]
    assert "has no metadata.namespace" in refusal(plugin.create, "ConfigMap", lacking)


def test_the_providers_namespace_is_the_default(cluster: Cluster, ctl: Kubectl, space: str) -> None:
    news = thing(space, data={"a": "1"})
    del news["metadata"]["namespace"]
    config = {"kubeconfig": cluster.kubeconfig.read_text(), "namespace": space}
    with running_plugin(config) as plugin:
        made = plugin.create("ConfigMap", news)
        assert made.id == f"{space}/thing"
        assert ctl.json("get", "configmap", "thing")["data"] == {"a": "1"}
        plugin.settled("ConfigMap", made, news)
        plugin.delete("ConfigMap", made)


def test_many_at_once(plugin: Plugin, ctl: Kubectl, space: str) -> None:
    every = [deployment(space, f"agent-{index}", replicas=1) for index in range(40)]
    every[7] = deployment(space, "agent-7", image="fail.test/crash:1", progressDeadlineSeconds=3)

    def make(news: Inputs) -> Resource | None:
        try:
            return plugin.create("Deployment", news)
        except grpc.RpcError:
            return None

    with ThreadPoolExecutor(40) as pool:
        made = list(pool.map(make, every))
    assert [index for index, one in enumerate(made) if one is None] == [7]
    for live in ctl.json("get", "deployments")["items"]:
        ready = live["status"].get("readyReplicas", 0)
        assert ready == (0 if live["metadata"]["name"] == "agent-7" else 1)
    found = [one for one in made if one is not None]
    with ThreadPoolExecutor(40) as pool:
        list(pool.map(lambda one: plugin.delete("Deployment", one), found))
    assert [one["metadata"]["name"] for one in ctl.json("get", "deployments")["items"]] == [
        "agent-7"
    ]


PROGRAM = """
import pulumi
import pulumi_kubernetes as k8s

config = pulumi.Config()
opts = pulumi.ResourceOptions(
    provider=k8s.Provider(
        "cluster", kubeconfig=config.require_secret("kubeconfig"), enable_server_side_apply=True
    ),
)
name = config.require("namespace")
space = k8s.core.v1.Namespace(
    "space",
    metadata=k8s.meta.v1.ObjectMetaArgs(
        name=name, labels={"pod-security.kubernetes.io/enforce": "restricted"}
    ),
    opts=opts,
)
labels = {"app": "agent", "app.kubernetes.io/managed-by": "agent-docker"}


def meta(**more):
    return k8s.meta.v1.ObjectMetaArgs(
        name="agent", namespace=space.metadata.name, labels=labels, **more
    )


account = k8s.core.v1.ServiceAccount(
    "agent", metadata=meta(), automount_service_account_token=False, opts=opts
)
secret = k8s.core.v1.Secret(
    "agent", metadata=meta(), string_data={"TOKEN": config.require_secret("token")}, opts=opts
)
version = secret.metadata.apply(lambda found: found.resource_version)
k8s.apps.v1.Deployment(
    "agent",
    metadata=meta(),
    spec=k8s.apps.v1.DeploymentSpecArgs(
        replicas=2,
        progress_deadline_seconds=60,
        selector=k8s.meta.v1.LabelSelectorArgs(match_labels={"app": "agent"}),
        template=k8s.core.v1.PodTemplateSpecArgs(
            metadata=k8s.meta.v1.ObjectMetaArgs(
                labels=labels, annotations={"agent-docker/secret-version": version}
            ),
            spec=k8s.core.v1.PodSpecArgs(
                service_account_name=account.metadata.name,
                security_context=k8s.core.v1.PodSecurityContextArgs(
                    run_as_non_root=True,
                    seccomp_profile=k8s.core.v1.SeccompProfileArgs(type="RuntimeDefault"),
                ),
                containers=[
                    k8s.core.v1.ContainerArgs(
                        name="agent",
                        image=config.require("image"),
                        ports=[k8s.core.v1.ContainerPortArgs(name="http", container_port=8080)],
                        resources=k8s.core.v1.ResourceRequirementsArgs(
                            limits={"cpu": "0.5", "memory": "1024Mi"}
                        ),
                        security_context=k8s.core.v1.SecurityContextArgs(
                            allow_privilege_escalation=False,
                            capabilities=k8s.core.v1.CapabilitiesArgs(drop=["ALL"]),
                        ),
                    )
                ],
            ),
        ),
    ),
    opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[secret])),
)
k8s.core.v1.Service(
    "agent",
    metadata=meta(annotations={"pulumi.com/skipAwait": "true"}),
    spec=k8s.core.v1.ServiceSpecArgs(
        selector={"app": "agent"},
        ports=[k8s.core.v1.ServicePortArgs(name="http", port=80, target_port="http")],
    ),
    opts=opts,
)
k8s.policy.v1.PodDisruptionBudget(
    "agent",
    metadata=meta(),
    spec=k8s.policy.v1.PodDisruptionBudgetSpecArgs(
        max_unavailable=1, selector=k8s.meta.v1.LabelSelectorArgs(match_labels={"app": "agent"})
    ),
    opts=opts,
)
k8s.networking.v1.NetworkPolicy(
    "agent",
    metadata=meta(),
    spec=k8s.networking.v1.NetworkPolicySpecArgs(
        pod_selector=k8s.meta.v1.LabelSelectorArgs(), policy_types=["Ingress"]
    ),
    opts=opts,
)
pulumi.export("uid", space.metadata.uid)
"""


class Stack(Project):
    """The program above in folders of its own."""

    def __init__(self, folder: Path, cluster: Cluster, space: str) -> None:
        super().__init__(folder, PROGRAM)
        self("stack", "init", "dev")
        for name, value in {"namespace": space, "image": IMAGE}.items():
            self("config", "set", name, value)
        self("config", "set", "--secret", "token", SECRET)
        self("config", "set", "--secret", "kubeconfig", cluster.kubeconfig.read_text())

    def __call__(self, *arguments: str, ok: bool = True) -> str:
        done = self.pulumi(*arguments)
        text = done.stdout
        assert (done.returncode == 0) is ok, text
        assert SECRET not in text
        assert base64.b64encode(SECRET.encode()).decode() not in text
        return text

    def up(self, *, ok: bool = True) -> str:
        return self("up", "--yes", "--skip-preview", ok=ok)

    def refresh(self) -> str:
        return self("refresh", "--yes", "--skip-preview")


def test_the_life_of_a_stack(cluster: Cluster, everywhere: Kubectl, tmp_path: Path) -> None:
    space = f"plugin-{secrets.token_hex(4)}"
    ctl = Kubectl(cluster, space)
    stack = Stack(tmp_path, cluster, space)
    assert "9 to create" in stack("preview")
    assert "9 created" in stack.up()
    live = ctl.json("get", "deployment", "agent")
    assert live["status"]["readyReplicas"] == 2
    assert SECRET not in stack("stack", "export")
    for again in (stack.up(), stack.refresh(), stack.up()):
        assert "9 unchanged" in again, again
        assert "updated" not in again, again

    ctl("scale", "deployment/agent", "--replicas=5")
    assert "1 updated" in stack.refresh()
    assert "1 updated" in stack.up()
    assert ctl.json("get", "deployment", "agent")["spec"]["replicas"] == 2

    # Its new version, unknown before, rolls the pods.
    stack("config", "set", "--secret", "token", f"{SECRET}-2")
    assert "2 to update" in stack("preview")
    assert "2 updated" in stack.up()
    assert "9 unchanged" in stack.up()

    stack("config", "set", "image", "fail.test/crash:1")
    program = stack.project / "__main__.py"
    program.write_text(PROGRAM.replace("seconds=60", "seconds=2"))
    text = stack.up(ok=False)
    assert "ends with exit code 1" in text
    assert ctl.json("get", "deployment", "agent")["metadata"]["uid"] in stack("stack", "export")
    stack("config", "set", "image", IMAGE)
    program.write_text(PROGRAM)
    assert "1 updated" in stack.up()

    ctl("delete", "service", "agent")
    assert "1 deleted" in stack.refresh()
    assert "1 created" in stack.up()
    stack("destroy", "--yes", "--skip-preview")
    assert everywhere.run("get", "namespace", space).returncode != 0


def test_what_the_offline_provider_does_not_do_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    stack = Stack(tmp_path, cluster, "unused")
    program = stack.project / "__main__.py"
    program.write_text(f'{PROGRAM}\nk8s.batch.v1.Job("other", spec={{}}, opts=opts)\n')
    text = stack("preview", ok=False)
    assert "the offline kubernetes plugin has no resource type kubernetes:batch/v1:Job" in text
    program.write_text(PROGRAM.replace("enable_server_side_apply=True", "cluster='a'"))
    text = stack("preview", ok=False)
    assert "the offline kubernetes plugin does not do the provider's cluster" in text
    program.write_text(PROGRAM.replace("opts=opts,", "", 1))
    text = stack("preview", ok=False)
    assert "the kubernetes provider has no kubeconfig" in text
