"""One cluster a session, one namespace a test."""

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from tools import cluster as control_plane
from tools.cluster import Cluster

DEADLINE = 60.0
T = TypeVar("T")


class Kubectl:
    """The command of the cluster's own version, with its kubeconfig and nothing of the shell."""

    def __init__(self, cluster: Cluster, namespace: str = "default") -> None:
        self._command = [str(cluster.kubectl), f"--kubeconfig={cluster.kubeconfig}"]
        self._command += [f"--namespace={namespace}"]
        self._home = cluster.data

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._command, *arguments],
            input=stdin,
            env={"PATH": os.defpath, "HOME": str(self._home)},
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE,
        )

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *arguments: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self(*arguments, "--output=json"))
        return found

    def apply(self, *documents: dict[str, Any]) -> None:
        self("apply", "--filename=-", stdin=json.dumps(_list(documents)))


def _list(documents: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": documents}


def until(ask: Callable[[], T], seconds: float = DEADLINE) -> T:
    """Ask until the answer is true; the last answer."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"not so after {seconds:g} s: {ask}"
        time.sleep(0.05)
    return answer


@pytest.fixture(scope="session")
def _programs() -> None:
    if control_plane.locate() is None and shutil.which("go") is None:
        reason = "no Go on the PATH to build a control plane with, and none built before"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    control_plane.build(print)


@pytest.fixture(scope="session")
def cluster(_programs: None) -> Iterator[Cluster]:
    """A control plane of our own with three nodes; it ends with the tests, even by kill -9."""
    with control_plane.cluster() as running:
        yield running


@pytest.fixture
def kubectl(cluster: Cluster) -> Iterator[Kubectl]:
    """Kubectl in a new namespace under the strictest Pod Security, which goes afterwards."""
    namespace = f"test-{secrets.token_hex(4)}"
    everywhere = Kubectl(cluster)
    everywhere("create", "namespace", namespace)
    everywhere("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    yield Kubectl(cluster, namespace)
    everywhere("delete", "namespace", namespace, "--wait=false")
