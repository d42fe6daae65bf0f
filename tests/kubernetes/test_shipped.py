"""What the project ships, by a plain `pulumi up` as a person runs it: settings and examples."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.kubernetes.agents_world import AgentsWorld
from tests.kubernetes.conftest import Kubectl
from tools import engine
from tools.cluster import Cluster

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = "kubeconfig: ~/.kube/config"


def test_the_shipped_agents_come_up_stay_unchanged_and_go(cluster: Cluster, tmp_path: Path) -> None:
    world = AgentsWorld(cluster=cluster, folder=tmp_path)
    env = dict(world.target("agents").env)
    project = tmp_path / "project"
    shutil.copytree(ROOT / "examples", project / "examples")
    shutil.copy(ROOT / "__main__.py", project)
    settings = (ROOT / "Pulumi.agents.yaml").read_text()
    assert SHIPPED in settings
    named = settings.replace(SHIPPED, f"kubeconfig: {cluster.kubeconfig}")
    (project / "Pulumi.agents.yaml").write_text(named)
    options = f"{{name: python, options: {{virtualenv: {sys.prefix}}}}}"
    (project / "Pulumi.yaml").write_text(f"name: agent-docker\nruntime: {options}\n")

    def pulumi(*arguments: str) -> str:
        done = subprocess.run(
            [str(engine.ensure().pulumi), *arguments, "--non-interactive", "--stack", "agents"],
            cwd=project,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    pulumi("stack", "init")
    assert "16 created" in pulumi("up", "--yes", "--skip-preview")
    assert "16 unchanged" in pulumi("up", "--yes")
    found = Kubectl(cluster, "platform-agents").json("get", "deployments")["items"]
    assert {one["metadata"]["name"] for one in found} == {"greeter", "librarian"}
    assert "16 deleted" in pulumi("destroy", "--yes")
