"""The offline `kubernetes` plugin without a cluster: kubeconfigs, comparisons, requests."""

import base64
import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

import pulumi_kubernetes as sdk
import pulumi_kubernetes.apps.v1
import pulumi_kubernetes.autoscaling.v2
import pulumi_kubernetes.core.v1
import pulumi_kubernetes.meta.v1
import pulumi_kubernetes.networking.v1
import pulumi_kubernetes.policy.v1
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi._types import input_type_py_to_pulumi_names

from localcloud.plugins.kubernetes import api as api_module
from localcloud.plugins.kubernetes import readback, shapes, waits, watching
from localcloud.plugins.kubernetes.api import Api
from localcloud.plugins.kubernetes.kinds import KINDS, Kind
from localcloud.plugins.kubernetes.kubeconfig import Access, access
from localcloud.plugins.kubernetes.objects import _hiding, check, create, delete, diff, read, update
from localcloud.plugins.kubernetes.places import Cluster, Place, of_id, of_inputs
from localcloud.plugins.kubernetes.plugin import PLUGIN
from localcloud.plugins.kubernetes.quantities import amount
from localcloud.plugins.kubernetes.refusals import ApiError, manager_of
from localcloud.plugins.kubernetes.sameness import Rules, agree, differences
from localcloud.plugins.kubernetes.waits import gone, seconds, usable
from localcloud.plugins.kubernetes.watching import Watches
from localcloud.plugins.model import Call, InitFailedError, Old, PluginError
from localcloud.plugins.shapes import Fields, names
from localcloud.plugins.values import UNKNOWN, Properties, Value, Values

BY_NAME = {kind.name: kind for kind in KINDS}
DEPLOYMENT, SECRET, CONFIG_MAP = (BY_NAME[name] for name in ("Deployment", "Secret", "ConfigMap"))
TOKEN = "token-of-somebody"  # noqa: S105 - made up
OFFICIAL: list[tuple[type, Any, Fields]] = [
    (sdk.apps.v1.Deployment, sdk.apps.v1.DeploymentInitArgs, BY_NAME["Deployment"].fields),
    (sdk.core.v1.Namespace, sdk.core.v1.NamespaceInitArgs, BY_NAME["Namespace"].fields),
    (sdk.core.v1.Service, sdk.core.v1.ServiceInitArgs, BY_NAME["Service"].fields),
    (sdk.core.v1.ServiceAccount, sdk.core.v1.ServiceAccountInitArgs, shapes.SERVICE_ACCOUNT),
    (sdk.core.v1.Secret, sdk.core.v1.SecretInitArgs, shapes.SECRET),
    (sdk.core.v1.ConfigMap, sdk.core.v1.ConfigMapInitArgs, shapes.CONFIG_MAP),
    (
        sdk.autoscaling.v2.HorizontalPodAutoscaler,
        sdk.autoscaling.v2.HorizontalPodAutoscalerInitArgs,
        BY_NAME["HorizontalPodAutoscaler"].fields,
    ),
    (
        sdk.policy.v1.PodDisruptionBudget,
        sdk.policy.v1.PodDisruptionBudgetInitArgs,
        BY_NAME["PodDisruptionBudget"].fields,
    ),
    (
        sdk.networking.v1.NetworkPolicy,
        sdk.networking.v1.NetworkPolicyInitArgs,
        BY_NAME["NetworkPolicy"].fields,
    ),
]


@pytest.mark.parametrize(("official", "arguments", "ours"), OFFICIAL)
def test_tokens_and_inputs_are_those_of_the_official_sdk(
    official: Any,  # noqa: ANN401 - a class of the SDK
    arguments: type,
    ours: Fields,
) -> None:
    tokens = {kind.token: kind for kind in KINDS}
    assert names(tokens[official.pulumi_type].fields) == names(ours)
    assert names(ours) == set(input_type_py_to_pulumi_names(arguments).values())


def test_the_provider_and_metadata_are_those_of_the_official_sdk() -> None:
    for arguments, ours in (
        (sdk.ProviderArgs, shapes.PROVIDER),
        (sdk.meta.v1.ObjectMetaArgs, shapes.METADATA),
    ):
        assert names(ours) == set(input_type_py_to_pulumi_names(arguments).values())
    assert len(PLUGIN.types) == len(OFFICIAL)
    assert metadata.version("pulumi-kubernetes") == PLUGIN.version


def test_paths_are_those_of_the_api() -> None:
    assert BY_NAME["Namespace"].collection("") == "/api/v1/namespaces"
    assert SECRET.collection("a") == "/api/v1/namespaces/a/secrets"
    assert DEPLOYMENT.collection("a/../b") == "/apis/apps/v1/namespaces/a%2F..%2Fb/deployments"
    assert Place(DEPLOYMENT, "a", "b").path == "/apis/apps/v1/namespaces/a/deployments/b"


# Kubeconfigs


