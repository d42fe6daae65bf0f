"""From settings and a manifest to Kubernetes objects: what is laid over what, and each branch."""

import json
from typing import Any

import pytest

from contracts.agents import AgentDeployment, AgentsSettings, NamespaceSettings
from contracts.errors import SettingsError
from contracts.settings import parse
from ossa.agents import Agent, resolve_all
from ossa.check import check
from ossa.objects import Object, agent_objects, namespace_objects

IMAGE = "example.com/critic:1.4"
MANIFEST: dict[str, Any] = {
    "apiVersion": "ossa/v0.3.3",
    "kind": "Agent",
    "metadata": {"name": "critic"},
    "spec": {"type": "critic"},
}


def agent(
    spec: dict[str, Any] | None = None, extensions: dict[str, Any] | None = None, **more: object
) -> Agent:
    """The agent of a manifest of our own with these settings."""
    whole = {**MANIFEST, "spec": {"type": "critic", **(spec or {})}}
    if extensions is not None:
        whole["extensions"] = extensions
    row = {"manifest": "critic.yaml", "document": json.dumps(whole), "image": IMAGE, **more}
    settings = parse(AgentsSettings, {"deployments": [row]}, where="settings", key="agents")
    (found,) = resolve_all(settings, lambda _path: b"", where="settings")
    return found


def objects(found: Agent) -> dict[str, Object]:
    return {one["kind"]: one for one in agent_objects(found, rollout_seconds=60)}


def container(found: Agent) -> Object:
    (one,) = objects(found)["Deployment"]["spec"]["template"]["spec"]["containers"]
    return dict(one)


def test_the_least_that_is_asked_for_may_be_more_than_the_manifests_most() -> None:
    spec = {"deployment": {"scaling": {"min_replicas": 1, "max_replicas": 2}}}
    found = agent(spec, replicas={"min": 5})
    assert (found.spec.min_replicas.value, found.spec.max_replicas.value) == (5, 5)
    assert found.spec.min_replicas.source == "agents.deployments.0.replicas.min"


def test_a_number_of_pods_is_no_wish_to_scale() -> None:
    fixed = {"deployment": {"scaling": {"min_replicas": 3}}}
    found = agent(fixed, replicas={"min": 2})
    assert (found.spec.min_replicas.value, found.spec.max_replicas.value) == (2, 2)
    none = agent(fixed, replicas={"min": 0, "max": 0})
    assert objects(none)["Deployment"]["spec"]["replicas"] == 0
    ranged = {"deployment": {"scaling": {"min_replicas": 1, "max_replicas": 5}}}
    found = agent(ranged, replicas={"min": 2})
    assert (found.spec.min_replicas.value, found.spec.max_replicas.value) == (2, 5)


def test_a_manifest_steers_neither_pulumi_nor_kubernetes() -> None:
    metadata = {
        "name": "critic",
        "labels": {"pod-template-hash": "1", "app.kubernetes.io/managed-by": "me", "team": "a"},
        "annotations": {"pulumi.com/skipAwait": "true", "agent-docker/stack": "x", "note": "n"},
    }
    text = json.dumps({**MANIFEST, "metadata": metadata})
    (report,) = check(text.encode(), file="critic.yaml")
    assert report.spec is not None
    assert (report.spec.labels, report.spec.annotations) == ({"team": "a"}, {"note": "n"})
    assert len(report.warnings) == 1 + 4


def test_settings_win_over_the_manifest_and_say_so() -> None:
    found = agent(cpu=2, memory="1Gi", port=8080, env={"A": "1"})
    runs = container(found)
    assert runs["resources"]["requests"] == runs["resources"]["limits"]
    assert runs["resources"]["limits"] == {"cpu": "2", "memory": "1Gi"}
    assert runs["ports"][0]["containerPort"] == 8080
    # Probes and the Service follow the container's port.
    assert runs["livenessProbe"]["httpGet"]["port"] == "http"
    assert objects(found)["Service"]["spec"]["ports"][0]["port"] == 8080
    assert {"name": "PORT", "value": "8080"} in runs["env"]
    assert found.spec.requests["cpu"].source == "agents.deployments.0.cpu"


