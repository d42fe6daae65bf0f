"""A real Kubernetes control plane with fake nodes: built from Go modules, run and ended by us."""

from tools.cluster.cache import build, locate
from tools.cluster.errors import BuildFailed, ClusterError, GoMissing, NotOurs, NotStarted
from tools.cluster.model import ETCD, KUBERNETES, KWOK, Binaries, Cluster
from tools.cluster.run import NODES, cluster, running, start, stop

__all__ = [
    "ETCD",
    "KUBERNETES",
    "KWOK",
    "NODES",
    "Binaries",
    "BuildFailed",
    "Cluster",
    "ClusterError",
    "GoMissing",
    "NotOurs",
    "NotStarted",
    "build",
    "cluster",
    "locate",
    "running",
    "start",
    "stop",
]