def config(**changes: Any) -> Values:  # noqa: ANN401
    """A whole one; `cluster` and `user` are laid over its parts."""
    return {
        "current-context": "here",
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "own"}},
            {"name": "anonymous", "context": {"cluster": "c"}},
        ],
        "clusters": [
            {
                "name": "c",
                "cluster": {"server": "http://127.0.0.1:1/", **changes.get("cluster", {})},
            }
        ],
        "users": [{"name": "u", "user": {"token": TOKEN, **changes.get("user", {})}}],
    }


def settings(document: Values | str, **more: Value) -> Properties:
    text = document if isinstance(document, str) else json.dumps(document)
    return Properties({"kubeconfig": text, **more})


def test_a_kubeconfig_is_read_from_its_contents_or_its_path(tmp_path: Path) -> None:
    found = access(settings(config()))
    assert (found.server, found.namespace) == ("http://127.0.0.1:1", "own")
    assert found.headers() == {"Authorization": f"Bearer {TOKEN}"}
    path = tmp_path / "kubeconfig"
    path.write_text(
        "current-context: other\n"
        "contexts: [{name: here, context: {cluster: c, user: u}}]\n"
        "clusters: [{name: c, cluster: {server: 'http://a.test'}}]\n"
        "users: [{name: u, user: {tokenFile: token}}]\n"
    )
    found = access(settings(str(path), context="here", namespace="given"))
    assert (found.server, found.namespace, found.tls) == ("http://a.test", "given", None)
    (tmp_path / "token").write_text(" first \n")
    assert found.headers() == {"Authorization": "Bearer first"}
    (tmp_path / "token").write_text("second")
    assert found.headers() == {"Authorization": "Bearer second"}
    (tmp_path / "token").unlink()
    with pytest.raises(PluginError, match="tokenFile cannot be read"):
        found.headers()
    assert access(settings(config(), context="anonymous")).headers() == {}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (Properties(), "has no kubeconfig"),
        (settings(" "), "has no kubeconfig"),
        (settings("/nonexistent/kubeconfig"), "cannot be read"),
        (settings("{"), "neither YAML nor JSON"),
        (settings("a: b: c\n- d"), "neither YAML nor JSON"),
        (settings("[]\n\n[]"), "neither YAML nor JSON"),
        (settings(config(), context="there"), "no context 'there'; it has anonymous, here"),
        (settings({**config(), "current-context": ""}), "has no current-context"),
        (settings({**config(), "clusters": []}), "no cluster 'c'; it has none"),
        (settings(config(cluster={"server": "a.test"})), "server is 'a.test', expected a URL"),
        (settings(config(cluster={"proxy-url": "http://p"})), "does not do proxy-url"),
        (settings(config(user={"exec": {"command": "x"}})), "does not do exec .* it runs no prog"),
        (settings(config(user={"auth-provider": {"name": "x"}})), "it runs no programs"),
        (settings(config(user={"username": "x", "password": "y"})), "does not do password, userna"),
        (settings(config(), enableServerSideApply=False), "enableServerSideApply=false"),
        (settings(config(), cluster="c", deleteUnreachable=True), "provider's cluster, deleteUn"),
    ],
)
def test_what_a_kubeconfig_lacks_or_may_not_have_is_named(given: Properties, text: str) -> None:
    with pytest.raises(PluginError, match=text) as caught:
        access(given)
    assert TOKEN not in str(caught.value)


def test_the_shell_has_no_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / ".kube"
    folder.mkdir()
    (folder / "config").write_text(json.dumps(config()))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(folder / "config"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    with pytest.raises(PluginError, match="reads neither"):
        access(Properties({"context": "here"}))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate and its key in one file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=a.test", "-keyout", f"{path}.key", "-out", path),
        ],
        check=True,
        capture_output=True,
    )
    return path


def test_certificates_come_as_data_or_as_files(certificate: Path) -> None:
    text = base64.b64encode(certificate.read_bytes()).decode()
    cluster = {"server": "https://a.test", "certificate-authority-data": text}
    user = {"client-certificate": certificate.name, "client-key": f"{certificate.name}.key"}
    path = certificate.parent / "kubeconfig"
    path.write_text(json.dumps(config(cluster=cluster, user=user)))
    found = access(settings(str(path)))
    assert found.tls is not None
    assert found.tls.verify_mode is ssl.CERT_REQUIRED
    assert len(found.tls.get_ca_certs()) == 1
    loose = {**cluster, "insecure-skip-tls-verify": True}
    found = access(settings(config(cluster=loose)))
    assert found.tls is not None
    assert found.tls.verify_mode is ssl.CERT_NONE
    for bad in ({"certificate-authority-data": "?"}, {"certificate-authority": "/nonexistent"}):
        with pytest.raises(PluginError, match="certificate-authority cannot be read"):
            access(settings(config(cluster={"server": "https://a.test", **bad})))
    with pytest.raises(PluginError, match="certificates cannot be used"):
        access(settings(config(cluster=cluster, user={"client-certificate-data": "eA=="})))


# Comparisons


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0.5", "500m"),
        ("1024Mi", "1Gi"),
        ("1", "1000m"),
        ("1e3", "1k"),
        ("0.1", "100000u"),
        ("2E", "2000P"),
        (".5", "500m"),
        ("1E-3", "1m"),
    ],
)
def test_amounts_that_are_the_same(one: str, other: str) -> None:
    assert amount(one) == amount(other) is not None


