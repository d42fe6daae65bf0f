"""Manifests of our own for the tests of ossa: small, one per dialect, and builders over them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ossa.check import check
from ossa.report import Report
from ossa.spec import AgentSpec

PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "data" / "ossa"

SEED = """\
apiVersion: ossa/v0.3.3
kind: Agent
metadata:
  name: reviewer
  version: 1.2.0
  description: Reads merge requests
  labels: {team: platform}
spec:
  role: reviewer
  access_tier: tier_2_write_limited
  deployment:
    image: example.com/agents/reviewer:1.2.0
    port: 8080
    scaling: {min_replicas: 2, max_replicas: 5}
    resources: {cpu: 500m, memory: 512Mi}
  monitoring:
    health_check: /live
"""

LEGACY = """\
ossaVersion: "1.0"
agent:
  id: scanner
  version: 2.0.0
  role: compliance
  runtime:
    image: example.com/scanner:2.0.0
    command: [/app/scanner]
    args: [--continuous]
    env: {LOG_LEVEL: info, INTERVAL: 60}
    resources: {cpu: 1, memory: 1Gi, gpu: false}
    health_check: {type: http, endpoint: /ok, port: 9000, period_seconds: 20}
  bridge: {kagent: {deployment: {replicas: 3}}}
"""

BLUEFLY = """\
apiVersion: "@bluefly/ossa/v0.1.9"
kind: Agent
metadata: {name: worker-one}
spec:
  type: worker
  deployment:
    scaling: {enabled: true, minReplicas: 1, maxReplicas: 4, targetCPUUtilization: 70}
    healthChecks: {path: /health, port: 3100, initialDelaySeconds: 5}
    kubernetes: {agent: {namespace: workers}}
  resources:
    requests: {cpu: 100m, memory: 128Mi}
    limits: {cpu: 200m}
"""

EXTENDED = """\
apiVersion: ossa/v0.2.9
kind: Agent
metadata: {name: router, labels: {tier: production, note: "SOC2,HIPAA"}}
spec:
  role: |
    You are a router.
    You route.
  identity: {access_tier: elevated}
  tools: [{type: mcp, name: one}]
extensions:
  kubernetes:
    namespace: {name: routing}
    service: {port: 80, targetPort: 8088}
    deployment:
      image: {repository: example.com/router, tag: "3", pullPolicy: Always}
      strategy: Recreate
      replicas: 2
    probes: {liveness: {path: /l}, readiness: {path: /r, port: 8089}}
"""

ALL = (SEED, LEGACY, BLUEFLY, EXTENDED)


def agent(
    spec: Mapping[str, Any] | None = None,
    *,
    version: str = "ossa/v0.5",
    metadata: Mapping[str, Any] | None = None,
    **root: Any,  # noqa: ANN401 - whatever a manifest may hold
) -> bytes:
    """A manifest with an image, as JSON."""
    named = {"name": "one", **(metadata or {})}
    deployed = {"deployment": {"image": "a/b:1"}, **(spec or {})}
    document = {"apiVersion": version, "kind": "Agent", "metadata": named, "spec": deployed, **root}
    return json.dumps(document).encode()


def deployed(**deployment: Any) -> bytes:  # noqa: ANN401 - whatever a manifest may hold
    """A manifest with these keys below `spec.deployment`."""
    return agent({"deployment": {"image": "a/b:1", **deployment}})


def report(data: bytes | str, **options: Any) -> Report:  # noqa: ANN401 - check's own options
    """The one report of a file with one document."""
    raw = data.encode() if isinstance(data, str) else data
    (only,) = check(raw, file="agent.yaml", **options)
    return only


def spec_of(data: bytes | str, **options: Any) -> AgentSpec:  # noqa: ANN401 - check's own options
    """The spec of a manifest that can be deployed."""
    found = report(data, **options)
    assert found.spec is not None, found.errors
    return found.spec


def wrongs(data: bytes | str, **options: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - check's
    """Where each error is, and its keyword."""
    return [(found.pointer, found.keyword) for found in report(data, **options).errors]


def told(data: bytes | str, **options: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - check's
    """Where each warning is, and its keyword."""
    return [(found.pointer, found.keyword) for found in report(data, **options).warnings]
