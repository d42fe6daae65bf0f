"""`agent-docker agents …` through typer's runner; no cluster and no engine is asked."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

from cli import agents_local, agents_profile, agents_stack, completion
from cli.agents_profile import NoCluster, local_agents, production_agents
from cli.app import app
from cli.ending import mistakes
from cli.files import LocalFiles
from cli.progress import Progress
from contracts.errors import SettingsError
from contracts.outputs import AgentOutput
from operations.agents import Deployed, NoSuchPod, Past, Place

ROOT = Path(__file__).resolve().parents[2]
GREETER = ROOT / "examples/agents/greeter.ossa.yaml"
EXAMPLES = sorted((ROOT / "examples/agents").glob("*.yaml"))
RECORD = AgentOutput.model_validate(
    {
        "name": "greeter",
        "namespace": "agents",
        "image": "example.com/greeter:1.0",
        "minReplicas": 1,
        "maxReplicas": 1,
        "apiVersion": "ossa/v0.4.6",
        "tier": "tier_1_read",
        "manifest": "greeter.yaml",
        "manifestSha256": "f" * 64,
        "service": "http://greeter.agents.svc:3000",
    }
)


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["agents", *arguments], input=stdin)


def refused(*arguments: str) -> str:
    """What a command that ends with an error says, and that it ends with a message."""
    done = run(*arguments)
    assert isinstance(done.exception, SettingsError), done.output
    return str(done.exception)


# validate


def test_the_examples_can_be_deployed() -> None:
    done = run("validate", *map(str, EXAMPLES))
    assert done.exit_code == 0, done.output
    assert done.output.count("deployable") == len(EXAMPLES) >= 2


def test_a_report_names_place_line_and_what_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(GREETER.read_text().replace("tier_1_read", "root"))
    done = run("validate", str(path))
    assert done.exit_code == 1
    assert "spec.access_tier" in done.output
    assert "/spec/access_tier line 13" in done.output
    assert "tier_1_read" in done.output


def test_scripts_get_a_list() -> None:
    done = run("validate", "--json", str(GREETER))
    (report,) = json.loads(done.stdout)
    assert {name: report[name] for name in ("dialect", "api_version", "kind", "name")} == {
        "dialect": report["dialect"],
        "api_version": "ossa/v0.4.6",
        "kind": "Agent",
        "name": "greeter",
    }
    assert report["deployable"] is True
    assert report["document"] == 1
    assert set(report) == {
        "file", "document", "dialect", "api_version", "kind", "name", "deployable", "findings",
    }  # fmt: skip


def test_a_manifest_may_come_from_standard_input() -> None:
    done = run("validate", "-", stdin=GREETER.read_text())
    assert done.exit_code == 0
    assert "greeter" in done.output


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "nowhere.yaml cannot be read" in refused("validate", str(tmp_path / "nowhere.yaml"))


def test_a_schema_of_the_users_is_heard(tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps({"required": ["owner"]}))
    done = run("validate", "--schema", str(schema), str(GREETER))
    assert done.exit_code == 0
    assert "/owner" in done.output
    assert run("validate", "--strict", "--schema", str(schema), str(GREETER)).exit_code == 1
    schema.write_text("{")
    assert "is not JSON" in refused("validate", "--schema", str(schema), str(GREETER))
    schema.write_text("[]")
    assert "must be an object" in refused("validate", "--schema", str(schema), str(GREETER))


def test_templates_are_filled_on_request(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(GREETER.read_text().replace("name: greeter", "name: ${NAME}"))
    assert run("validate", str(path)).exit_code == 1
    assert run("validate", "--value", "NAME=usher", str(path)).exit_code == 0
    assert "--value takes NAME=VALUE, got 'NAME'" in refused("validate", "--value", "NAME", "x")


# render


def test_what_is_rendered_is_what_kubernetes_gets() -> None:
    done = run("render", "--json", "-n", "team-a", str(GREETER))
    objects = json.loads(done.stdout)
    assert [one["kind"] for one in objects] == [
        "Namespace", "NetworkPolicy", "NetworkPolicy", "ServiceAccount", "Deployment", "Service",
    ]  # fmt: skip
    assert {one["metadata"].get("namespace", "team-a") for one in objects} == {"team-a"}


def test_people_get_yaml_and_no_value_of_a_secret() -> None:
    arguments = ("--min", "2", "--max", "4", "--env", "A=1", "--secret", "KEY=store/token")
    done = run("render", "--image", "example.com/greeter:2", *arguments, str(GREETER))
    assert done.exit_code == 0, done.output
    objects = list(YAML(typ="safe").load_all(done.stdout))
    kinds = {one["kind"] for one in objects}
    assert {"HorizontalPodAutoscaler", "PodDisruptionBudget"} <= kinds
    (container,) = next(
        one["spec"]["template"]["spec"]["containers"]
        for one in objects
        if one["kind"] == "Deployment"
    )
    assert container["image"] == "example.com/greeter:2"
    env = {one["name"]: one for one in container["env"]}
    assert env["A"]["value"] == "1"
    assert env["KEY"]["valueFrom"]["secretKeyRef"] == {"name": "store", "key": "token"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--image", "greeter:latest"), "must name a version"),
        (("--env", "A"), "--env takes NAME=VALUE"),
        (("--secret", "KEY=hunter2"), "--secret takes NAME=SECRET/KEY"),
        (("--min", "3", "--max", "2"), "min 3 is more than max 2"),
        (("--namespace", "Team"), "agent.namespace"),
        (("--env", "A-B=1"), "agent.env.A-B"),
    ],
)
def test_a_wrong_option_is_named(arguments: Sequence[str], told: str) -> None:
    assert told in refused("render", str(GREETER), *arguments)


def test_a_missing_image_is_an_error_of_the_deploy(tmp_path: Path) -> None:
    path = tmp_path / "plain.yaml"
    lines = [line for line in GREETER.read_text().splitlines() if "image:" not in line]
    path.write_text("\n".join(lines))
    assert run("validate", str(path)).exit_code == 0
    assert "image: is required" in refused("render", str(path))


# One agent, on stacks that only remember what they were asked.


@dataclass
class FakeAgents:
    calls: list[Any] = field(default_factory=list)

    def deploy(self, place: Place, deployment: Any, *, namespace: Any) -> Deployed:  # noqa: ANN401
        self.calls.append(("deploy", place, deployment.image, namespace.existing))
        return Deployed(agent=RECORD, changes=("greeter",))

    def scale(self, place: Place, least: int, most: int | None) -> Deployed:
        self.calls.append(("scale", place, least, most))
        return Deployed(agent=RECORD, changes=())

    def rollback(self, place: Place, *, back: int | None) -> Deployed:
        self.calls.append(("rollback", place, back))
        return Deployed(agent=RECORD, changes=("greeter",))

    def delete(self, place: Place) -> list[str]:
        self.calls.append(("delete", place))
        return ["Secret theirs"]

    def recorded(self, _place: Place) -> AgentOutput:
        return RECORD

    def updates(self, _place: Place) -> list[Past]:
        at = datetime(2026, 1, 1, tzinfo=UTC)
        return [
            Past(back=0, at=at, image="example.com/greeter:1.1", succeeded=False),
            Past(back=1, at=at, image=None, succeeded=True),
        ]


@dataclass
class FakeCluster:
    """`found` are Deployments, `pods_` the pods of any of them."""

    found: list[Any] = field(default_factory=list)
    pods_: list[Any] = field(default_factory=list)

    def deployments(self, selector: str, namespace: str | None = None) -> list[Any]:
        assert "app.kubernetes.io/managed-by=agent-docker" in selector
        del namespace
        return self.found

    def replica_sets(self, *_place: str) -> list[Any]:
        return []

    def pods(self, *_place: str) -> list[Any]:
        return self.pods_

    def events(self, _namespace: str) -> list[Any]:
        return []

    def logs(self, _namespace: str, pod: str, *, tail: int, follow: bool) -> Iterator[str]:
        yield f"{pod} {tail} {follow}\n"


PLACE = Place(namespace="agents", name="greeter")


def deployment(ready: int) -> dict[str, Any]:
    """A Deployment of two pods, as an API server tells of it."""
    containers = [{"name": "greeter", "image": "example.com/greeter:1.0"}]
    return {
        "metadata": {
            "name": "greeter",
            "namespace": "agents",
            "generation": 1,
            "annotations": {"agent-docker/access-tier": "tier_1_read"},
        },
        "spec": {"replicas": 2, "template": {"spec": {"containers": containers}}},
        "status": {
            "observedGeneration": 1,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "updatedReplicas": 2,
            "replicas": 2,
        },
    }


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> tuple[FakeAgents, FakeCluster]:
    agents, cluster = FakeAgents(), FakeCluster()
    profile = SimpleNamespace(agents=lambda _shown: agents, reader=lambda: cluster)

    @contextmanager
    def world(*_where: object, production: bool) -> Iterator[Any]:
        assert not production
        yield profile, Progress()

    monkeypatch.setattr(agents_stack, "_world", world)
    return agents, cluster


Fakes = tuple[FakeAgents, FakeCluster]


def test_one_agent_is_deployed_scaled_put_back_and_deleted(fakes: Fakes) -> None:
    agents, _ = fakes
    done = run("deploy", str(GREETER), "--image", "example.com/greeter:1.0", "-n", "agents")
    assert done.exit_code == 0, done.output
    assert "greeter is up in agents as example.com/greeter:1.0, 1 resources changed" in done.output
    run("deploy", str(GREETER), "--existing-namespace")
    assert "unchanged" in run("scale", "greeter", "2", "--max", "4", "-n", "agents").output
    told = json.loads(run("rollback", "greeter", "--back", "3", "--json").stdout)
    assert told["agent"]["name"] == "greeter"
    assert "namespace agents stays, since it has Secret theirs" in run("delete", "greeter").output
    assert agents.calls == [
        ("deploy", PLACE, "example.com/greeter:1.0", False),
        ("deploy", PLACE, None, True),
        ("scale", PLACE, 2, 4),
        ("rollback", PLACE, 3),
        ("delete", PLACE),
    ]


def test_nothing_is_asked_of_a_cluster_while_the_manifest_is_wrong(
    fakes: Fakes, tmp_path: Path
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(GREETER.read_text().replace("cpu: 100m", "cpu: lots"))
    assert "lots" in refused("deploy", str(path))
    assert "cannot be read" in refused("deploy", str(tmp_path / "nowhere.yaml"))
    assert "less than" in refused("scale", "greeter", "4", "--max", "2")
    assert fakes[0].calls == []


def test_status_is_1_unless_all_pods_are_ready(fakes: Fakes) -> None:
    _, cluster = fakes
    cluster.found = [deployment(ready=2)]
    done = run("status", "greeter")
    assert done.exit_code == 0, done.output
    assert "2/2" in done.output
    assert "example.com/greeter:1.1" in done.output
    assert "the manifest's" in done.output
    cluster.found = [deployment(ready=1)]
    done = run("status", "greeter", "--json")
    assert done.exit_code == 1
    (agent,) = json.loads(done.stdout)["agents"]
    assert (agent["ready"], agent["wanted"], agent["healthy"]) == (1, 2, False)
    assert agent["reason"]
    cluster.found = []
    assert "its Deployment is not there" in run("status", "greeter").output


def test_list_shows_all_of_ours(fakes: Fakes) -> None:
    _, cluster = fakes
    assert "agents: none" in run("list").output
    cluster.found = [deployment(ready=2)]
    assert "greeter" in run("list").output
    assert json.loads(run("list", "--json").stdout)["agents"][0]["tier"] == "tier_1_read"


def test_logs_are_of_the_newest_pod(fakes: Fakes) -> None:
    _, cluster = fakes
    done = run("logs", "greeter")
    assert isinstance(done.exception, NoSuchPod)
    cluster.pods_ = [
        {"metadata": {"name": "old", "creationTimestamp": "2026-01-01T00:00:00Z"}},
        {"metadata": {"name": "new", "creationTimestamp": "2026-01-02T00:00:00Z"}},
    ]
    assert run("logs", "greeter", "--tail", "5").output == "new 5 False\n"


# Profiles.


def test_production_names_its_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = {
        "AGENT_DOCKER_SETTINGS_DIR": str(tmp_path),
        "AGENT_DOCKER_STATE_DIR": str(tmp_path / "state"),
        "PULUMI_BACKEND_URL": "s3://states",
        "KUBECONFIG": "/of/the/shell",
    }
    del monkeypatch
    path = tmp_path / "Pulumi.agents.yaml"
    path.write_text("config:\n  agent-docker:agents: {}\n")
    with pytest.raises(SettingsError, match="names no cluster"):
        production_agents(env, None, None)
    assert production_agents(env, "/given", "blue").cluster.kubeconfig == "/given"
    path.write_text("config:\n  agent-docker:agents: {cluster: {kubeconfig: /named}}\n")
    profile = production_agents(env, None, None)
    assert profile.cluster.kubeconfig == "/named"
    assert profile.stack("agents.a.b", lambda _event: None).target.stack == "agents.a.b"
    database = {**env, "PULUMI_BACKEND_URL": "postgres://me:canary-word@db/state"}
    one = production_agents(database, None, None).stack("agents.a.b", lambda _event: None)
    assert "canary-word" in one.target.secrets


def test_without_a_cluster_the_local_profile_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/of/the/shell")
    with pytest.raises(NoCluster, match="none of ours runs"):
        local_agents(LocalFiles(folder=tmp_path), {}, Progress(), None, None)


def test_up_says_that_agents_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tools.cluster.locate", lambda: None)
    files = LocalFiles(folder=tmp_path)
    assert agents_local.up(files, {}, Progress(), None) is None
    assert "the agents are left out" in capsys.readouterr().err
    nowhere = {"AGENT_DOCKER_SETTINGS_DIR": str(tmp_path)}
    assert agents_local.up(files, nowhere, Progress(), None) is None
    assert "Pulumi.agents.yaml does not exist" in capsys.readouterr().err
    assert agents_local.down(files, {}, Progress()) is False


def test_manifests_travel_within_the_settings(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: Agent")
    (row,) = agents_local.inlined([{"manifest": "a.yaml"}], tmp_path)
    assert row == {"manifest": "a.yaml", "document": "kind: Agent"}
    with pytest.raises(SettingsError, match=r"agents.deployments.0.manifest: .*b.yaml cannot"):
        agents_local.inlined([{"manifest": "b.yaml"}], tmp_path)


def test_each_cluster_has_a_backend_of_its_own(tmp_path: Path) -> None:
    files = LocalFiles(folder=tmp_path)
    backends = {files.agents_backend(path) for path in (None, "/one", "/two")}
    assert len(backends) == 3
    assert files.agents_backends == []


def test_mistakes_end_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end, mistakes():
        raise NoCluster("no cluster is named", hint="name one")
    assert end.value.code == 1
    assert "hint: name one" in capsys.readouterr().err
    assert agents_profile.AGENTS == "agents"


def test_a_tab_completes_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_DOCKER_LOCAL_DIR", str(tmp_path))
    stacks = tmp_path / "agents-backend-0/.pulumi/stacks/agent-docker"
    stacks.mkdir(parents=True)
    for name in ("agents", "agents.team", "agents.team.critic", "agents.other.usher"):
        (stacks / f"{name}.json").touch()
    assert completion.agents("") == ["critic", "usher"]
    assert completion.agents("u") == ["usher"]
