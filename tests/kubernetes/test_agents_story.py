"""Agents on a real API server: up, unchanged, changed, broken, put back, gone."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from operations.agents import Place
from operations.errors import CutOff, Failed, NamespaceTaken, NoSuchAgent
from tests.faults import processes
from tests.kubernetes.agents_world import IMAGE, AgentsWorld, manifest
from tests.kubernetes.conftest import Kubectl, until
from tools.cluster import Cluster

BAD_IMAGE = "fail.test/image-pull/agent:1.1"
CRASHING = "fail.test/crash/agent:1.1"
NEVER_READY = "fail.test/probe/agent:1.1"
CANARY = "canary-model-key-61d0"


@pytest.fixture
def world(cluster: Cluster, tmp_path: Path) -> AgentsWorld:
    return AgentsWorld(cluster=cluster, folder=tmp_path)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A name that nobody has; whatever is there in the end goes."""
    name = f"agents-{secrets.token_hex(4)}"
    yield name
    Kubectl(cluster).run("delete", "namespace", name, "--ignore-not-found", "--wait=false")


def row(namespace: str, name: str, **more: object) -> dict[str, Any]:
    spec = more.pop("spec", {})
    text = manifest(name, **spec)
    return {"manifest": f"{name}.yaml", "document": text, "namespace": namespace, **more}


def kinds(kubectl: Kubectl, namespace: str) -> set[str]:
    """What is left in a namespace, without what Kubernetes itself puts there."""
    asked = "deploy,rs,pod,svc,sa,secret,cm,hpa,pdb,netpol"
    found = kubectl.json("get", asked, f"--namespace={namespace}")["items"]
    named = {f"{one['kind']}/{one['metadata']['name']}" for one in found}
    return named - {"ServiceAccount/default", "ConfigMap/kube-root-ca.crt"}


def spec_of(live: dict[str, Any]) -> Any:  # noqa: ANN401 - a document
    return live["spec"], live["metadata"]["labels"]


def test_one_that_fails_says_why_and_leaves_the_others_up(
    world: AgentsWorld, namespace: str
) -> None:
    rows = [
        row(namespace, "one"),
        row(namespace, "two", replicas={"min": 2, "max": 4}),
        row(namespace, "three", image=BAD_IMAGE),
    ]
    with pytest.raises(Failed) as failed:
        world.up(*rows)
    (told,) = [line for line in failed.value.message.splitlines() if "three" in line]
    assert BAD_IMAGE in told
    assert world.live(namespace, "one")["status"]["readyReplicas"] == 1
    # Its autoscaler brings it to the least of pods, also without metrics.
    until(lambda: world.live(namespace, "two")["status"].get("readyReplicas") == 2)
    applied = world.up(*rows[:2], row(namespace, "three"))
    assert applied.changes == (f"{namespace}.three",)
    assert world.up(*rows[:2], row(namespace, "three")).changes == ()
    world.stack().refresh()
    assert world.up(*rows[:2], row(namespace, "three")).changes == ()
    world.stack().destroy(remove=True)
    until(lambda: world.kubectl.run("get", "namespace", namespace).returncode)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"image": CRASHING}, "ends with exit code 1"),
        ({"image": NEVER_READY}, "probe"),
        ({"cpu": "1000"}, "Insufficient cpu"),
    ],
)
def test_the_reason_is_one_line(
    world: AgentsWorld, namespace: str, more: dict[str, str], told: str
) -> None:
    with pytest.raises(Failed) as failed:
        world.up(row(namespace, "broken", **more))
    lines = [line for line in failed.value.message.splitlines() if told in line]
    assert lines, failed.value.message


def test_a_secret_reaches_the_pod_and_nothing_else(world: AgentsWorld, namespace: str) -> None:
    world.secrets = {"model-key": CANARY}
    taken = {"MODEL_KEY": {"config": "model-key"}}
    world.up(row(namespace, "one", secrets=taken))
    kubectl = Kubectl(world.cluster, namespace)
    assert kubectl.json("get", "secret", "one")["data"].keys() == {"MODEL_KEY"}
    assert CANARY not in str(world.live(namespace, "one"))
    recorded = "".join(
        path.read_text() for path in (world.folder / "backend").rglob("*.json") if path.is_file()
    )
    assert CANARY not in recorded + "".join(world.said)


def test_an_agent_of_its_own_changes_fails_and_goes_back(
    world: AgentsWorld, namespace: str
) -> None:
    place = Place(namespace=namespace, name="critic")
    world.deploy(namespace, "critic")
    first = world.live(namespace, "critic")
    assert world.deploy(namespace, "critic").changes == ()

    world.deploy(namespace, "critic", image="example.com/agent:1.1")
    assert world.agents.recorded(place).image == "example.com/agent:1.1"
    world.agents.scale(place, 3)
    assert until(lambda: world.live(namespace, "critic")["status"].get("readyReplicas") == 3)
    # An autoscaler takes over what there is; without metrics it leaves it so.
    world.agents.scale(place, 3, 6)
    assert world.live(namespace, "critic")["spec"]["replicas"] == 3
    # A selector cannot be changed: tier and version must not be in it.
    world.deploy(
        namespace,
        "critic",
        apiVersion="ossa/v0.4.6",
        access_tier="tier_2_write_limited",
        image="example.com/agent:1.2",
    )
    labels = world.live(namespace, "critic")["metadata"]["labels"]
    assert (labels["ossa.version"], labels["tier"]) == ("ossa_v0.4.6", "tier_2_write_limited")
    good = world.live(namespace, "critic")
    assert good["metadata"]["uid"] == first["metadata"]["uid"]

    with pytest.raises(Failed, match="image-pull"):
        world.deploy(namespace, "critic", image=BAD_IMAGE)
    # The pods that work are kept while the new ones do not.
    assert world.live(namespace, "critic")["status"]["availableReplicas"] == 1
    world.agents.rollback(place)
    assert spec_of(world.live(namespace, "critic")) == spec_of(good)

    world.deploy(namespace, "other")
    world.agents.delete(place)
    assert all("critic" not in left for left in kinds(world.kubectl, namespace))
    with pytest.raises(NoSuchAgent):
        world.agents.recorded(place)
    world.agents.delete(Place(namespace=namespace, name="other"))
    until(lambda: world.kubectl.run("get", "namespace", namespace).returncode)
    assert world.agents.places() == []