def test_what_is_no_amount() -> None:
    assert [amount(text) for text in ("", "m", "1Mii", "one", "1 Gi")] == [None] * 5
    assert amount("1G") != amount("1Gi")


def changes(live: Values, new: Values, old: Values | None = None, kind: Kind = DEPLOYMENT) -> Any:  # noqa: ANN401
    return differences(kind.rules, live, new, new if old is None else old)


def pod(**container: Value) -> Values:
    return {"spec": {"containers": [{"name": "a", **container}]}}


@pytest.mark.parametrize(
    ("live", "new"),
    [
        (pod(resources={"limits": {"cpu": "500m"}}), pod(resources={"limits": {"cpu": 0.5}})),
        (pod(image="i", imagePullPolicy="Always"), pod(image="i")),
        (pod(ports=[{"containerPort": 1, "protocol": "TCP"}]), pod(ports=[{"containerPort": 1}])),
        (pod(env=[{"name": "X"}, {"name": "Y"}]), pod(env=[{"name": "Y"}])),
        (pod(stdin=None), pod(stdin=False, args=[], env=None, command=None)),
        ({"spec": {"emptyDir": {"sizeLimit": "1Gi"}}}, {"spec": {"emptyDir": {}}}),
        ({"a": {"target": {"value": "1k"}}}, {"a": {"target": {"value": "1000"}}}),
        ({"port": 80}, {"port": "80"}),
        ({"labels": {"a": "1", "b": "2"}}, {"labels": {"b": "2", "a": "1"}}),
    ],
)
def test_what_is_the_same(live: Values, new: Values) -> None:
    assert changes(live, new) == {}


@pytest.mark.parametrize(
    ("live", "new", "path"),
    [
        (pod(env=[{"name": "X", "value": "1"}]), pod(env=[{"name": "X", "value": "1.0"}]), None),
        (pod(tty=True), pod(tty=1), "spec.containers[0].tty"),
        (pod(command=["a"]), pod(command=["a", "b"]), "spec.containers[0].command"),
        (pod(command=["a", "b"]), pod(command=["b", "a"]), "spec.containers[0].command[0]"),
        (pod(image="i"), pod(image=UNKNOWN), "spec.containers[0].image"),
        (pod(image="i"), pod(image={"a": "b"}), "spec.containers[0].image"),
        ({"replicas": 3}, {"replicas": 0}, "replicas"),
        ({"selector": {"a": "1", "b": "2"}}, {"selector": {"a": "1"}}, "selector.b"),
        ({"l": {'a"b\\c': "1"}}, {"l": {'a"b\\c': "2"}}, 'l["a\\"b\\\\c"]'),
    ],
)
def test_what_is_another(live: Values, new: Values, path: str | None) -> None:
    found = changes(live, new)
    assert next(iter(found)) == (path or "spec.containers[0].env[0].value")


def test_what_a_program_no_longer_sets() -> None:
    old: Values = {"spec": {"replicas": 3, "paused": True}, "labels": {"a": "1"}}
    live: Values = {"spec": {"replicas": 3}, "labels": {"a": "1"}}
    assert changes(live, {"spec": {}}, old) == {"spec.replicas": "delete", "labels": "delete"}
    twice = pod(env=[{"name": "X", "value": "1"}, {"name": "X", "value": "2"}])
    assert changes(twice, twice) == {}, "names that are not told apart go by their order"


def test_items_are_told_apart_by_their_names() -> None:
    x, y, z = ({"name": name, "value": "1"} for name in "xyz")
    at = "spec.containers[0].env"
    assert changes(pod(env=[x, y]), pod(env=[x, z, y])) == {f"{at}[1]": "add"}
    assert changes(pod(env=[x, y]), pod(env=[x]), pod(env=[x, y])) == {f"{at}[1]": "delete"}
    assert changes(pod(env=[x, y]), pod(env=[y, x])) == {at: "update"}
    assert changes(pod(env=[x]), pod(env=["x"])) == {f"{at}[0]": "update"}


def test_the_state_has_of_a_list_what_the_program_wrote() -> None:
    live: Values = {
        "metadata": {"name": "a"},
        "spec": {
            "replicas": 3,
            "containers": [
                {"name": "mesh", "image": "m"},
                {"name": "a", "image": "i", "args": ["x", "y"], "imagePullPolicy": "Always"},
            ],
            "selector": {"matchLabels": {"a": "1", "b": "2"}},
        },
    }
    wrote: Values = {"name": "a", "image": "old", "args": ["x"]}
    inputs: Values = {
        "metadata": {"name": "a"},
        "spec": {"containers": [wrote], "selector": {"matchLabels": {"a": "1"}}, "gone": 1},
    }
    assert readback.state(DEPLOYMENT, live, inputs)["spec"] == {
        "containers": [{"name": "a", "image": "i", "args": ["x", "y"]}],
        "selector": {"matchLabels": {"a": "1", "b": "2"}},
    }


