"""The graph of the agents stack: objects, order, labels, secrets, and what is refused."""

import base64
from pathlib import Path

import pulumi
import pytest
from pulumi.runtime import mocks

from stacks import agents
from tests.graph.conftest import REFERENCE_TYPE, Graph, Json, Resource

DEPLOYMENT = "kubernetes:apps/v1:Deployment"
NAMESPACE = "kubernetes:core/v1:Namespace"
ACCOUNT = "kubernetes:core/v1:ServiceAccount"
SERVICE = "kubernetes:core/v1:Service"
SECRET = "kubernetes:core/v1:Secret"  # noqa: S105 - a type's name
POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
SCALER = "kubernetes:autoscaling/v2:HorizontalPodAutoscaler"
BUDGET = "kubernetes:policy/v1:PodDisruptionBudget"
PROVIDER = "pulumi:providers:kubernetes"
COMPONENTS = {"agent-docker:agents:AgentNamespace", "agent-docker:agents:OssaAgent", PROVIDER}

SEED = """
apiVersion: ossa/v0.3.3
kind: Agent
metadata: {name: critic, version: 1.2.0}
spec:
  role: |
    You review code.
  type: critic
  access_tier: tier_1_read
  deployment:
    scaling: {min_replicas: 2}
    resources: {cpu: 500m, memory: 256Mi}
  monitoring: {health_check: /health}
"""
IMAGE = "example.com/critic:1.4"


class KubernetesCloud(mocks.Mocks):
    """Makes what agents are made of; any other type is a mistake."""

    def __init__(self, last: Json) -> None:
        self.last = last

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, Json]:
        if args.typ == REFERENCE_TYPE:
            return "reference", {"name": args.name, "outputs": self.last, "secretOutputNames": []}
        if args.typ in COMPONENTS:
            return args.name, {}
        assert args.typ.startswith("kubernetes:"), args.typ
        told = {**args.inputs["metadata"], "resourceVersion": "7"}
        return args.name, args.inputs | {"metadata": told}

    def call(self, args: mocks.MockCallArgs) -> tuple[Json, None]:
        raise AssertionError(f"unexpected call {args.token}")


def graph(deployment: Json, *, secrets: Json | None = None, **more: Json) -> Graph:
    document = {
        "cluster": {"kubeconfig": "/nowhere/kubeconfig"},
        "deployments": [
            {"manifest": "critic.yaml", "document": SEED, "image": IMAGE, "namespace": "agents"}
            | deployment
        ],
        **more,
    }
    config = {"agents": document} | ({"secrets": secrets} if secrets else {})
    made = Graph(config=config, stack="agents", cloud=KubernetesCloud, secret=("secrets",))
    made.exports = made.run(agents.build)
    return made


def only(graph: Graph, type_: str) -> Resource:
    (found,) = graph.of(type_)
    return found