def test_a_namespace_of_others_is_used_only_when_told_and_stays(
    world: AgentsWorld, namespace: str
) -> None:
    world.kubectl("create", "namespace", namespace)
    with pytest.raises(NamespaceTaken, match=namespace):
        world.deploy(namespace, "critic")
    assert kinds(world.kubectl, namespace) == set()
    world.deploy(namespace, "critic", existing=True)
    world.agents.delete(Place(namespace=namespace, name="critic"))
    assert kinds(world.kubectl, namespace) == set()
    assert world.kubectl.json("get", "namespace", namespace)["status"]["phase"] == "Active"


def test_a_killed_engine_leaves_nothing_that_the_next_deploy_cannot_finish(
    world: AgentsWorld, namespace: str
) -> None:
    place = Place(namespace=namespace, name="critic")
    with ThreadPoolExecutor(1) as workers:
        # Its pods never become ready, so it is killed while it waits for them.
        cut = workers.submit(world.deploy, namespace, "critic", image=NEVER_READY)
        until(lambda: kubectl_has(world, namespace, "deployment", "critic"))
        (engine,) = [one for one in processes.of(world.folder) if one.name() == "pulumi"]
        engine.kill()
        with pytest.raises(CutOff):
            cut.result()
    world.deploy(namespace, "critic")
    assert world.live(namespace, "critic")["status"]["availableReplicas"] == 1
    world.agents.delete(place)
    until(lambda: world.kubectl.run("get", "namespace", namespace).returncode)


def kubectl_has(world: AgentsWorld, namespace: str, kind: str, name: str) -> bool:
    return Kubectl(world.cluster, namespace).run("get", kind, name).returncode == 0


def test_one_that_never_came_up_can_be_removed(world: AgentsWorld, namespace: str) -> None:
    with pytest.raises(Failed):
        world.deploy(namespace, "critic", image=CRASHING)
    world.agents.delete(Place(namespace=namespace, name="critic"))
    until(lambda: world.kubectl.run("get", "namespace", namespace).returncode)
    assert world.agents.places() == []


def test_what_somebody_removed_is_put_back(world: AgentsWorld, namespace: str) -> None:
    world.deploy(namespace, "critic")
    kubectl = Kubectl(world.cluster, namespace)
    kubectl("delete", "deployment", "critic")
    world.deploy(namespace, "critic")
    assert world.live(namespace, "critic")["status"]["availableReplicas"] == 1
    # A namespace that was only half made is no namespace of ours yet.
    kubectl("delete", "networkpolicy", "default-deny")
    world.deploy(namespace, "critic")
    assert kubectl.json("get", "networkpolicy", "default-deny")
    world.kubectl("delete", "namespace", namespace)
    world.deploy(namespace, "critic")
    assert world.live(namespace, "critic")["status"]["availableReplicas"] == 1


def test_a_namespace_with_something_of_others_in_it_stays(
    world: AgentsWorld, namespace: str
) -> None:
    world.deploy(namespace, "critic")
    Kubectl(world.cluster, namespace)("create", "secret", "generic", "theirs")
    assert world.agents.delete(Place(namespace=namespace, name="critic")) == ["Secret theirs"]
    assert world.kubectl.json("get", "namespace", namespace)["status"]["phase"] == "Active"


def test_a_namespace_of_another_stack_is_not_taken(world: AgentsWorld, namespace: str) -> None:
    world.up(row(namespace, "one"))
    with pytest.raises(NamespaceTaken, match="stack agents made it"):
        world.deploy(namespace, "two")
    world.stack().destroy(remove=True)


def test_the_reason_is_told_without_the_sdks_traceback(world: AgentsWorld, namespace: str) -> None:
    world.kubectl("create", "namespace", namespace)
    with pytest.raises(Failed) as failed:
        world.up(row(namespace, "one"))
    assert "is there already" in failed.value.message
    assert "Traceback" not in failed.value.message


def test_agents_are_deployed_at_once(world: AgentsWorld, namespace: str) -> None:
    names = [f"agent-{number}" for number in range(4)]
    with ThreadPoolExecutor(len(names)) as workers:
        done = list(workers.map(lambda name: world.deploy(namespace, name), names))
    assert [one.agent.name for one in done] == names
    assert {place.name for place in world.agents.places()} == set(names)
    assert done[0].agent.image == IMAGE