def test_what_is_logged_has_no_secrets() -> None:
    shown: list[str] = []
    log = _hiding(shown.append, Properties(words=["correct-horse"]))
    log("exec: correct-horse: not found")
    assert shown == ["exec: [secret]: not found"]


def test_a_network_policy_is_compared_as_a_whole() -> None:
    policy = BY_NAME["NetworkPolicy"]
    given: Values = {"spec": {"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]}}
    live: Values = {
        "spec": {
            "podSelector": {},
            "egress": [{"ports": [{"port": 53, "protocol": "TCP"}]}],
            "policyTypes": ["Ingress", "Egress"],
        }
    }
    assert changes(live, given, kind=policy) == {}
    opened: Values = {"spec": {**live["spec"], "ingress": [{}]}}  # type: ignore[dict-item]
    assert changes(opened, given, kind=policy) == {"spec.ingress": "delete"}
    assert agree(policy.rules, "spec", live["spec"], given["spec"])
    assert not agree(policy.rules, "spec", live["spec"], opened["spec"])


texts = st.dictionaries(st.sampled_from("abc"), st.text(max_size=3), max_size=3)


@given(texts, texts)
def test_two_maps_agree_exactly_when_they_say_the_same(one: Any, other: Any) -> None:  # noqa: ANN401
    said = [{key: text for key, text in both.items() if text} for both in (one, other)]
    assert agree(Rules({}), "labels", one, other) == (said[0] == said[1])


# States


def live_secret(**data: str) -> Values:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": "s",
            "namespace": "n",
            "uid": "u",
            "resourceVersion": "7",
            "creationTimestamp": "now",
            "managedFields": [{"manager": "agent-docker"}],
            "annotations": {readback.URN: "urn", "theirs": "1"},
        },
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()},
    }


def test_texts_of_a_secret_come_back_as_written() -> None:
    inputs: Values = {"metadata": {"name": "s"}, "stringData": {"a": "1", "gone": "2"}}
    live = live_secret(a="1", theirs="x")
    assert readback.written(inputs)["data"] == {"a": "MQ==", "gone": "Mg=="}
    assert readback.found_inputs(SECRET, live, inputs) == {
        "metadata": {"name": "s"},
        "stringData": {"a": "1"},
    }
    assert readback.state(SECRET, live, inputs)["data"] == {"a": "MQ=="}
    live["data"] = {"a": "/w==", "gone": "?"}
    found = readback.found_inputs(SECRET, live, inputs)
    assert found["stringData"] == {"a": "\N{REPLACEMENT CHARACTER}", "gone": "?"}
    for unknown in ({"stringData": UNKNOWN}, {"stringData": {}, "data": UNKNOWN}):
        assert readback.written(unknown)["data"] is UNKNOWN
    assert readback.written({"stringData": {"a": UNKNOWN}})["data"] == {"a": UNKNOWN}


def test_an_import_has_everything_but_the_servers_own() -> None:
    live = live_secret(a="1")
    found = readback.found_inputs(SECRET, live, {})
    assert found["metadata"] == {"name": "s", "namespace": "n", "annotations": {"theirs": "1"}}
    state = readback.state(SECRET, live, {})
    assert state["data"] == {"a": "MQ=="}
    assert "managedFields" not in state["metadata"]  # type: ignore[operator]
    assert diff(SECRET, Old("n/s", Properties(state), Properties(found)), Properties(found)) == {}
    plain: Values = {**live, "metadata": {"name": "s", "annotations": {readback.URN: "urn"}}}
    assert readback.found_inputs(SECRET, plain, {})["metadata"] == {"name": "s"}


def test_a_load_balancers_address_is_kept() -> None:
    service = BY_NAME["Service"]
    address: Value = {"ingress": [{"ip": "192.0.2.1"}]}
    live: Values = {
        "metadata": {"name": "s"},
        "spec": {"clusterIP": "10.0.0.1", "ports": []},
        "status": {"loadBalancer": address},
    }
    state = readback.state(service, live, {"metadata": {"name": "s"}, "spec": {}})
    assert state["status"] == {"loadBalancer": address}
    assert state["spec"] == live["spec"]


def test_versions_are_no_news_for_a_refresh() -> None:
    one: Values = {"name": "a", "uid": "1", "resourceVersion": "1"}
    assert readback.same(SECRET, "metadata", one, {**one, "resourceVersion": "2"})
    assert not readback.same(SECRET, "metadata", one, {**one, "uid": "2"})


def test_what_a_preview_knows() -> None:
    known: Values = {"metadata": {"name": "a"}}
    before: Values = {"name": "a", "uid": "1", "resourceVersion": "1"}
    old = Old("a", Properties({"metadata": before}), Properties(known))
    assert readback.preview(CONFIG_MAP, known, old)["metadata"] == {
        **before,
        "resourceVersion": UNKNOWN,
    }
    assert readback.preview(DEPLOYMENT, known, old)["metadata"] == before