def container(graph: Graph) -> Json:
    (found,) = only(graph, DEPLOYMENT).inputs["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_an_agent_is_what_the_plan_says() -> None:
    made = graph({})
    spec = only(made, DEPLOYMENT).inputs["spec"]
    labels = only(made, DEPLOYMENT).inputs["metadata"]["labels"]
    assert {name: labels[name] for name in ("app", "ossa.version", "role", "tier")} == {
        "app": "critic",
        "ossa.version": "ossa_v0.3.3",
        "role": "critic",
        "tier": "tier_1_read",
    }
    assert spec["template"]["metadata"]["labels"] == labels
    assert spec["selector"] == {"matchLabels": {"app": "critic"}}
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    runs = container(made)
    assert (runs["name"], runs["image"]) == ("critic", IMAGE)
    assert (
        runs["resources"]["requests"]
        == runs["resources"]["limits"]
        == {
            "cpu": "500m",
            "memory": "256Mi",
        }
    )
    assert runs["ports"] == [{"name": "http", "containerPort": 3000, "protocol": "TCP"}]
    live, ready = runs["livenessProbe"], runs["readinessProbe"]
    assert live["httpGet"] == ready["httpGet"] == {"path": "/health", "port": "http"}
    assert (live["initialDelaySeconds"], live["periodSeconds"]) == (30, 10)
    assert (ready["initialDelaySeconds"], ready["periodSeconds"]) == (10, 5)
    env = {one["name"]: one["value"] for one in runs["env"]}
    assert env == {
        "OSSA_AGENT_NAME": "critic",
        "OSSA_API_VERSION": "ossa/v0.3.3",
        "PORT": "3000",
    }
    service = only(made, SERVICE).inputs
    assert service["spec"]["selector"] == {"app": "critic"}
    assert service["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}


def test_the_exact_values_are_in_annotations() -> None:
    told = only(graph({}), DEPLOYMENT).inputs["metadata"]["annotations"]
    assert told["agent-docker/api-version"] == "ossa/v0.3.3"
    assert told["agent-docker/role"] == "You review code.\n"
    assert told["agent-docker/role-source"] == "/spec/type"
    assert told["agent-docker/access-tier"] == "tier_1_read"
    assert told["agent-docker/agent-version"] == "1.2.0"
    assert len(told["agent-docker/manifest-sha256"]) == 64
    hidden = only(graph({"hideRole": True}), DEPLOYMENT).inputs["metadata"]["annotations"]
    assert "agent-docker/role" not in hidden
    assert hidden["agent-docker/role-sha256"] == told["agent-docker/role-sha256"]


def test_a_hidden_prompt_is_nowhere() -> None:
    prompt = "ACME internal. Never reveal the code XK-77 to customers."
    text = SEED.replace("  type: critic\n", "").replace("You review code.", prompt)
    made = graph({"hideRole": True, "document": text})
    assert "ACME" not in str(only(made, DEPLOYMENT).inputs)
    label = only(made, DEPLOYMENT).inputs["metadata"]["labels"]["role"]
    assert label.startswith("role-")


def test_a_rollout_is_waited_for_as_long_as_its_deadline_and_a_little_more() -> None:
    made = graph({}, rolloutSeconds=900)
    assert only(made, DEPLOYMENT).inputs["spec"]["progressDeadlineSeconds"] == 900
    assert only(made, DEPLOYMENT).timeouts == ("960s", "960s")
    assert only(made, SERVICE).timeouts == ("", "")


def test_a_pod_is_restricted_unless_a_reason_is_given() -> None:
    pod = only(graph({}), DEPLOYMENT).inputs["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (runs,) = pod["containers"]
    assert runs["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    made = graph({"exemptions": {"readOnlyRoot": "keeps a cache beside its code"}})
    assert container(made)["securityContext"]["readOnlyRootFilesystem"] is False
    told = only(made, DEPLOYMENT).inputs["metadata"]["annotations"]
    assert told["agent-docker/exemptions"] == "readOnlyRoot: keeps a cache beside its code"


def test_a_namespace_of_ours_is_restricted_and_denies_by_default() -> None:
    made = graph({})
    labels = only(made, NAMESPACE).inputs["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    policies = {one.inputs["metadata"]["name"]: one.inputs["spec"] for one in made.of(POLICY)}
    assert policies["default-deny"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }
    ports = [rule.get("ports") for rule in policies["agents"]["egress"]]
    assert [{"protocol": "TCP", "port": 443}, {"protocol": "TCP", "port": 4000}] in ports


def test_a_namespace_says_which_stack_made_it() -> None:
    told = only(graph({}), NAMESPACE).inputs["metadata"]["annotations"]
    assert told == {"agent-docker/stack": "agents"}


def test_an_existing_namespace_is_left_alone() -> None:
    made = graph({}, namespaces={"agents": {"existing": True}})
    assert made.of(NAMESPACE) == made.of(POLICY) == []


def test_everything_waits_for_the_namespace_and_a_deployment_for_what_its_pods_need() -> None:
    made = graph({"secrets": {"KEY": {"config": "model-key"}}}, secrets={"model-key": "canary"})
    namespace = only(made, NAMESPACE).name
    assert namespace in only(made, ACCOUNT).dependencies
    assert {"agents.critic"} <= set(only(made, DEPLOYMENT).dependencies)
    assert only(made, DEPLOYMENT).delete_before_replace


def test_more_most_than_least_makes_an_autoscaler_that_owns_the_count() -> None:
    made = graph({"replicas": {"max": 6}})
    assert "replicas" not in only(made, DEPLOYMENT).inputs["spec"]
    scaler = only(made, SCALER).inputs["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 6)
    assert only(made, BUDGET).inputs["spec"]["maxUnavailable"] == 1
    alone = graph({"replicas": {"min": 1, "max": 1}})
    assert alone.of(SCALER) == alone.of(BUDGET) == []


def test_a_secret_is_encrypted_and_rolls_the_pods_when_it_changes() -> None:
    taken = {"KEY": {"config": "model-key"}, "OTHER": {"secret": "theirs", "key": "token"}}
    made = graph({"secrets": taken}, secrets={"model-key": "canary"})
    data = only(made, SECRET).inputs["data"]["KEY"]
    assert data["4dabf18193072939515e22adb298388d"] == "1b47061264138c4ac30d75fd1eb44270"
    assert data["value"] == base64.b64encode(b"canary").decode()
    pod = only(made, DEPLOYMENT).inputs["spec"]["template"]
    assert pod["metadata"]["annotations"]["agent-docker/secret-version"] == "7"
    env = {one["name"]: one for one in container(made)["env"]}
    assert env["KEY"]["valueFrom"]["secretKeyRef"] == {"name": "critic", "key": "KEY"}
    assert env["OTHER"]["valueFrom"]["secretKeyRef"] == {"name": "theirs", "key": "token"}
    assert "canary" not in str(only(made, DEPLOYMENT).inputs)


def test_the_cluster_is_never_the_shells() -> None:
    made = graph({})
    inputs = only(made, PROVIDER).inputs
    assert inputs["kubeconfig"] == "/nowhere/kubeconfig"
    # Or the official provider would replace a Secret, and with it what uses it.
    assert inputs["enableSecretMutable"] == inputs["enableConfigMapMutable"] == "true"
    assert {one.provider for one in made.seen if one.type.startswith("kubernetes:")} == {"cluster"}


def test_the_record_says_what_runs() -> None:
    (record,) = graph({}).exports["deployments"]
    assert record["service"] == "http://critic.agents.svc:3000"
    assert (record["minReplicas"], record["maxReplicas"]) == (2, 2)
    assert record["manifest"] == "critic.yaml"


@pytest.mark.parametrize(
    ("deployment", "more", "told"),
    [
        ({"image": None}, {}, "agents.deployments.0.image: is required"),
        ({"document": "kind: Task"}, {}, "kind Task is not deployable"),
        ({"document": None, "manifest": "/nowhere.yaml"}, {}, "/nowhere.yaml cannot be read"),
        ({"document": SEED + "---" + SEED}, {}, "has 2 agents (critic, critic)"),
        ({"cpu": "lots"}, {}, "agents.deployments.0.cpu"),
        ({"replicas": {"max": 1}}, {}, "agents.deployments.0.replicas.max: 1 is less than the 2"),
        (
            {"exemptions": {"nonRoot": "old image"}},
            {},
            "set agents.namespaces.agents.podSecurity to baseline",
        ),
        ({"secrets": {"KEY": {"config": "model-key"}}}, {}, "agent-docker:secrets lacks model-key"),
        ({"env": {"API_KEY": "sk-live"}}, {}, "agents.deployments.0.env.API_KEY: looks like a"),
    ],
)
def test_what_cannot_be_deployed_is_refused_before_anything_is_made(
    deployment: Json, more: Json, told: str
) -> None:
    with pytest.raises(pulumi.RunError) as refused:
        graph(deployment, **more)
    assert told in str(refused.value)


def test_two_agents_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "again.yaml"
    path.write_text(SEED)
    document = {
        "cluster": {"kubeconfig": "/nowhere"},
        "deployments": [
            {"manifest": str(path), "image": IMAGE},
            {"manifest": "critic.yaml", "document": SEED, "image": IMAGE},
        ],
    }
    made = Graph(config={"agents": document}, stack="agents", cloud=KubernetesCloud)
    with pytest.raises(pulumi.RunError, match="both deploy critic to agents"):
        made.run(agents.build)
