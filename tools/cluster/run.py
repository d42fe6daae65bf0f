"""Starting, finding and stopping a cluster in a data folder."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from filelock import FileLock

from tools.cluster import commands, credentials, processes
from tools.cluster.cache import build
from tools.cluster.errors import NotStarted
from tools.cluster.layout import Layout
from tools.cluster.model import Binaries, Cluster, binaries_at, home
from tools.cluster.ports import held_port
from tools.cluster.server import connected
from tools.engine.progress import Progress, silent

NODES = 3
START_SECONDS = 120.0
POLL_SECONDS = 0.05
LAST_LINES = 15
STORES = ("etcd", "kube-apiserver")
WORKERS = ("kube-controller-manager", "kube-scheduler", "kwok")
PARTS = (*STORES, *WORKERS)


def start(
    data: Path, nodes: int = NODES, on_progress: Progress = silent, *, tied: bool = False
) -> Cluster:
    """Return the cluster of the folder `data`, started if it does not run, with `nodes` ready.

    A folder that was not stopped (a reboot, kill -9) continues with what it held. `tied` lets the
    processes end with the calling thread. Builds the programs first if need be. Raises
    ClusterError; then nothing runs and the logs are left.
    """
    layout = Layout.of(data)
    layout.check()
    binaries = build(on_progress)
    layout.data.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(layout.lock):
        found = running(data)
        if found is not None:
            _add_nodes(layout, found, nodes)
            return found
        processes.end(layout)  # what is left of it when a part has died alone
        try:
            found = _started(layout, binaries, on_progress, tied=tied)
            _add_nodes(layout, found, nodes)
        except BaseException:
            processes.end(layout)
            raise
    return found


def running(data: Path) -> Cluster | None:
    """Return the cluster of that folder if all of its components live, else None."""
    layout = Layout.of(data)
    if not layout.kubeconfig.exists() or not layout.port.exists():
        return None
    if set(processes.found(layout)) != set(PARTS):
        return None
    return _cluster(layout, binaries_at(home()), int(layout.port.read_text()))


def stop(data: Path) -> None:
    """End the folder's cluster and remove the folder; does nothing where there is none.

    Raises NotOurs, touching nothing, for a folder that no cluster was started in.
    """
    layout = Layout.of(data)
    layout.check()
    if not layout.data.parent.exists():
        return
    with FileLock(layout.lock):
        processes.end(layout)
        layout.remove()
        layout.lock.unlink(missing_ok=True)


@contextlib.contextmanager
def cluster(nodes: int = NODES, on_progress: Progress = silent) -> Generator[Cluster]:
    """Run a cluster of one's own in a new folder; it ends with the calling thread at the latest."""
    with tempfile.TemporaryDirectory(prefix="agent-docker-cluster-") as folder:
        data = Path(folder) / "data"
        try:
            yield start(data, nodes, on_progress, tied=True)
        finally:
            stop(data)


def _started(layout: Layout, binaries: Binaries, progress: Progress, *, tied: bool) -> Cluster:
    layout.create()
    credentials.make_tokens(layout.tokens)
    credentials.make_signing_key(layout.signing_key)
    progress("starting etcd and the API server")
    kept = int(layout.port.read_text()) if layout.port.exists() else 0
    with held_port(kept) as port:
        layout.port.write_text(str(port))
        for part, command in commands.stores(layout, binaries, port).items():
            processes.launch(layout, part, command, tied=tied)
        _wait(layout, STORES, "certificate", layout.certificate_key.exists)
        found = _cluster(layout, binaries, port)
        with connected(layout, found.server) as server:
            _wait(layout, STORES, "API server", server.is_ready)
    _write_kubeconfigs(layout, found.server)
    progress("starting controllers, scheduler and nodes")
    for part, command in commands.workers(layout, binaries).items():
        processes.launch(layout, part, command, tied=tied)
    return found


def _add_nodes(layout: Layout, found: Cluster, nodes: int) -> None:
    with connected(layout, found.server) as server:
        _wait(layout, PARTS, "nodes", lambda: server.has_nodes(nodes) and server.is_usable(nodes))


def _write_kubeconfigs(layout: Layout, server: str) -> None:
    certificate = layout.certificate.read_bytes()
    for user, token in credentials.make_tokens(layout.tokens).items():
        path = layout.kubeconfig if user == credentials.ADMIN else layout.component_kubeconfig(user)
        credentials.write_kubeconfig(path, credentials.kubeconfig(server, certificate, user, token))


def _wait(layout: Layout, parts: Sequence[str], what: str, is_so: Callable[[], bool]) -> None:
    """Poll until `is_so`; raises NotStarted when one of `parts` ends before, or it takes long."""
    deadline = time.monotonic() + START_SECONDS
    while not is_so():
        dead = [part for part in parts if part not in processes.found(layout)]
        if dead:
            raise _not_started(layout, dead[0], "has ended")
        if time.monotonic() > deadline:
            raise _not_started(layout, parts[-1], f"{what} not ready after {START_SECONDS:g} s")
        time.sleep(POLL_SECONDS)


def _not_started(layout: Layout, part: str, why: str) -> NotStarted:
    log = layout.log(part)
    last = log.read_text(errors="replace").splitlines()[-LAST_LINES:]
    return NotStarted(
        f"{part}: {why}; it said last:\n" + "\n".join(last or ["nothing"]),
        f"the whole log is {log}; `python -m tools.cluster stop --data {layout.data}` clears up",
    )


def _cluster(layout: Layout, binaries: Binaries, port: int) -> Cluster:
    return Cluster(
        data=layout.data,
        kubeconfig=layout.kubeconfig,
        server=f"https://{commands.HOST}:{port}",
        binaries=binaries.folder,
    )