@pytest.mark.parametrize(
    ("kind", "inputs", "path"),
    [
        (DEPLOYMENT, {"metadata": {"namespace": "a"}}, "metadata.name"),
        (DEPLOYMENT, {"metadata": {"generateName": "a-"}}, "metadata.name"),
        (DEPLOYMENT, {}, "metadata.name"),
        (DEPLOYMENT, {"metadata": {"name": "a"}, "apiVersion": "apps/v2"}, "apiVersion"),
        (DEPLOYMENT, {"metadata": {"name": "a"}, "kind": "Pod"}, "kind"),
        (DEPLOYMENT, {"metadata": {"name": "a", "uid": "1"}}, "metadata.uid"),
        (BY_NAME["Namespace"], {"metadata": {"name": "a", "namespace": "b"}}, "metadata.namespace"),
        (DEPLOYMENT, {"metadata": {"name": UNKNOWN}}, None),
        (DEPLOYMENT, {"metadata": UNKNOWN}, None),
    ],
)
def test_what_the_program_alone_shows_to_be_wrong(
    kind: Kind, inputs: Values, path: str | None
) -> None:
    assert [one.path for one in check(kind, Properties(inputs))] == ([path] if path else [])


def test_where_an_object_is() -> None:
    assert of_inputs(SECRET, {"metadata": {"name": "a"}}, "n").id == "n/a"
    assert of_inputs(BY_NAME["Namespace"], {"metadata": {"name": "a"}}, "n").id == "a"
    with pytest.raises(PluginError, match=r"has no metadata\.namespace"):
        of_inputs(SECRET, {"metadata": {"name": "a"}}, "")
    assert of_id(SECRET, "m/a", "n").namespace == "m"
    assert of_id(SECRET, "a", "n").namespace == "n"
    assert of_id(BY_NAME["Namespace"], "a", "n").namespace == ""
    with pytest.raises(PluginError, match=r"expected name$"):
        of_id(BY_NAME["Namespace"], "n/a", "")


# Requests

Answer = tuple[int, Values | bytes]
Judge = Callable[[str, str, bytes], Answer]


@dataclass
class Server:
    """An API server that answers as told: in order, the last one for ever, or as `judge` says."""

    answers: list[Answer]
    judge: Judge | None = None
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    api: Api = field(init=False)


@contextmanager
def serving(*answers: Answer | Judge) -> Iterator[Server]:
    judges = [one for one in answers if callable(one)]
    told = Server([one for one in answers if not callable(one)], *judges)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            told.asked.append((self.command, self.path, dict(self.headers), body))
            if told.judge is not None:
                status, content = told.judge(self.command, self.path, body)
            else:
                status, content = told.answers.pop(0) if told.answers[1:] else told.answers[0]
            if status == 0:
                self.close_connection = True
                return
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PATCH = do_DELETE = answer  # noqa: N815 - the protocol's names

        def log_message(self, *arguments: object) -> None:
            del arguments

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    told.api = Api(Access(url, "here", "", None, "", TOKEN, None))
    try:
        yield told
    finally:
        told.api.close()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(watching, "_PAUSE_SECONDS", 0.01)


def status(reason: str, message: str, **details: Value) -> Values:
    return {"kind": "Status", "reason": reason, "message": message, "details": details}


PATH = "/api/v1/namespaces/n/configmaps/a"
MISSING = status("NotFound", 'configmaps "a" not found', name="a", kind="configmaps")


@pytest.mark.parametrize(
    "first",
    [
        (429, status("TooManyRequests", "slow down")),
        (503, b"no upstream"),
        (500, status("InternalError", "etcdserver: leader changed")),
        (0, b""),
    ],
)
def test_what_may_pass_is_asked_again(first: Answer) -> None:
    with serving(first, (200, {"kind": "ConfigMap"})) as server:
        found = server.api.apply("it", PATH, {"a": 1}, force=True)
        assert found == {"kind": "ConfigMap"}
        (method, path, headers, body), again = server.asked
        assert again == (method, path, headers, body)
        assert method == "PATCH"
        assert path == f"{PATH}?fieldManager=agent-docker&fieldValidation=Strict&force=true"
        assert headers["Content-Type"] == "application/apply-patch+yaml"
        assert headers["Authorization"] == f"Bearer {TOKEN}"
        assert json.loads(body) == {"a": 1}


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            (500, {"message": "failed to create typed patch object (n/a; v1): .x: not declared"}),
            "it: .x: not declared",
        ),
        ((403, status("Forbidden", 'User "u" cannot get resource "x"')), "hint: grant that"),
        ((403, status("Forbidden", "pods: exceeded quota: q")), "hint: raise the namespace's Res"),
        ((401, status("Unauthorized", "Unauthorized")), "does not know the kubeconfig's user"),
        ((422, status("Invalid", "field is immutable")), "hint: delete it first"),
        ((404, status("NotFound", 'namespaces "n" not found')), "create the namespace first"),
        (
            (409, status("Conflict", "Apply failed", causes=[{"field": ".data.a"}])),
            "Apply failed (.data.a)",
        ),
        ((418, b"<html>"), "it: the server answers 418"),
        ((400, status("BadRequest", "x" * 5000)), "…"),
    ],
)
def test_a_refusal_is_told_at_once(answer: Answer, text: str) -> None:
    with serving(answer) as server:
        with pytest.raises(ApiError) as caught:
            server.api.get("it", PATH)
        assert text in str(caught.value)
        assert len(str(caught.value)) < 1000
        assert TOKEN not in str(caught.value)
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "is_gone"),
    [
        ((404, MISSING), True),
        ((404, status("NotFound", 'namespaces "n" not found', name="n")), False),
        ((404, status("NotFound", "the server could not find the requested resource")), False),
        ((404, b"a proxy's page"), False),
        ((403, status("Forbidden", "no", name="a")), False),
        ((401, status("Unauthorized", "no", name="a")), False),
    ],
)
def test_only_the_servers_own_word_says_that_something_is_gone(
    answer: Answer,
    is_gone: bool,  # noqa: FBT001
) -> None:
    with serving(answer) as server:
        if is_gone:
            assert server.api.find("it", PATH) is None
        else:
            with pytest.raises(ApiError):
                server.api.find("it", PATH)


