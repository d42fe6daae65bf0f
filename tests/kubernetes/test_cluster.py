"""The control plane itself: it admits and fails as a real one, and goes without a trace."""

import json
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kubernetes.conftest import Kubectl, until
from tools import cluster as control_plane
from tools.cluster import KUBERNETES, Cluster, NotOurs, processes
from tools.cluster.layout import Layout
from tools.cluster.run import PARTS

ROOT = Path(__file__).resolve().parents[2]
_OWNER = """
import sys, time
from tools.cluster import cluster
with cluster(nodes=1) as running:
    print(running.data, flush=True)
    time.sleep(600)
"""


def pod_spec(image: str) -> dict[str, Any]:
    """What Pod Security `restricted` lets in."""
    return {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "main",
                "image": image,
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    }


def deployment(image: str, replicas: int) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "one"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "one"}},
            "template": {"metadata": {"labels": {"app": "one"}}, "spec": pod_spec(image)},
        },
    }


def pods(kubectl: Kubectl) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = kubectl.json("get", "pods")["items"]
    return items


def failing(kubectl: Kubectl, image: str) -> None:
    kubectl.apply(deployment(image, 1))


def main_container(kubectl: Kubectl) -> dict[str, Any]:
    """The status of the only pod's only container, once it has one."""
    found = until(
        lambda: [s for pod in pods(kubectl) for s in pod["status"].get("containerStatuses", [])]
    )
    return found[0]


def reasons(kubectl: Kubectl) -> set[str]:
    return {event["reason"] for event in kubectl.json("get", "events")["items"]}


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.cluster", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_both_sides_say_the_pinned_version(kubectl: Kubectl) -> None:
    versions = kubectl.json("version")
    assert versions["clientVersion"]["gitVersion"] == f"v{KUBERNETES}"
    assert versions["serverVersion"]["gitVersion"] == f"v{KUBERNETES}"


def test_a_deployment_rolls_out_under_restricted_pod_security(kubectl: Kubectl) -> None:
    kubectl.apply(deployment("local/one:1", 3))
    kubectl("rollout", "status", "deployment/one", "--timeout=60s")
    assert [pod["status"]["phase"] for pod in pods(kubectl)] == ["Running"] * 3
    assert {pod["spec"]["nodeName"] for pod in pods(kubectl)} == {"node-0", "node-1", "node-2"}


def test_a_service_gets_an_address_and_endpoints(kubectl: Kubectl) -> None:
    kubectl.apply(deployment("local/one:1", 2))
    kubectl("expose", "deployment", "one", "--port=80")
    assert kubectl.json("get", "service", "one")["spec"]["clusterIP"].startswith("10.96.")
    slices = ["get", "endpointslices", "--selector=kubernetes.io/service-name=one"]
    until(
        lambda: [
            each
            for found in kubectl.json(*slices)["items"]
            for each in found["endpoints"] or []
            if each["conditions"]["ready"]
        ][1:]
    )


def test_pods_go_at_once(kubectl: Kubectl) -> None:
    kubectl.apply(deployment("local/one:1", 3))
    kubectl("rollout", "status", "deployment/one", "--timeout=60s")
    kubectl("delete", "deployment", "one", "--timeout=20s")
    until(lambda: not pods(kubectl), 20)


def test_a_privileged_pod_is_refused(kubectl: Kubectl) -> None:
    spec = pod_spec("local/one:1")
    spec["containers"][0]["securityContext"] = {"privileged": True}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bad"}, "spec": spec}
    done = kubectl.run("create", "--filename=-", stdin=json.dumps(pod))
    assert done.returncode == 1
    assert 'violates PodSecurity "restricted:latest": privileged' in done.stderr


