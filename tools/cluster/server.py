"""The few calls that starting needs of the API server: is it ready, are its nodes."""

import ssl
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import httpx

from tools.cluster.credentials import ADMIN, make_tokens
from tools.cluster.layout import Layout

_CALL_SECONDS = 5.0
_NODE_ROOM = {"cpu": "32", "memory": "256Gi", "pods": "110"}


class Server:
    """The API server of one cluster, as its administrator."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def is_ready(self) -> bool:
        """Whether it serves and has set itself up, its roles among that."""
        return self._get("/readyz").is_success

    def has_nodes(self, count: int) -> bool:
        """Create what is missing of node-0, node-1 and so on; True when none is any more."""
        made = (self._call("POST", "/api/v1/nodes", node(f"node-{n}")) for n in range(count))
        return all(
            answer.is_success or answer.status_code == HTTPStatus.CONFLICT for answer in made
        )

    def is_usable(self, nodes: int) -> bool:
        """Whether a pod would be admitted and find a node at once."""
        found = self._get("/api/v1/nodes")
        return (
            self._get("/api/v1/namespaces/default/serviceaccounts/default").is_success
            and self._get("/api/v1/namespaces/default/configmaps/kube-root-ca.crt").is_success
            and found.is_success
            and sum(map(is_schedulable, found.json()["items"])) >= nodes
        )

    def _get(self, path: str) -> httpx.Response:
        return self._call("GET", path)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """Return the answer; no answer is one too, since the caller asks again until a deadline."""
        try:
            return self._client.request(method, path, json=body)
        except httpx.TransportError:
            return httpx.Response(HTTPStatus.SERVICE_UNAVAILABLE)


@contextmanager
def connected(layout: Layout, url: str) -> Generator[Server]:
    """Connect as the administrator, trusting only the cluster's own certificate."""
    token = make_tokens(layout.tokens)[ADMIN]
    with httpx.Client(
        base_url=url,
        headers={"Authorization": f"Bearer {token}"},
        verify=ssl.create_default_context(cafile=layout.certificate),
        timeout=_CALL_SECONDS,
        trust_env=False,
    ) as client:
        yield Server(client)


def node(name: str) -> dict[str, Any]:
    """Return a node that kwok keeps alive; it runs nothing, so it may be large."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
            },
        },
        "status": {"allocatable": _NODE_ROOM, "capacity": _NODE_ROOM},
    }


def is_schedulable(found: dict[str, Any]) -> bool:
    """Whether a node is ready, and no longer marked as one that is not."""
    conditions = found["status"].get("conditions", [])
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and not found["spec"].get("taints")
