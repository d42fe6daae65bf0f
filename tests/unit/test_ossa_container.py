"""Health checks, ports, images, commands, variables, labels: what becomes of the container."""

from typing import Any

import pytest

from ossa.environment import looks_secret
from ossa.spec import Probe, Sourced
from tests.unit.ossa_manifests import agent, deployed, spec_of, told, wrongs

CHECK = "/spec/monitoring/health_check"


def checked(value: object, **spec: object) -> bytes:
    return agent({"monitoring": {"health_check": value}, **spec})


def probes(data: bytes) -> tuple[Probe, Probe]:
    found = spec_of(data)
    assert found.liveness is not None
    assert found.readiness is not None
    return found.liveness, found.readiness


def test_default_probes() -> None:
    live, ready = probes(agent())
    assert (live.kind, live.path, live.port, live.source) == ("http", "/health", 3000, "default")
    assert (live.initial_delay_seconds, live.period_seconds) == (30, 10)
    assert (ready.initial_delay_seconds, ready.period_seconds) == (10, 5)
    assert (ready.timeout_seconds, ready.failure_threshold) == (None, None)


@pytest.mark.parametrize(
    ("value", "path", "port"),
    [
        ("/live", "/live", 3000),
        ("http://localhost:4000/live?deep=1", "/live?deep=1", 4000),
        ("https://agent", "/", 3000),
        ({"path": "/a"}, "/a", 3000),
        ({"endpoint": "http://x:81/b", "port": 82}, "/b", 82),
        ({"type": "http", "enabled": True}, "/health", 3000),
        (True, "/health", 3000),
    ],
)
def test_paths_and_ports(value: object, path: str, port: int) -> None:
    live, ready = probes(checked(value))
    assert (live.path, live.port, ready.path, ready.port) == (path, port, path, port)
    assert live.source == CHECK


@pytest.mark.parametrize("value", [False, {"enabled": False, "path": "/x"}])
def test_no_probes(value: object) -> None:
    found = spec_of(checked(value))
    assert (found.liveness, found.readiness) == (None, None)


def test_times() -> None:
    live, ready = probes(
        checked(
            {
                "initialDelaySeconds": 0,
                "interval": "1m",
                "timeout": "5s",
                "failure_threshold": 4,
            }
        )
    )
    for probe in (live, ready):
        assert (probe.initial_delay_seconds, probe.period_seconds) == (0, 60)
        assert (probe.timeout_seconds, probe.failure_threshold) == (5, 4)


def test_other_kinds() -> None:
    live, _ = probes(checked({"type": "tcp", "port": 5000}))
    assert (live.kind, live.path, live.port) == ("tcp", None, 5000)
    live, _ = probes(checked({"type": "exec", "command": ["test", "-f", "/ok"], "port": 5}))
    assert (live.kind, live.port, live.command) == ("exec", None, ("test", "-f", "/ok"))
    live, _ = probes(checked({"command": "pgrep 'my agent'"}))
    assert (live.kind, live.command) == ("exec", ("pgrep", "my agent"))


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (5, ("", "type")),
        ("health", ("", "format")),
        ("/a b", ("", "format")),
        ("ftp://x/", ("", "format")),
        ("http://x:0/", ("", "format")),
        ("http://x:99999/", ("", "format")),
        ("http://[/", ("", "format")),
        ("${URL}/health", ("", "template")),
        ("", ("", "required")),
        ({"path": 5}, ("/path", "type")),
        ({"port": 0}, ("/port", "range")),
        ({"port": 65536}, ("/port", "range")),
        ({"port": "http"}, ("/port", "type")),
        ({"type": "grpc"}, ("/type", "enum")),
        ({"type": 1}, ("/type", "type")),
        ({"type": "exec"}, ("/command", "required")),
        ({"command": [1]}, ("/command/0", "type")),
        ({"command": 1}, ("/command", "type")),
        ({"command": "a 'b"}, ("/command", "syntax")),
        ({"interval": "500ms"}, ("/interval", "type")),
        ({"interval": 0}, ("/interval", "range")),
        ({"timeout": True}, ("/timeout", "type")),
        ({"failure_threshold": 0}, ("/failure_threshold", "range")),
        ({"initial_delay_seconds": -1}, ("/initial_delay_seconds", "range")),
        ({"enabled": 1}, ("/enabled", "type")),
    ],
)
def test_wrong_health_checks(value: object, error: tuple[str, str]) -> None:
    assert wrongs(checked(value)) == [(f"{CHECK}{error[0]}", error[1])]


