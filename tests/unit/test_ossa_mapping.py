"""From a manifest to a spec: where each value comes from, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossa.mapping import digest
from ossa.spec import Sourced
from tests.unit.ossa_manifests import (
    BLUEFLY,
    EXTENDED,
    LEGACY,
    SEED,
    agent,
    deployed,
    report,
    spec_of,
    told,
    wrongs,
)

SCALING = "/spec/deployment/scaling"


def test_seed() -> None:
    found = spec_of(SEED)
    assert found.name == Sourced("reviewer", "/metadata/name")
    assert found.role == Sourced("reviewer", "/spec/role")
    assert found.tier == Sourced("tier_2_write_limited", "/spec/access_tier")
    assert found.agent_version == Sourced("1.2.0", "/metadata/version")
    assert found.description.value == "Reads merge requests"
    assert found.min_replicas == Sourced(2, f"{SCALING}/min_replicas")
    assert found.max_replicas == Sourced(5, f"{SCALING}/max_replicas")
    assert found.target_cpu_percent == Sourced(80)
    assert found.requests == found.limits
    assert found.requests["cpu"] == Sourced("500m", "/spec/deployment/resources/cpu")
    assert found.port == Sourced(8080, "/spec/deployment/port")
    assert found.labels == {"team": "platform"}


def test_legacy() -> None:
    found = spec_of(LEGACY)
    assert found.name == Sourced("scanner", "/agent/id")
    assert found.role == Sourced("compliance", "/agent/role")
    assert found.command.value == ("/app/scanner", "--continuous")
    assert {name: value.value for name, value in found.env.items()} == {
        "LOG_LEVEL": "info",
        "INTERVAL": "60",
    }
    assert found.min_replicas == Sourced(3, "/agent/bridge/kagent/deployment/replicas")
    assert found.requests["cpu"].value == "1"
    assert found.port == Sourced(9000, "/agent/runtime/health_check")


def test_bluefly() -> None:
    found = spec_of(BLUEFLY)
    assert found.role == Sourced("worker", "/spec/type")
    assert (found.min_replicas.value, found.max_replicas.value) == (1, 4)
    assert found.target_cpu_percent == Sourced(70, f"{SCALING}/targetCPUUtilization")
    assert found.namespace.value == "workers"
    assert found.limits["cpu"].value == "200m"
    # The missing side is the other.
    assert found.limits["memory"] == Sourced("128Mi", "/spec/resources/requests/memory")


def test_extensions() -> None:
    found = spec_of(EXTENDED)
    assert found.role.value == "You are a router.\nYou route.\n"
    assert found.tier == Sourced("tier_3_write_elevated", "/spec/identity/access_tier")
    assert found.image.value == "example.com/router:3"
    assert found.pull_policy.value == "Always"
    assert found.strategy == Sourced("Recreate", "/extensions/kubernetes/deployment/strategy")
    assert (found.port.value, found.service_port.value) == (8089, 80)
    assert found.namespace.value == "routing"


def test_defaults() -> None:
    found = spec_of(agent())
    assert (found.role, found.tier) == (Sourced("agent"), Sourced("tier_1_read"))
    assert (found.min_replicas, found.max_replicas) == (Sourced(1), Sourced(1))
    assert found.requests == {"cpu": Sourced("250m"), "memory": Sourced("256Mi")}
    assert (found.port, found.service_port) == (Sourced(3000), Sourced(3000))
    assert found.strategy == Sourced("RollingUpdate")
    assert (found.namespace, found.command, found.env) == (Sourced(None), Sourced(()), {})


def test_extensions_at_the_top_win_over_those_of_the_spec() -> None:
    inner = {"kubernetes": {"replicas": 4}, "kagent": {"deployment": {"replicas": 6}}}
    spec = {"extensions": inner}
    assert spec_of(agent(spec)).min_replicas.value == 4
    outer = spec_of(agent(spec, extensions={"kubernetes": {"replicas": 5}})).min_replicas
    assert outer == Sourced(5, "/extensions/kubernetes/replicas")
    assert spec_of(agent(spec, extensions={"mcp": {}})).min_replicas == Sourced(1)


@pytest.mark.parametrize(
    "name", ["Reviewer", "1a", "a-", "a_b", "a.b", "a" * 64, "é", "a\n", "", "${NAME}", 5, True]
)
def test_names_that_a_service_cannot_have(name: object) -> None:
    ((pointer, _),) = wrongs(agent(metadata={"name": name}))
    assert pointer == "/metadata/name"


def test_a_missing_name_is_told_at_its_place() -> None:
    assert wrongs(agent(metadata={"name": None})) == [("/metadata/name", "required")]
    legacy = "ossaVersion: '1.0'\nagent: {runtime: {image: 'a:1'}}"
    assert wrongs(legacy) == [("/agent/id", "required")]


@pytest.mark.parametrize(
    ("spec", "role"),
    [
        ({"role": "chat"}, ("chat", "/spec/role")),
        ({"role": "You are.", "type": "critic"}, ("critic", "/spec/type")),
        (
            {"role": "You are.", "separation": {"role": "r"}, "type": "t"},
            ("r", "/spec/separation/role"),
        ),
        ({"role": "You are {x}."}, ("You are {x}.", "/spec/role")),
        ({"role": None}, ("kind", "/metadata/agentKind")),
        # A template in a prompt that nobody deploys is left alone.
        ({"role": "Hi {{user}}", "type": "t"}, ("t", "/spec/type")),
    ],
)
def test_roles(spec: dict[str, Any], role: tuple[str, str]) -> None:
    metadata = {"agentKind": "kind"} if spec["role"] is None else {}
    assert spec_of(agent(spec, metadata=metadata)).role == Sourced(*role)


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ({"role": ["a"], "type": "t"}, ("/spec/role", "type")),
        ({"role": ""}, ("/spec/role", "required")),
        ({"role": "Hi {{user}}"}, ("/spec/role", "template")),
        ({"role": "Hi you", "type": 5}, ("/spec/type", "type")),
        ({"separation": ["x"]}, ("/spec/separation", "type")),
        ({"access_tier": "tier_3_full_access"}, ("/spec/access_tier", "enum")),
        ({"access_tier": 2}, ("/spec/access_tier", "type")),
        ({"access_tier": {"tier": "no"}}, ("/spec/access_tier/tier", "enum")),
        ({"access_tier": {"level": 2}}, ("/spec/access_tier", "type")),
        ({"access": {"tier": "tier_4_system_admin"}}, ("/spec/access/tier", "enum")),
        ({"access": "tier_1_read"}, ("/spec/access", "type")),
    ],
)
def test_wrong_roles_and_tiers(spec: dict[str, Any], error: tuple[str, str]) -> None:
    assert wrongs(agent(spec)) == [error]


@pytest.mark.parametrize(
    ("spec", "tier"),
    [
        ({"access_tier": "limited"}, "tier_2_write_limited"),
        ({"access_tier": {"tier": "policy"}}, "tier_4_policy"),
        ({"access": {"tier": "tier_3_write_elevated"}}, "tier_3_write_elevated"),
        ({"taxonomy": {"recommended_tier": "read"}}, "tier_1_read"),
    ],
)
def test_tiers(spec: dict[str, Any], tier: str) -> None:
    assert spec_of(agent(spec)).tier.value == tier


def test_tiers_outside_the_spec() -> None:
    labels = {"labels": {"access_tier": "elevated", "tier": "tier_4_policy"}}
    assert spec_of(agent(metadata=labels)).tier.value == "tier_3_write_elevated"
    admin = {"tier": "tier_4_system_admin"}
    assert spec_of(agent(security=admin)).tier == Sourced("tier_4_system_admin", "/security/tier")


def test_the_label_tier_is_never_the_tier() -> None:
    found = spec_of(agent(metadata={"labels": {"tier": "tier_4_policy"}}))
    assert found.tier == Sourced("tier_1_read")
    assert found.annotations == {"tier": "tier_4_policy"}


@pytest.mark.parametrize(
    ("deployment", "least", "most"),
    [
        ({"replicas": 0}, 0, 0),
        ({"replicas": {"min": 2, "max": 3}}, 2, 3),
        ({"replicas": {"max": 3}}, 1, 3),
        ({"scaling": {"max_replicas": 3}, "replicas": 2}, 2, 3),
        ({"scaling": {"minReplicas": 2, "maxReplicas": 9, "enabled": False}}, 2, 2),
        ({"kubernetes": {"replicas": 2, "autoscaling": {"min_replicas": 3}}}, 3, 3),
        (
            {"kubernetes": {"replicas": 2, "autoscaling": {"min_replicas": 3, "enabled": False}}},
            2,
            2,
        ),
        ({"scaling": {}, "kubernetes": {"replicas": 4}}, 4, 4),
    ],
)
def test_replicas(deployment: dict[str, Any], least: int, most: int) -> None:
    found = spec_of(deployed(**deployment))
    assert (found.min_replicas.value, found.max_replicas.value) == (least, most)


@pytest.mark.parametrize("value", [True, "2", -1, 1.5, 2.0, [1], 2**31, "${N}", "{{N}}"])
def test_replicas_that_are_no_whole_numbers(value: object) -> None:
    ((pointer, _),) = wrongs(deployed(scaling={"min_replicas": value, "max_replicas": 2**31 - 1}))
    assert pointer == f"{SCALING}/min_replicas"


def test_scaling_from_zero_is_told() -> None:
    data = deployed(scaling={"min_replicas": 0, "max_replicas": 2})
    assert told(data, strict=True) == [(f"{SCALING}/min_replicas", "range")]
    assert told(deployed(replicas=0)) == []


def test_the_most_is_not_below_the_least() -> None:
    scaling = {"min_replicas": 3, "max_replicas": 2}
    assert wrongs(deployed(scaling=scaling)) == [(f"{SCALING}/max_replicas", "range")]
    assert wrongs(deployed(scaling={"enabled": "yes"})) == [(f"{SCALING}/enabled", "type")]
    assert wrongs(deployed(scaling={"max_replicas": 0})) == [(f"{SCALING}/max_replicas", "range")]


@pytest.mark.parametrize(
    ("strategy", "used"),
    [
        ("rolling", "RollingUpdate"),
        ("rolling-update", "RollingUpdate"),
        ("RollingUpdate", "RollingUpdate"),
        ("recreate", "Recreate"),
        ({"type": "Recreate"}, "Recreate"),
        ("blue-green", "RollingUpdate"),
        ("canary", "RollingUpdate"),
    ],
)
def test_strategies(strategy: object, used: str) -> None:
    data = deployed(strategy=strategy)
    assert spec_of(data).strategy.value == used
    warned = [("/spec/deployment/strategy", "strategy")]
    assert told(data, strict=True) == (warned if strategy in ("blue-green", "canary") else [])


@pytest.mark.parametrize("strategy", ["fast", {"type": "x"}, {}, 5])
def test_unknown_strategies(strategy: object) -> None:
    ((pointer, _),) = wrongs(deployed(strategy=strategy))
    assert pointer.startswith("/spec/deployment/strategy")


@pytest.mark.parametrize(
    ("resources", "requests", "limits"),
    [
        ({"cpu": 2, "memory": "1Gi"}, ("2", "1Gi"), ("2", "1Gi")),
        ({"cpu": 0.5}, ("0.5", "256Mi"), ("0.5", "256Mi")),
        ({"requests": {"cpu": "1"}}, ("1", "256Mi"), ("1", "256Mi")),
        ({"limits": {"memory": "64Mi"}}, ("250m", "64Mi"), ("250m", "64Mi")),
        (
            {"requests": {"cpu": "1"}, "limits": {"cpu": "2", "memory": "1G"}},
            ("1", "1G"),
            ("2", "1G"),
        ),
        ({"requests": {"cpu": "1000m"}, "limits": {"cpu": 1}}, ("1000m", "256Mi"), ("1", "256Mi")),
        ({"gpu": False, "cpu": "1"}, ("1", "256Mi"), ("1", "256Mi")),
        ({}, ("250m", "256Mi"), ("250m", "256Mi")),
    ],
)
def test_resources(
    resources: dict[str, Any], requests: tuple[str, str], limits: tuple[str, str]
) -> None:
    found = spec_of(deployed(resources=resources))
    assert (found.requests["cpu"].value, found.requests["memory"].value) == requests
    assert (found.limits["cpu"].value, found.limits["memory"].value) == limits


def test_an_empty_block_of_resources_says_nothing() -> None:
    data = agent({"deployment": {"image": "a:1", "resources": {}}, "resources": {"cpu": 3}})
    assert spec_of(data).requests["cpu"] == Sourced("3", "/spec/resources/cpu")


def test_other_shapes_of_resources() -> None:
    runtime = {"resource_limits": {"cpu_millicores": 250, "memory_mb": 64}}
    found = spec_of(agent(runtime=runtime))
    assert found.limits["cpu"] == Sourced("250m", "/runtime/resource_limits/cpu_millicores")
    assert found.limits["memory"].value == "64Mi"
    sandbox = {"sandboxing": {"resource_limits": {"max_cpu_cores": 1.5, "max_memory_mb": 512}}}
    found = spec_of(agent(security=sandbox))
    assert (found.limits["cpu"].value, found.limits["memory"].value) == ("1.5", "512Mi")
    found = spec_of(deployed(resources={"storage": "1Gi"}))
    assert found.requests["ephemeral-storage"].value == "1Gi"


@pytest.mark.parametrize(
    ("resources", "error"),
    [
        ({"cpu": "lots"}, ("/cpu", "quantity")),
        ({"cpu": 0}, ("/cpu", "quantity")),
        ({"memory": "-1Gi"}, ("/memory", "quantity")),
        ({"cpu": True}, ("/cpu", "type")),
        ({"cpu": ["1"]}, ("/cpu", "type")),
        ({"cpu": "${CPU}"}, ("/cpu", "template")),
        ({"memory_mb": "64"}, ("/memory_mb", "type")),
        ({"memory_mb": "{{M}}"}, ("/memory_mb", "template")),
        ({"requests": "x"}, ("/requests", "type")),
        ({"requests": {"cpu": 2}, "limits": {"cpu": "1"}}, ("/requests/cpu", "quantity")),
        ("lots", ("", "type")),
    ],
)
def test_wrong_resources(resources: object, error: tuple[str, str]) -> None:
    pointer, keyword = error
    assert wrongs(deployed(resources=resources)) == [
        (f"/spec/deployment/resources{pointer}", keyword)
    ]


def test_what_is_not_carried_over_is_told() -> None:
    at = "/spec/deployment/resources"
    assert told(deployed(resources={"cpu": 1, "gpu": 1}), strict=True) == [(f"{at}/gpu", "unknown")]
    both = {"requests": {"cpu": 1, "x": 1}, "cpu": 1}
    assert told(deployed(resources=both)) == [
        (f"{at}/cpu", "unknown"),
        (f"{at}/requests/x", "unknown"),
    ]
    assert told(deployed(resources={"memory": 512})) == [(f"{at}/memory", "quantity")]


@given(
    st.integers() | st.text(max_size=12) | st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12) | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
)
def test_any_amounts_map_or_are_refused_at_their_path(replicas: object, cpu: object) -> None:
    found = report(deployed(replicas=replicas, resources={"cpu": cpu}))
    places = {"/spec/deployment/replicas", "/spec/deployment/resources/cpu"}
    if found.spec is None:
        assert {error.pointer for error in found.errors} <= places
    else:
        assert found.spec.min_replicas.value == replicas
        assert found.spec.limits["cpu"].value


def test_a_wrong_value_is_no_reason_to_look_further() -> None:
    data = deployed(scaling={"min_replicas": "two"}, replicas=3)
    assert wrongs(data) == [(f"{SCALING}/min_replicas", "type")]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (agent(metadata={"version": 1.0}), ("/metadata/version", "type")),
        (agent(metadata={"description": ["x"]}), ("/metadata/description", "type")),
        (agent(metadata={"description": "for ${X}"}), ("/metadata/description", "template")),
        ("{apiVersion: ossa/v1, kind: Agent, metadata: x}", ("/metadata", "type")),
        ("{apiVersion: ossa/v1, kind: Agent, spec: '${SPEC}'}", ("/spec", "template")),
        (agent(extensions=[1]), ("/extensions", "type")),
    ],
)
def test_wrong_containers_and_texts(data: bytes | str, error: tuple[str, str]) -> None:
    assert error in wrongs(data)


def test_values_of_the_caller_fill_in_templates() -> None:
    data = """\
apiVersion: ossa/${OSSA:-v0.5}
kind: Agent
metadata:
  name: ${NAME}
spec:
  deployment:
    image: a:1
    replicas: ${N}
    port: ${PORT}
"""
    assert wrongs(data) == [("/apiVersion", "template")]
    assert wrongs(data, values={"NAME": "one"}) == [
        ("/spec/deployment/port", "template"),
        ("/spec/deployment/replicas", "template"),
    ]
    found = spec_of(data, values={"NAME": "one", "N": "2", "PORT": "80"})
    assert (found.name.value, found.min_replicas.value, found.port.value) == ("one", 2, 80)


def test_the_digest_is_of_values_not_of_layout() -> None:
    one = spec_of(SEED).manifest_sha256
    assert spec_of(f"# a comment\n{SEED}").manifest_sha256 == one
    assert spec_of(SEED.replace("500m", "501m")).manifest_sha256 != one
    assert digest({"a": 1, "b": "é"}) == digest({"b": "é", "a": 1})
