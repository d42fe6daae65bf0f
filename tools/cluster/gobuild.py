"""The build from Go modules: each program with exactly the committed module versions."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tools.cluster.errors import BuildFailed, GoMissing
from tools.cluster.model import KWOK, PROGRAMS, Binaries, Program
from tools.engine.progress import Progress

MODULES = Path(__file__).parent
# What kwok's nodes and pods do: files of its module, named by the Stage documents in them.
STAGES = (
    "node/fast/node-initialize.yaml",
    "node/heartbeat/node-heartbeat.yaml",
    "pod/fast/pod-ready.yaml",
    "pod/fast/pod-complete.yaml",
    "pod/fast/pod-delete.yaml",
)
LAST_LINES = 20
STOP_SECONDS = 10.0


def build_all(into: Binaries, env: Mapping[str, str], progress: Progress) -> None:
    """Build every program and copy kwok's stages; needs the module proxy, about 10 minutes.

    Raises GoMissing without a `go` on the PATH, BuildFailed when it fails. An interruption ends
    the compilers too and is passed on.
    """
    found = shutil.which("go", path=env.get("PATH", ""))
    if found is None:
        raise GoMissing(
            "there is no `go` on the PATH to build a Kubernetes control plane with",
            "install Go 1.26 or newer, and try again",
        )
    go = _Go(found, env, into.folder.parent / "build.log")
    for program in PROGRAMS:
        progress(f"building {program.name} ({program.build_time})")
        go.build(program, into[program.name])
    into.stages.mkdir()
    stages = go.folder_of("kwok", f"sigs.k8s.io/kwok@v{KWOK}") / "kustomize" / "stage"
    for name in STAGES:
        # A module's files are read-only, a copy of ours need not be.
        shutil.copyfile(stages / name, into.stages / Path(name).name)


def link_flags(program: Program) -> str:
    """Return the value of -ldflags: small, and with the release's version."""
    return " ".join(["-s -w", *(f"-X {variable}" for variable in program.set_variables)])


class _Go:
    def __init__(self, go: str, env: Mapping[str, str], log: Path) -> None:
        self._go = go
        # The caller's proxy and caches count; flags, a workspace file and a C compiler do not.
        self._env = {**env, "GOFLAGS": "-mod=readonly", "GOWORK": "off", "CGO_ENABLED": "0"}
        self._log = log

    def build(self, program: Program, target: Path) -> None:
        flags = ["-trimpath", "-ldflags", link_flags(program), "-o", str(target)]
        self._run(program.module, "build", *flags, program.package)

    def folder_of(self, module: str, dependency: str) -> Path:
        """Where the module cache has the source of `dependency`, a path@version."""
        name, _, _ = dependency.partition("@")
        self._run(module, "list", "-m", "-f", "{{.Dir}}", name)
        return Path(self._log.read_text().splitlines()[-1])

    def _run(self, module: str, command: str, *arguments: str) -> None:
        with (
            self._log.open("w") as log,
            subprocess.Popen(  # noqa: S603 - `go` and our constants
                [self._go, command, *arguments],
                cwd=MODULES / module,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Its own session: the compilers can be ended as one group.
                start_new_session=True,
            ) as process,
        ):
            try:
                code = process.wait()
            except BaseException:
                _end(process)
                raise
        if code != 0:
            last = "\n".join(self._log.read_text(errors="replace").splitlines()[-LAST_LINES:])
            raise BuildFailed(
                f"`go {command} {arguments[-1]}` ended with exit code {code}:\n{last}",
                f"the module proxy must be reachable and Go as new as {module}/go.mod asks",
            )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt, so that `go` removes its work folder; kill what does not heed that."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