def test_a_services_own_port_stays() -> None:
    found = agent(extensions={"kubernetes": {"service": {"port": 80}}}, port=8080)
    (port,) = objects(found)["Service"]["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (80, "http")


@pytest.mark.parametrize(
    ("check", "action"),
    [
        ({"path": "/ok", "port": 9000}, {"httpGet": {"path": "/ok", "port": 9000}}),
        ({"type": "tcp", "port": 9000}, {"tcpSocket": {"port": 9000}}),
        ({"type": "exec", "command": ["true"]}, {"exec": {"command": ["true"]}}),
    ],
)
def test_a_probe_of_any_kind(check: dict[str, Any], action: dict[str, Any]) -> None:
    spec = {"monitoring": {"health_check": check}, "deployment": {"port": 3000}}
    probe = container(agent(spec))["livenessProbe"]
    assert action.items() <= probe.items()


def test_no_probe_where_the_manifest_wants_none() -> None:
    runs = container(agent({"monitoring": {"health_check": {"enabled": False}}}))
    assert "livenessProbe" not in runs
    assert "readinessProbe" not in runs


def test_a_command_and_a_pull_policy_are_passed_on() -> None:
    image = {"repository": "example.com/critic", "tag": "1.4", "pullPolicy": "Always"}
    found = agent(
        {"runtime": {"command": ["serve", "--fast"]}},
        {"kubernetes": {"deployment": {"image": image}}},
        image=None,
    )
    runs = container(found)
    assert runs["command"] == ["serve", "--fast"]
    assert (runs["image"], runs["imagePullPolicy"]) == (IMAGE, "Always")


def test_an_autoscaler_keeps_one_pod_at_least() -> None:
    made = objects(agent(replicas={"min": 0, "max": 2}))
    assert made["HorizontalPodAutoscaler"]["spec"]["minReplicas"] == 1


def test_recreate_has_no_rolling_update() -> None:
    found = agent({"deployment": {"strategy": "recreate"}})
    assert objects(found)["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}


def test_each_exemption_lifts_one_thing() -> None:
    free = dict.fromkeys(("nonRoot", "seccomp", "capabilities"), "an old image")
    free["privilegeEscalation"] = "an old image"
    rows = {"manifest": "critic.yaml", "document": json.dumps(MANIFEST), "image": IMAGE}
    settings = parse(
        AgentsSettings,
        {
            "namespaces": {"agents": {"podSecurity": "privileged"}},
            "deployments": [{**rows, "exemptions": free}],
        },
        where="settings",
        key="agents",
    )
    (found,) = resolve_all(settings, lambda _path: b"", where="settings")
    pod = objects(found)["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"] == {}
    assert container(found)["securityContext"] == {
        "allowPrivilegeEscalation": True,
        "readOnlyRootFilesystem": True,
    }


def test_a_prompt_too_long_for_an_annotation_is_in_a_config_map() -> None:
    long = "You review code. " * 1000
    made = objects(agent({"role": long}))
    annotations = made["Deployment"]["metadata"]["annotations"]
    assert made["ConfigMap"]["data"] == {"role": long}
    assert "agent-docker/role" not in annotations
    assert len(annotations["agent-docker/role-sha256"]) == 64
    assert "ConfigMap" not in objects(agent({"role": long}, hideRole=True))


def test_the_namespace_has_the_peers_and_ports_that_are_set() -> None:
    settings = NamespaceSettings.model_validate({"ingressFrom": ["web"], "egressPorts": []})
    *_, policy = namespace_objects("agents", settings, stack="agents")
    (rule,) = policy["spec"]["ingress"]
    assert {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "web"}}} in rule[
        "from"
    ]
    assert len(policy["spec"]["egress"]) == 2


def test_a_file_is_read_where_there_is_no_text() -> None:
    row = {"manifest": "critic.yaml", "image": IMAGE}
    settings = AgentsSettings.model_validate({"deployments": [row]})
    (found,) = resolve_all(settings, lambda _path: json.dumps(MANIFEST).encode(), where="settings")
    assert found.name == "critic"


def test_a_secret_in_clear_text_is_refused_where_the_settings_have_it_as_one() -> None:
    spec = {"runtime": {"environment": {"MODEL": "small"}}}
    with pytest.raises(SettingsError, match="yaml sets it in clear"):
        agent(spec, secrets={"MODEL": {"secret": "store", "key": "model"}})


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"secrets": {"A": {}}}, "name either `config` or `secret`"),
        ({"secrets": {"A": {"config": "a", "secret": "b", "key": "c"}}}, "name either"),
        ({"secrets": {"A": {"secret": "b"}}}, "`secret` and `key` go together"),
        ({"secrets": {"A": {"config": "a"}}, "env": {"A": "1"}}, "A is in env and in secrets"),
        ({"exemptions": {"nonRoot": ""}}, "exemptions.nonRoot"),
        ({"replicas": {"min": True}}, "must not be true or false"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(row: dict[str, Any], told: str) -> None:
    document = {"manifest": "a.yaml", **row}
    with pytest.raises(SettingsError) as refused:
        parse(AgentDeployment, document, where="settings", key="agent")
    assert told in str(refused.value)


def test_an_existing_namespace_takes_no_settings() -> None:
    with pytest.raises(SettingsError, match="remove podSecurity"):
        parse(
            NamespaceSettings,
            {"existing": True, "podSecurity": "baseline"},
            where="settings",
            key="namespace",
        )


def test_the_secrets_that_are_needed_are_known_beforehand() -> None:
    rows = [{"manifest": "a.yaml", "secrets": {"KEY": {"config": "model-key"}}}]
    document = {"cluster": {"kubeconfig": "/here"}, "deployments": rows}
    assert AgentsSettings.model_validate(document).secrets == {"model-key"}
    assert AgentsSettings().secrets == {"kubeconfig"}