def test_a_service_accounts_token_is_good_and_may_nothing(
    kubectl: Kubectl, cluster: Cluster
) -> None:
    """It is signed by the key we made, and RBAC is on."""
    until(lambda: kubectl.run("get", "serviceaccount", "default").returncode == 0)
    token = kubectl("create", "token", "default").strip()
    trusted = ssl.create_default_context(cafile=Layout.of(cluster.data).certificate)
    with httpx.Client(base_url=cluster.server, verify=trusted, trust_env=False) as client:
        answer = client.get("/api/v1/nodes", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 403
        assert "system:serviceaccount:test-" in answer.json()["message"]
        assert client.get("/api/v1/nodes").status_code == 403


def test_an_image_that_cannot_be_pulled_keeps_its_pod_waiting(kubectl: Kubectl) -> None:
    failing(kubectl, "fail.test/image-pull/agent:1")
    container = main_container(kubectl)
    assert container["state"]["waiting"]["reason"] == "ImagePullBackOff"
    assert "fail.test/image-pull/agent:1" in container["state"]["waiting"]["message"]
    assert pods(kubectl)[0]["status"]["phase"] == "Pending"
    until(lambda: {"Failed", "BackOff"} <= reasons(kubectl))


def test_an_image_that_crashes_is_restarted_again_and_again(kubectl: Kubectl) -> None:
    failing(kubectl, "fail.test/crash:1")
    container = main_container(kubectl)
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["lastState"]["terminated"]["exitCode"] == 1
    assert container["restartCount"] == 1
    until(lambda: main_container(kubectl)["restartCount"] > 1)
    until(lambda: "BackOff" in reasons(kubectl))


def test_an_image_whose_probe_fails_runs_and_is_never_ready(kubectl: Kubectl) -> None:
    failing(kubectl, "fail.test/probe:1")
    container = main_container(kubectl)
    assert "running" in container["state"]
    assert not container["ready"]
    until(lambda: "Unhealthy" in reasons(kubectl))
    assert kubectl.json("get", "deployment", "one")["status"]["unavailableReplicas"] == 1


def test_a_failing_image_is_left_by_the_next_update(kubectl: Kubectl) -> None:
    failing(kubectl, "fail.test/crash:1")
    kubectl.apply(deployment("local/one:2", 1))
    kubectl("rollout", "status", "deployment/one", "--timeout=60s")
    until(lambda: [p["spec"]["containers"][0]["image"] for p in pods(kubectl)] == ["local/one:2"])


@pytest.mark.usefixtures("_programs")
def test_a_start_outlives_its_command_and_a_stop_leaves_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    first = command("start", "--data", str(data), "--nodes", "1")
    try:
        assert first.returncode == 0, first.stderr
        assert first.stdout == f"{data / 'kubeconfig'}\n"
        before = processes.found(Layout.of(data))
        assert set(before) == set(PARTS)

        again = command("start", "--data", str(data), "--nodes", "2", "--json")
        said = json.loads(again.stdout)
        assert again.stderr == ""
        assert said["processes"].keys() == before.keys()
        assert {name: each["pid"] for name, each in said["processes"].items()} == {
            name: each.pid for name, each in before.items()
        }
        cluster = control_plane.running(data)
        assert cluster is not None
        assert len(Kubectl(cluster).json("get", "nodes")["items"]) == 2

        _survives_the_loss_of_a_part(cluster)
    finally:
        stopped = command("stop", "--data", str(data))
    assert stopped.returncode == 0, stopped.stderr
    assert not processes.found(Layout.of(data))
    assert list(tmp_path.iterdir()) == []
    assert command("status", "--data", str(data)).returncode == 1


def _survives_the_loss_of_a_part(cluster: Cluster) -> None:
    """What was in it is there after the next start, under the same address and credentials."""
    Kubectl(cluster)("create", "configmap", "kept")
    kubeconfig = cluster.kubeconfig.read_text()
    processes.found(Layout.of(cluster.data))["etcd"].kill()
    until(lambda: control_plane.running(cluster.data) is None)
    assert command("start", "--data", str(cluster.data)).returncode == 0
    assert cluster.kubeconfig.read_text() == kubeconfig
    Kubectl(cluster)("get", "configmap", "kept")


@pytest.mark.usefixtures("_programs")
@pytest.mark.skipif(sys.platform != "linux", reason="ties processes by a call of Linux")
def test_kill_9_of_the_owner_ends_the_components(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(Path.home()), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        data = Path(owner.stdout.readline().strip())
        layout = Layout.of(data)
        assert set(processes.found(layout)) == set(PARTS)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        until(lambda: not processes.found(layout), 10)
    control_plane.stop(data)
    assert not data.exists()


def test_a_folder_in_other_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(NotOurs, match="not the folder of a cluster"):
        control_plane.stop(tmp_path)
    done = command("start", "--data", str(tmp_path))
    assert done.returncode == 1
    assert "hint: give --data a folder that does not exist yet" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