def test_nobody_there_is_named_after_some_tries() -> None:
    with serving((0, b"")) as server, pytest.raises(PluginError) as caught:
        server.api.get("it", PATH)
    assert "it: the API server at http://127.0.0.1:" in str(caught.value)
    assert "cannot be reached" in str(caught.value)
    assert len(server.asked) == 3


def event(kind: str, name: str, version: str) -> bytes:
    live = {"metadata": {"name": name, "resourceVersion": version}}
    return json.dumps({"type": kind, "object": live}).encode() + b"\n"


def version_of(live: Values | None) -> Any:  # noqa: ANN401
    assert live is not None
    return live["metadata"]["resourceVersion"]  # type: ignore[index, call-overload]


def test_a_watch_tells_each_follower_of_its_own() -> None:
    first = event("ADDED", "a", "1") + event("ADDED", "b", "2") + event("MODIFIED", "a", "3")
    second = event("DELETED", "b", "5")
    with serving((200, first), (500, b""), (200, b"no json\n"), (200, second)) as server:
        watches = Watches(server.api)
        with watches.following("/x", "a") as a, watches.following("/x", "b") as b:
            assert version_of(a.next(5)) in {"1", "3"}
            assert version_of(b.next(5)) == "2"
            assert version_of(b.next(5)) == "5"
            assert a.next(0) is None or version_of(a.next(0)) == "3"
        assert all(path.startswith("/x?watch=1") for _, path, _, _ in server.asked)
        with watches.following("/x", "a"):
            pass


def call(cluster: Cluster, log: Callable[[str], None] = print, timeout: float = 0) -> Call[Cluster]:
    return Call(cluster, "urn", "name", timeout, threading.Event(), log)


def test_how_long_a_wait_may_take() -> None:
    annotated: Values = {"metadata": {"annotations": {"pulumi.com/timeoutSeconds": "7"}}}
    with serving((200, {})) as server:
        cluster = Cluster(server.api, Watches(server.api))
        assert seconds(call(cluster, timeout=5), annotated) == 7
        assert seconds(call(cluster, timeout=5), {}) == 5
        assert seconds(call(cluster), {}) == 600
        assert seconds(call(cluster), {"spec": {"progressDeadlineSeconds": 3600}}) == 3660


def test_what_holds_a_namespace_is_named() -> None:
    said = {"type": "NamespaceContentRemaining", "status": "True", "message": "pods. has 2"}
    held: Values = {
        "metadata": {"uid": "1"},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"conditions": [said, {"type": "Other", "status": "True", "message": "no"}]},
    }
    at = Place(BY_NAME["Namespace"], "", "n")
    with serving((200, held)) as server:
        asking = call(Cluster(server.api, Watches(server.api)))
        with pytest.raises(PluginError, match=r"after 0 s: held by kubernetes; pods. has 2$"):
            gone(asking, at, "1", 0)
        gone(asking, at, "2", 0)
        asking.cancelled.set()
        with pytest.raises(PluginError, match="cancelled"):
            gone(asking, at, "1", 60)
        usable(asking, at)


def test_a_namespaces_account_is_waited_for_by_those_who_may_look() -> None:
    at = Place(BY_NAME["Namespace"], "", "n")
    missing = status("NotFound", "not found", name="default")
    with serving((404, missing), (200, {})) as server:
        usable(call(Cluster(server.api, Watches(server.api))), at)
        assert len(server.asked) == 2
    with serving((403, status("Forbidden", "no"))) as server:
        usable(call(Cluster(server.api, Watches(server.api))), at)
    with serving((400, status("BadRequest", "no"))) as server, pytest.raises(ApiError):
        usable(call(Cluster(server.api, Watches(server.api))), at)


def test_who_made_an_object() -> None:
    labels: Values = {"app.kubernetes.io/managed-by": "helm"}
    fields: Value = [{"manager": "helm"}, {"manager": "kubectl"}, {"manager": "helm"}]
    whole: Values = {"metadata": {"labels": labels, "managedFields": fields}}
    assert manager_of(whole) == "label managed-by: helm; fields of helm, kubectl"
    assert manager_of({"metadata": {}}) == "nobody that says so"


