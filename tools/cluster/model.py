"""What a cluster is made of: pinned versions, the built programs, a running one."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.engine.cache import cache_root
from tools.engine.model import platform_name

# The same numbers as in kubernetes/go.mod and kwok/go.mod: pinned together.
KUBERNETES = "1.34.1"
ETCD = "3.6.4"
KWOK = "0.8.0"

_VERSIONS = (
    "k8s.io/component-base/version",
    "k8s.io/client-go/pkg/version",
)


@dataclass(frozen=True)
class Program:
    """One program: its name, the Go module here that pins it, what to build, and about how long."""

    name: str
    module: str
    package: str
    build_time: str
    set_variables: tuple[str, ...] = ()


def _kubernetes(name: str, build_time: str) -> Program:
    major, minor, _ = KUBERNETES.split(".")
    values = {"gitVersion": f"v{KUBERNETES}", "gitMajor": major, "gitMinor": minor}
    return Program(
        name,
        "kubernetes",
        f"k8s.io/kubernetes/cmd/{name}",
        build_time,
        tuple(f"{package}.{key}={value}" for package in _VERSIONS for key, value in values.items()),
    )


PROGRAMS = (
    Program("etcd", "kubernetes", "go.etcd.io/etcd/server/v3", "about 1 minute"),
    _kubernetes("kube-apiserver", "about 3 minutes"),
    _kubernetes("kube-controller-manager", "about 2 minutes"),
    _kubernetes("kube-scheduler", "half a minute"),
    _kubernetes("kubectl", "half a minute"),
    Program("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok", "about 2 minutes"),
)


@dataclass(frozen=True)
class Binaries:
    """A whole build; `folder` holds the programs, `stages` what kwok's own nodes and pods do."""

    folder: Path
    stages: Path

    def __getitem__(self, name: str) -> Path:
        """Where the program of that name is."""
        return self.folder / name


@dataclass(frozen=True)
class Cluster:
    """A running cluster; `kubeconfig` is an administrator's and the only way in."""

    data: Path
    kubeconfig: Path
    server: str
    binaries: Path

    @property
    def kubectl(self) -> Path:
        """The client of the same version."""
        return self.binaries / "kubectl"


def home(env: Mapping[str, str] | None = None) -> Path:
    """Where this machine's build is, or would be, in the cache that AGENT_DOCKER_CACHE names."""
    versions = f"{KUBERNETES}-etcd{ETCD}-kwok{KWOK}"
    root = cache_root(os.environ if env is None else env)
    return root / "cluster" / f"{versions}-{platform_name()}"


def binaries_at(folder: Path) -> Binaries:
    """Describe the build in `folder`, be it there or not."""
    return Binaries(folder / "bin", folder / "stages")
