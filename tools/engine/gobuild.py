"""The build from Go modules: for machines that reach a module proxy and nothing else."""

import os
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from tools.engine.errors import BuildError, EngineMissing
from tools.engine.model import PINNED
from tools.engine.progress import Progress

PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
MODULE_FILES = ("go.mod", "go.sum", "tools.go")
REPORT_EVERY = 100
LAST_LINES = 20
STOP_SECONDS = 10.0


def build(folder: Path, env: Mapping[str, str], progress: Progress) -> None:
    """Build `folder/bin/pulumi` with exactly the committed module versions.

    Raises EngineMissing without a `go` on the PATH, BuildError when it fails. An interruption
    ends the compilers too and is passed on.
    """
    go = shutil.which("go", path=env.get("PATH", ""))
    if go is None:
        raise EngineMissing(
            "there is no `go` on the PATH to build the engine with",
            f"install pulumi {PINNED} or newer, or Go, and try again",
        )
    source = folder / "src"
    source.mkdir()
    for name in MODULE_FILES:
        shutil.copy(Path(__file__).with_name(name), source)
    progress(f"building pulumi {PINNED} from Go modules: needs about 3 minutes on two cores")
    flags = f"-s -w -X {VERSION_VARIABLE}=v{PINNED}"
    binary = folder / "bin" / "pulumi"
    command = [go, "build", "-v", "-trimpath", "-ldflags", flags, "-o", str(binary), PACKAGE]
    _run(command, source, _build_environment(env), progress)
    shutil.rmtree(source)


def _build_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The caller's Go settings count (proxy, caches), Pulumi's do not, nor a workspace file."""
    kept = {key: value for key, value in env.items() if not key.startswith("PULUMI_")}
    return {**kept, "GOFLAGS": "-mod=readonly", "GOWORK": "off"}


def _run(command: list[str], cwd: Path, env: Mapping[str, str], progress: Progress) -> None:
    # Its own session: the compilers can be ended as one group, and Ctrl-C is ours to handle.
    with subprocess.Popen(  # noqa: S603 - `go` and our constants
        command,
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as go:
        try:
            last = _follow(go, progress)
            code = go.wait()
        except BaseException:
            _stop(go)
            raise
    if code != 0:
        raise BuildError(
            f"`go build` ended with exit code {code}:\n" + "\n".join(last),
            "the module proxy must be reachable and Go as new as tools/engine/go.mod asks",
        )


def _follow(go: subprocess.Popen[str], progress: Progress) -> deque[str]:
    """Report downloads, and packages by the hundred; return the last lines for an error."""
    last: deque[str] = deque(maxlen=LAST_LINES)
    packages = 0
    for line in map(str.rstrip, go.stderr or ()):
        last.append(line)
        if line.startswith("go: "):
            progress(line.removeprefix("go: "))
            continue
        packages += 1
        if packages % REPORT_EVERY == 0:
            progress(f"compiled {packages} packages")
    return last


def _stop(go: subprocess.Popen[str]) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(go.pid, number)
            go.wait(STOP_SECONDS)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