def test_a_check_for_each_probe() -> None:
    endpoints = {"health": {"endpoints": {"health": "/h", "ready": "/r"}}}
    live, ready = probes(agent(endpoints))
    assert (live.path, ready.path) == ("/h", "/r")
    live, ready = probes(agent({"health": {"endpoints": {"ready": "/r"}}}))
    assert (live.path, ready.path) == ("/r", "/r")
    live, ready = probes(agent(extensions={"kubernetes": {"probes": {"liveness": {"path": "/l"}}}}))
    assert (live.path, ready.path, ready.period_seconds) == ("/l", "/l", 5)


@pytest.mark.parametrize(
    ("deployment", "port"),
    [
        ({"port": 1}, 1),
        ({"ports": [{"containerPort": 2}]}, 2),
        ({"ports": [3, 4]}, 3),
        ({"ports": []}, 3000),
    ],
)
def test_container_ports(deployment: dict[str, Any], port: int) -> None:
    assert spec_of(deployed(**deployment)).port.value == port


@pytest.mark.parametrize(
    ("deployment", "error"),
    [
        ({"port": 0}, ("/port", "range")),
        ({"port": True}, ("/port", "type")),
        ({"port": "3000"}, ("/port", "type")),
        ({"ports": 5}, ("/ports", "type")),
        ({"ports": [{"name": "x"}]}, ("/ports/0", "type")),
        ({"ports": [{"containerPort": 70000}]}, ("/ports/0/containerPort", "range")),
    ],
)
def test_wrong_ports(deployment: dict[str, Any], error: tuple[str, str]) -> None:
    assert wrongs(deployed(**deployment)) == [(f"/spec/deployment{error[0]}", error[1])]


def test_a_probe_on_another_port_keeps_it() -> None:
    found = spec_of(
        agent(
            {"monitoring": {"health_check": {"port": 9}}, "deployment": {"image": "a:1", "port": 8}}
        )
    )
    assert found.port.value == 8
    assert found.liveness is not None
    assert found.liveness.port == 9


def test_ports_of_the_service() -> None:
    service = {"kubernetes": {"service": {"port": 80, "targetPort": 8088}}}
    found = spec_of(agent(extensions=service))
    assert (found.port.value, found.service_port.value) == (8088, 80)
    wrong = {"kubernetes": {"service": {"port": "http"}}}
    assert wrongs(agent(extensions=wrong)) == [("/extensions/kubernetes/service/port", "type")]


@pytest.mark.parametrize(
    ("metadata", "root", "namespace"),
    [
        ({"namespace": "a"}, {}, "a"),
        ({}, {"extensions": {"kubernetes": {"namespace": {"name": "b"}}}}, "b"),
        ({}, {"extensions": {"kubernetes": {"namespace": "c"}}}, "c"),
        (
            {},
            {
                "extensions": {"kubernetes": {"namespace": {"create": True}}},
                "runtime": {"kubernetes": {"namespace": "d"}},
            },
            "d",
        ),
    ],
)
def test_namespaces(metadata: dict[str, Any], root: dict[str, Any], namespace: str) -> None:
    assert spec_of(agent(metadata=metadata, **root)).namespace.value == namespace


@pytest.mark.parametrize("namespace", ["A", "a.b", "-a", "a" * 64, "${NS}", 5, ""])
def test_illegal_namespaces(namespace: object) -> None:
    ((pointer, _),) = wrongs(agent(metadata={"namespace": namespace}))
    assert pointer == "/metadata/namespace"


@pytest.mark.parametrize(
    ("image", "warned"),
    [
        ("agent:1.2.0", False),
        ("localhost:5000/a/b_c/d--e:v1", False),
        ("ghcr.io/a/b@sha256:" + "0" * 64, False),
        ("ghcr.io/a/b:latest@sha256:" + "0" * 64, False),
        ("agent", True),
        ("ghcr.io/a/b:latest", True),
        ({"repository": "a/b", "tag": "1"}, False),
        ({"repository": "a/b"}, True),
    ],
)
def test_images(image: object, warned: bool) -> None:  # noqa: FBT001 - a table
    data = deployed(image=image)
    assert spec_of(data, strict=True).image.source == "/spec/deployment/image"
    assert told(data) == ([("/spec/deployment/image", "image")] if warned else [])


@pytest.mark.parametrize(
    ("image", "error"),
    [
        ("Agent:1", ("", "image")),
        ("a b", ("", "image")),
        ("a:", ("", "image")),
        ("a@sha256:1", ("", "image")),
        ("http://x/a:1", ("", "image")),
        ("a" * 600, ("", "image")),
        ("a:${TAG}", ("", "template")),
        ("", ("", "required")),
        (5, ("", "type")),
        ({"tag": "1"}, ("/repository", "required")),
        ({"repository": 5, "tag": "1"}, ("/repository", "type")),
        ({"repository": "a", "tag": 1.0}, ("/tag", "type")),
        ({"repository": "a", "tag": "1", "pullPolicy": "Often"}, ("/pullPolicy", "pattern")),
    ],
)
def test_wrong_images(image: object, error: tuple[str, str]) -> None:
    assert wrongs(deployed(image=image)) == [(f"/spec/deployment/image{error[0]}", error[1])]


