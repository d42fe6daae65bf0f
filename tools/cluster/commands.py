"""The command line of each component. No secret is in one: files carry those, and names of files.

All paths are relative to the data folder, which is where the components run.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from tools.cluster.credentials import CONTROLLERS, NODES, SCHEDULER
from tools.cluster.layout import Layout
from tools.cluster.model import Binaries

HOST = "127.0.0.1"
# A socket in a folder that only the owner may enter: etcd asks nobody for a password.
_ETCD = "unix://etcd.sock"
# Of the networks for documentation: the API server wants some address that is not loopback.
_ADVERTISED = "192.0.2.1"
OWN_STAGES = Path(__file__).parent / "stages"

CONTROLLER_NAMES = (
    "clusterrole-aggregation-controller",
    "deployment-controller",
    "disruption-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "horizontal-pod-autoscaler-controller",
    "job-controller",
    "namespace-controller",
    "node-lifecycle-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "service-cidr-controller",
    "statefulset-controller",
)


def stores(layout: Layout, binaries: Binaries, port: int) -> dict[str, list[str]]:
    """What must serve before anything else has a kubeconfig: etcd and the API server."""
    etcd = {
        "name": "only",
        "data-dir": "etcd",
        "listen-client-urls": _ETCD,
        # It has no peers; these two are never dialled.
        "listen-peer-urls": "unix://peer.sock",
        "initial-advertise-peer-urls": "http://localhost:0",
        "initial-cluster": "only=http://localhost:0",
        "advertise-client-urls": "http://localhost:0",
        # A kill loses nothing all the same, a power cut may.
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    }
    apiserver = {
        "etcd-servers": _ETCD,
        "bind-address": HOST,
        "secure-port": str(port),
        # The port is held for it until it listens (ports.py).
        "permit-port-sharing": "true",
        "advertise-address": _ADVERTISED,
        "endpoint-reconciler-type": "none",
        "cert-dir": layout.certificate.parent.name,
        "token-auth-file": layout.tokens.name,
        "service-account-key-file": layout.signing_key.name,
        "service-account-signing-key-file": layout.signing_key.name,
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-cluster-ip-range": "10.96.0.0/16",
        "authorization-mode": "Node,RBAC",
        # As every installer does: whether a pod may be privileged is for admission to say.
        "allow-privileged": "true",
        "profiling": "false",
    }
    return {
        "etcd": _command(binaries["etcd"], etcd),
        "kube-apiserver": _command(binaries["kube-apiserver"], apiserver),
    }


def workers(layout: Layout, binaries: Binaries) -> dict[str, list[str]]:
    """What works through the API server: controllers, scheduler, and the fake nodes."""
    shared = {"leader-elect": "false", "secure-port": "0", "profiling": "false"}
    controllers = {
        **shared,
        "kubeconfig": layout.component_kubeconfig(CONTROLLERS).name,
        "controllers": ",".join(CONTROLLER_NAMES),
        "use-service-account-credentials": "true",
        "root-ca-file": str(layout.certificate.relative_to(layout.data)),
        "kube-api-qps": "200",
        "kube-api-burst": "400",
    }
    scheduler = {
        **shared,
        "kubeconfig": layout.component_kubeconfig(SCHEDULER).name,
        "kube-api-qps": "200",
        "kube-api-burst": "400",
    }
    kwok = {
        "kubeconfig": layout.component_kubeconfig(NODES).name,
        "manage-nodes-with-annotation-selector": "kwok.x-k8s.io/node=fake",
        "cidr": "10.244.0.0/16",
    }
    return {
        "kube-controller-manager": _command(binaries["kube-controller-manager"], controllers),
        "kube-scheduler": _command(binaries["kube-scheduler"], scheduler),
        "kwok": [*_command(binaries["kwok"], kwok), *_configs(_stages(binaries))],
    }


def _stages(binaries: Binaries) -> list[Path]:
    return [*sorted(binaries.stages.glob("*.yaml")), *sorted(OWN_STAGES.glob("*.yaml"))]


def _configs(files: Iterable[Path]) -> list[str]:
    return [f"--config={file}" for file in files]


def _command(program: Path, flags: Mapping[str, str]) -> list[str]:
    return [str(program), *(f"--{name}={value}" for name, value in flags.items())]