# The life of an object, in words with the server


@dataclass
class World:
    """An API server with a few objects by their paths; what is applied gets a uid."""

    objects: dict[str, Values] = field(default_factory=dict)
    refusals: dict[tuple[str, str], Answer] = field(default_factory=dict)
    """By method and path."""
    asked: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    server: Server = field(init=False)

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        path, _, query = path.partition("?")
        self.asked.append(f"{method} {path}")
        if (method, path) in self.refusals:
            return self.refusals[method, path]
        if "watch=1" in query:
            return 403, status("Forbidden", "no watch")
        if method == "PATCH":
            live: Values = {"metadata": {}, **json.loads(body)}
            live["metadata"] = {"uid": "1", "generation": 1, **live["metadata"]}  # type: ignore[dict-item]
            self.objects[path] = live
        if path not in self.objects:
            return 404, status("NotFound", "not found", name=path.rpartition("/")[2])
        return 200, self.objects.pop(path) if method == "DELETE" else self.objects[path]

    def call(self, *, timeout: float = 0) -> Call[Cluster]:
        cluster = Cluster(self.server.api, Watches(self.server.api))
        return Call(cluster, "urn", "thing", timeout, threading.Event(), self.log.append)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    with serving(made.answer) as server:
        made.server = server
        yield made


def config_map(uid: str = "1", **metadata: Value) -> Values:
    named: Values = {"name": "a", "namespace": "n", "uid": uid, **metadata}
    return {"metadata": named, "data": {"a": "1"}}


WANTED = Properties({"metadata": {"name": "a", "namespace": "n"}, "data": {"a": "1"}})
OLD = Old("n/a", Properties(config_map()), WANTED)


def test_a_create_applies_what_is_not_there(world: World) -> None:
    made = create(CONFIG_MAP, world.call(), WANTED)
    assert made.id == "n/a"
    assert made.outputs["metadata"] == {"name": "a", "namespace": "n", "uid": "1"}
    assert world.asked == [f"GET {PATH}", f"PATCH {PATH}"]
    assert world.objects[PATH]["metadata"]["annotations"] == {readback.URN: "urn"}  # type: ignore[index, call-overload]
    again = create(CONFIG_MAP, world.call(), WANTED)
    assert again.outputs == made.outputs, "its own, from a create whose answer was lost"
    world.objects[PATH] = config_map()
    with pytest.raises(PluginError, match="is there already, and not from this resource"):
        create(CONFIG_MAP, world.call(), WANTED)
    world.objects[PATH] = config_map(deletionTimestamp="now")
    with pytest.raises(PluginError, match="still there after 1e-06 s"):
        create(CONFIG_MAP, world.call(timeout=1e-6), WANTED)


def test_an_update_is_of_the_object_of_the_state(world: World) -> None:
    world.objects[PATH] = config_map()
    assert update(CONFIG_MAP, world.call(), OLD, WANTED)["data"] == {"a": "1"}
    conflict = status("Conflict", "uid mismatch")
    world.refusals["PATCH", PATH] = (409, conflict)
    world.objects[PATH] = config_map(uid="2")
    with pytest.raises(PluginError, match="is not the one of the state"):
        update(CONFIG_MAP, world.call(), OLD, WANTED)
    world.objects[PATH] = config_map()
    with pytest.raises(ApiError, match="uid mismatch"):
        update(CONFIG_MAP, world.call(), OLD, WANTED)
    del world.objects[PATH]
    with pytest.raises(ApiError, match="uid mismatch"):
        update(CONFIG_MAP, world.call(), OLD, WANTED)
    assert world.log == ["it was gone: made anew"]


def test_a_secrets_values_are_hidden_in_a_refusal(world: World) -> None:
    path = PATH.replace("configmaps", "secrets")
    inputs = Properties(
        {"metadata": {"name": "a", "namespace": "n"}, "stringData": {"k": "hidden"}}
    )
    world.refusals["PATCH", path] = (422, status("Invalid", "k: hidden and aGlkZGVu are no"))
    with pytest.raises(PluginError) as caught:
        create(SECRET, world.call(), inputs)
    assert str(caught.value) == "Secret n/a: k: [secret] and [secret] are no"


def test_a_deletion_is_of_the_object_of_the_state(world: World) -> None:
    world.objects[PATH] = config_map()
    delete(CONFIG_MAP, world.call(), OLD)
    assert json.loads(world.server.asked[-1][3]) == {
        "propagationPolicy": "Background",
        "preconditions": {"uid": "1"},
    }
    delete(CONFIG_MAP, world.call(), OLD)
    world.refusals["DELETE", PATH] = (409, status("Conflict", "the UID does not match"))
    delete(CONFIG_MAP, world.call(), OLD)
    world.objects[PATH] = config_map(uid="2")
    delete(CONFIG_MAP, world.call(), OLD)
    assert world.log == ["left alone: somebody made another under its name"]
    world.objects[PATH] = config_map()
    with pytest.raises(ApiError, match="does not match"):
        delete(CONFIG_MAP, world.call(), OLD)
    world.objects[PATH] = config_map(deletionTimestamp="now", finalizers=["x/y"])
    with pytest.raises(PluginError, match="held by x/y"):
        delete(CONFIG_MAP, world.call(timeout=1e-6), OLD)
    world.refusals["DELETE", PATH] = (403, status("Forbidden", "no"))
    with pytest.raises(ApiError, match="no"):
        delete(CONFIG_MAP, world.call(), OLD)


