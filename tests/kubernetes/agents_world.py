"""Agents on a cluster of the tests': the real program, the real engine, the offline plugin."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contracts.agents import AgentDeployment, ClusterSettings, NamespaceSettings
from localcloud.plugins.folders import folders
from operations.agents import Agents, Deployed, Place
from operations.cluster import Cluster as Reader
from operations.jobs import Event, MessageEvent
from operations.process import Limits
from operations.stack import Applied, Stack
from operations.target import Target
from tests.kubernetes.conftest import Kubectl
from tools import engine
from tools.cluster import Cluster

IMAGE = "example.com/agent:1.0"
ROLLOUT_SECONDS = 8


def manifest(name: str, **spec: object) -> str:
    """A manifest of our own, as JSON, which is YAML."""
    whole = {
        "role": "You help.\nAlways.",
        "access_tier": "tier_1_read",
        "deployment": {"scaling": {"min_replicas": 1}, "resources": {"cpu": "50m"}},
        "monitoring": {"health_check": "/health"},
    }
    return json.dumps(
        {
            "apiVersion": spec.pop("apiVersion", "ossa/v0.3.3"),
            "kind": "Agent",
            "metadata": {"name": name, "version": "1.0.0"},
            "spec": {**whole, **spec},
        }
    )


@dataclass(kw_only=True)
class AgentsWorld:
    """Everything that one backend of the tests records."""

    cluster: Cluster
    folder: Path
    said: list[str] = field(default_factory=list[str])
    secrets: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.cluster)

    def target(self, stack: str) -> Target:
        for name in ("home", "backend", "tmp", "run"):
            (self.folder / name).mkdir(exist_ok=True)
        passphrase = self.folder / "passphrase"
        if not passphrase.exists():
            passphrase.write_text("of the tests")
        env = engine.child_environment(
            engine.ensure(),
            python=Path(sys.executable),
            home=self.folder / "home",
            backend_url=f"file://{self.folder}/backend",
            passphrase_file=passphrase,
            plugin_dirs=folders(os.environ),
            extra={
                "TMPDIR": str(self.folder / "tmp"),
                "AGENT_DOCKER_RUN_DIR": str(self.folder / "run"),
            },
        )
        return Target(
            stack=stack,
            env=env,
            state=self.folder / "state",
            secrets=tuple(self.secrets.values()),
            secret_settings=self.secrets,
        )

    def stack(self, name: str = "agents") -> Stack:
        return Stack(target=self.target(name), on_event=self._listen, limits=Limits())

    def settings(self, *deployments: Mapping[str, Any], **more: object) -> dict[str, Any]:
        """The settings of the whole stack."""
        document = {
            "cluster": {"kubeconfig": str(self.cluster.kubeconfig)},
            "rolloutSeconds": ROLLOUT_SECONDS,
            "deployments": [{"image": IMAGE, **one} for one in deployments],
            **more,
        }
        return {"layer": "agents", "agents": document}

    def up(self, *deployments: Mapping[str, Any], **more: object) -> Applied:
        return self.stack().deploy(self.settings(*deployments, **more), persevere=True)

    @property
    def agents(self) -> Agents:
        return Agents(
            stack=self.stack,
            cluster=Reader(kubeconfig=str(self.cluster.kubeconfig)),
            settings=ClusterSettings(kubeconfig=str(self.cluster.kubeconfig)),
            rollout_seconds=ROLLOUT_SECONDS,
        )

    def deploy(
        self,
        namespace: str,
        name: str,
        *,
        existing: bool = False,
        image: str = IMAGE,
        **spec: object,
    ) -> Deployed:
        """`agents deploy` of a manifest of our own."""
        deployment = AgentDeployment(
            manifest=f"{name}.yaml", document=manifest(name, **spec), image=image
        )
        place = Place(namespace=namespace, name=name)
        return self.agents.deploy(place, deployment, namespace=NamespaceSettings(existing=existing))

    def live(self, namespace: str, name: str) -> dict[str, Any]:
        """The Deployment as the cluster has it."""
        return Kubectl(self.cluster, namespace).json("get", "deployment", name)

    def _listen(self, event: Event) -> None:
        if isinstance(event, MessageEvent):
            self.said.append(event.text)