def test_no_image_is_made_up() -> None:
    data = agent({"deployment": {}})
    assert told(data, strict=True) == [("/spec/deployment/image", "image")]
    assert spec_of(data).image == Sourced(None)
    legacy = "ossaVersion: '1.0'\nagent: {id: a}"
    assert told(legacy) == [("/agent/runtime/image", "image")]


def test_commands() -> None:
    assert spec_of(agent({"runtime": {"command": "node 'a b.js' -v"}})).command == Sourced(
        ("node", "a b.js", "-v"), "/spec/runtime/command"
    )
    data = agent({"runtime": {"args": ["-v"]}})
    assert told(data) == [("/spec/runtime/args", "command")]
    assert spec_of(data).command == Sourced(())
    template = agent({"runtime": {"command": ["run", "${X}"]}})
    assert wrongs(template) == [("/spec/runtime/command/1", "template")]


def test_variables() -> None:
    given = {"A": "x", "b.c-d": 5, "ON": True, "PI": 3.5, "EMPTY": "", "API_TOKEN": ""}
    found = spec_of(agent({"runtime": {"environment": given}}))
    assert {name: value.value for name, value in found.env.items()} == {
        "A": "x",
        "b.c-d": "5",
        "ON": "true",
        "PI": "3.5",
        "EMPTY": "",
        "API_TOKEN": "",
    }
    assert found.env["A"].source == "/spec/runtime/environment/A"


@pytest.mark.parametrize(
    ("variables", "error"),
    [
        ({"1A": "x"}, ("/1A", "pattern")),
        ({"A B": "x"}, ("/A B", "pattern")),
        ({"": "x"}, ("/", "pattern")),
        ({"A": None}, ("/A", "type")),
        ({"A": {"b": 1}}, ("/A", "type")),
        ({"A": "${B}"}, ("/A", "template")),
        ({"API_KEY": "sk-hidden"}, ("/API_KEY", "secret")),
        ({"API_KEY": "${API_KEY}"}, ("/API_KEY", "secret")),
        (["A=b"], ("", "type")),
    ],
)
def test_wrong_variables(variables: object, error: tuple[str, str]) -> None:
    data = agent({"runtime": {"environment": variables}})
    assert wrongs(data) == [(f"/spec/runtime/environment{error[0]}", error[1])]


@pytest.mark.parametrize(
    "name",
    [
        *["API_KEY", "OPENAI_API_KEY_2", "apiKey", "APIKEY", "dbPassword", "DB_PASSWD"],
        *["GITHUB_TOKEN", "client-secret", "AWS_SECRET_ACCESS_KEY", "CREDENTIALS", "KEYS"],
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name", ["MAX_TOKENS", "MONKEY", "KEYBOARD", "TOKEN_LIMIT", "SECRET_NAME", "API_KEY_FILE", "A"]
)
def test_names_of_no_secrets(name: str) -> None:
    assert not looks_secret(name)


def test_labels_and_annotations() -> None:
    metadata = {
        "labels": {
            "team": "a",
            "empty": "",
            "app": "x",
            "role": "y",
            "note": "SOC2,HIPAA",
            "both": "a b",
            "bad key": "z",
        },
        "annotations": {"x.io/date": "2025-10-31", "both": "mine", "ossa.version": "any"},
    }
    data = agent(metadata=metadata)
    found = spec_of(data)
    assert found.labels == {"team": "a", "empty": ""}
    assert found.annotations == {
        "app": "x",
        "role": "y",
        "note": "SOC2,HIPAA",
        "both": "mine",
        "x.io/date": "2025-10-31",
        "ossa.version": "any",
    }
    assert told(data, strict=True) == [
        (f"/metadata/labels/{name}", "label") for name in ("app", "bad key", "both", "note", "role")
    ]


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        ({"labels": {"a": 1}}, ("/metadata/labels/a", "type")),
        ({"labels": {"a": None}}, ("/metadata/labels/a", "type")),
        ({"labels": {"a/b": "${X}"}}, ("/metadata/labels/a~1b", "template")),
        ({"labels": ["a"]}, ("/metadata/labels", "type")),
        ({"annotations": {"a": "x" * 200_000}}, ("/metadata/annotations", "size")),
    ],
)
def test_wrong_labels(metadata: dict[str, Any], error: tuple[str, str]) -> None:
    assert wrongs(agent(metadata=metadata)) == [error]
