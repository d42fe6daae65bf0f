"""Every real manifest that can be deployed is admitted and rolls out; the others say why not."""

import secrets
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from ossa.check import check
from tests.kubernetes.agents_world import AgentsWorld
from tests.kubernetes.conftest import Kubectl
from tools.cluster import Cluster

MANIFESTS = Path(__file__).resolve().parents[3] / "shared/data/ossa/manifests"
DEPLOYABLE = "deployable"
# File by file: that it can be deployed, or where it is refused.
EXPECTED = {
    "01": DEPLOYABLE,
    "04": DEPLOYABLE,
    "07": DEPLOYABLE,
    "08": DEPLOYABLE,
    "09": DEPLOYABLE,
    "11": "/kind",
    "13": DEPLOYABLE,
    "15": DEPLOYABLE,
    "16": "/kind",
    "20": "/kind",
    "22": DEPLOYABLE,
    "23": "/apiVersion",
    "25": DEPLOYABLE,
    "27": DEPLOYABLE,
    "29": DEPLOYABLE,
}

needs_manifests = pytest.mark.skipif(
    not MANIFESTS.is_dir(), reason="the real manifests are not part of the project"
)


def files() -> dict[str, Path]:
    return {path.name[:2]: path for path in sorted(MANIFESTS.glob("*.y*ml"))}


@needs_manifests
def test_each_real_manifest_has_the_verdict_that_it_must_have(
    cluster: Cluster, tmp_path: Path
) -> None:
    table = Table("manifest", "verdict", "why")
    verdicts: dict[str, str] = {}
    for key, path in files().items():
        (report,) = check(path.read_bytes(), file=path.name)
        why = "; ".join(f"{found.pointer} {found.message}" for found in report.errors)
        verdicts[key] = DEPLOYABLE if report.deployable else report.errors[0].pointer
        table.add_row(path.name, verdicts[key], why)
        assert len({found.pointer for found in report.errors}) <= 1, why
    Console(width=160).print(table)
    assert verdicts == EXPECTED

    world = AgentsWorld(cluster=cluster, folder=tmp_path)
    # Two of them have the same name, so each has a namespace.
    mark = secrets.token_hex(4)
    rows = [
        {"manifest": str(path), "document": path.read_text(), "namespace": f"agents-{mark}-{key}"}
        for key, path in files().items()
        if verdicts[key] == DEPLOYABLE
    ]
    applied = world.up(*rows)
    everywhere = Kubectl(cluster).json("get", "deployments", "--all-namespaces")["items"]
    found = [one for one in everywhere if mark in one["metadata"]["namespace"]]
    assert len(found) == len(rows) == len(applied.state.outputs["deployments"])
    for one in found:
        assert one["status"].get("readyReplicas", 0) >= one["spec"]["replicas"]
    for row in rows:
        labels = Kubectl(cluster).json("get", "namespace", row["namespace"])["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    world.stack().destroy(remove=True)