def test_a_read_is_of_the_object_of_the_state(world: World) -> None:
    world.objects[PATH] = config_map()
    found = read(CONFIG_MAP, world.call(), OLD)
    assert found is not None
    assert found.inputs == WANTED
    world.objects[PATH] = config_map(uid="2")
    assert read(CONFIG_MAP, world.call(), OLD) is None
    imported = read(CONFIG_MAP, world.call(), Old("n/a", Properties(), Properties()))
    assert imported is not None
    path = PATH.replace("configmaps", "secrets")
    world.objects[path] = {**config_map(), "data": {"k": "MQ=="}}
    texts = Properties({"metadata": {"name": "a"}, "stringData": {"k": "1"}})
    secret = read(SECRET, world.call(), Old("n/a", Properties(config_map()), texts))
    assert secret is not None
    assert secret.outputs["stringData"] == {"k": "1"}


DEPLOYMENT_PATH = "/apis/apps/v1/namespaces/n/deployments/a"
ROLLS = Properties(
    {
        "metadata": {"name": "a", "namespace": "n"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "a"}}},
    }
)


def test_a_rollout_is_followed_without_a_watch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits, "_SLICE_SECONDS", 0.01)
    monkeypatch.setattr(waits, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(waits, "_TROUBLE_SECONDS", 0.0)
    with pytest.raises(InitFailedError) as caught:
        create(DEPLOYMENT, world.call(timeout=0.2), ROLLS)
    assert caught.value.made.id == "n/a"
    assert caught.value.reason == (
        "Deployment n/a: not rolled out within 0.2 s: the controller has not seen it yet:"
        " its pods cannot be looked at: Deployment n/a: not found"
    )
    for path in ("/apis/apps/v1/namespaces/n/replicasets", "/api/v1/namespaces/n/pods"):
        world.objects[path] = {"items": []}
    late = {"type": "Progressing", "status": "False", "message": "timed out"}
    failed: Values = {"observedGeneration": 1, "conditions": [late]}
    world.objects[DEPLOYMENT_PATH]["status"] = failed
    sent = json.loads(json.dumps(world.objects[DEPLOYMENT_PATH]))
    world.refusals["PATCH", DEPLOYMENT_PATH] = (200, sent)
    with pytest.raises(InitFailedError, match=r"Deployment n/a: timed out$"):
        create(DEPLOYMENT, world.call(), ROLLS)
    done: Values = {"observedGeneration": 1, "updatedReplicas": 1, "availableReplicas": 1}
    sent["status"] = {}
    world.objects[DEPLOYMENT_PATH]["status"] = {**done, "replicas": 1}
    assert create(DEPLOYMENT, world.call(), ROLLS).id == "n/a"
    world.objects[DEPLOYMENT_PATH]["metadata"]["uid"] = "2"  # type: ignore[index, call-overload]
    with pytest.raises(InitFailedError, match="somebody deleted it while it rolled out"):
        create(DEPLOYMENT, world.call(), ROLLS)
    asking = world.call()
    asking.cancelled.set()
    with pytest.raises(InitFailedError, match="cancelled before it had rolled out"):
        create(DEPLOYMENT, asking, ROLLS)
    world.refusals["GET", DEPLOYMENT_PATH] = (200, world.objects[DEPLOYMENT_PATH])
    annotated = Properties({**ROLLS, "metadata": {"name": "a", "namespace": "n"}})
    annotated["metadata"]["annotations"] = {waits.SKIP: "true"}  # type: ignore[index, call-overload]
    assert create(DEPLOYMENT, world.call(), annotated).id == "n/a"


def test_a_server_that_goes_while_it_is_waited_for_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/api/v1/namespaces/n/serviceaccounts/default"
    world.refusals["GET", path] = (500, status("InternalError", "etcd is away"))
    inputs = Properties({"metadata": {"name": "n"}})
    with pytest.raises(InitFailedError, match="etcd is away") as caught:
        create(BY_NAME["Namespace"], world.call(), inputs)
    assert caught.value.made.id == "n"
    monkeypatch.setattr(waits, "_ACCOUNT_SECONDS", 0.0)
    assert create(BY_NAME["Namespace"], world.call(), inputs).id == "n"


def test_a_line_is_shown_once_a_second_at_most() -> None:
    shown: list[str] = []
    with serving((200, {})) as server:
        asking = call(Cluster(server.api, Watches(server.api)), shown.append)
        progress = waits._Progress(asking)
        progress.show("at once")
        progress.at -= 1
        progress.show("1 of 3 ready")
        progress.show("2 of 3 ready")
        progress.at -= 1
        progress.show("1 of 3 ready")
    assert shown == ["1 of 3 ready"]
