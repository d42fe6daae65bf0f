"""What a document is: dialect, version and kind, and what else is told when one is wrong."""

import json

import pytest

from tests.unit.ossa_manifests import BLUEFLY, LEGACY, SEED, agent, report, spec_of, wrongs


@pytest.mark.parametrize(
    "version",
    [
        "ossa/v1",
        "ossa/v0.2.2",
        "ossa/v0.2.9",
        "ossa/v0.2.9-dev",
        "ossa/v0.3",
        "ossa/v0.3.0-alpha.1",
        "ossa/v0.3.12",
        "ossa/v0.4",
        "ossa/v0.4.7",
        "ossa/v0.5",
        "ossa/v0.5.0-rc.1",
        "@bluefly/ossa/v0.1.9",
    ],
)
def test_supported_versions(version: str) -> None:
    found = report(agent(version=version))
    assert (found.deployable, found.api_version) == (True, version)
    assert spec_of(agent(version=version)).api_version.source == "/apiVersion"


@pytest.mark.parametrize(
    "version",
    [
        "ossa/v0.2",
        "ossa/v0.2.1",
        "ossa/v0.2.10",
        "ossa/v0.6",
        "ossa/v0.9",
        "ossa/v1.0",
        "ossa/v0.4 junk!",
        "ossa/v0.4\n",
        "xossa/v0.4",
        "ossa/v0.3.01",
        "ossa/v0.3-alpha",
        "!!x/v1",
        "ossa.ai/v1alpha1",
        "@ossa/v0.1.9",
        "ossa.io/v1",
    ],
)
def test_other_versions_are_refused_with_the_supported_ones(version: str) -> None:
    (found,) = report(agent({"deployment": {"replicas": "x"}}, version=version)).findings
    assert (found.pointer, found.keyword) == ("/apiVersion", "apiVersion")
    assert json.dumps(version)[1:-1] in found.message
    assert "ossa/v0.2.2 to ossa/v0.2.9" in found.message


@pytest.mark.parametrize(
    ("version", "keyword"),
    [("ossa/${OSSA_VERSION}", "template"), (0.5, "type"), (["a"], "type"), (" ", "required")],
)
def test_a_version_that_is_no_text(version: object, keyword: str) -> None:
    assert wrongs(agent(apiVersion=version)) == [("/apiVersion", keyword)]


@pytest.mark.parametrize(
    ("kind", "keyword"),
    [
        (None, "required"),
        ("Task", "kind"),
        ("Workflow", "kind"),
        ("Flow", "kind"),
        ("agent", "kind"),
        ("Deployment", "kind"),
        ("{{KIND}}", "template"),
        (1, "type"),
    ],
)
def test_a_wrong_kind_is_the_only_finding(kind: object, keyword: str) -> None:
    broken = agent(
        {"deployment": {"replicas": "x"}}, metadata={"name": "_"}, version="no", kind=kind
    )
    assert wrongs(broken) == [("/kind", keyword)]


def test_what_cannot_be_a_deployment_is_told_as_such() -> None:
    (found,) = report(agent(kind="Task")).errors
    assert found.message == "kind Task is not deployable as a Deployment; allowed: Agent"
    (found,) = report(agent(kind="Thing")).errors
    assert found.message == 'kind "Thing" is not a kind of OSSA; allowed: Agent'


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[1]", ("", "type")),
        ("text", ("", "type")),
        ("5", ("", "type")),
        ("true", ("", "type")),
        ("{a: 1}", ("/apiVersion", "required")),
        ("{kind: Agent}", ("/apiVersion", "required")),
        ("{kind: Task}", ("/kind", "kind")),
        ("{agent: {id: a}}", ("/ossaVersion", "required")),
        ("{ossaVersion: '2.0', agent: {id: a}}", ("/ossaVersion", "apiVersion")),
        ("{ossaVersion: 1.0, agent: {id: a}}", ("/ossaVersion", "type")),
        ("{ossaVersion: '', agent: {id: a}}", ("/ossaVersion", "required")),
        ("{ossaVersion: '1.0', agent: [1]}", ("/agent", "type")),
    ],
)
def test_what_is_no_manifest(text: str, error: tuple[str, str]) -> None:
    assert error in wrongs(text)


def test_a_legacy_manifest_without_its_agent_says_so() -> None:
    assert wrongs("ossaVersion: '1.0'") == [("/agent", "required")]


def test_legacy() -> None:
    found = report(LEGACY)
    assert (found.dialect, found.api_version, found.kind, found.name) == (
        "legacy",
        "ossa/v1.0",
        None,
        "scanner",
    )
    assert spec_of(LEGACY).api_version.source == "/ossaVersion"


def test_dialects() -> None:
    assert report(SEED).dialect == "ossa"
    assert report(BLUEFLY).dialect == "bluefly"
    assert report("[1]").dialect is None


def test_a_report_is_told_what_is_wrong_with_its_names() -> None:
    found = report(agent(metadata={"name": ["x"]}, apiVersion=["y"]))
    assert (found.name, found.api_version, found.kind) == (None, None, "Agent")
    assert report(agent(metadata={"name": "Wrong_Name"})).name == "Wrong_Name"
