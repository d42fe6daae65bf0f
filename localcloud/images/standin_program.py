"""The Go program in standin/: built once per source, Go and processor into the user's cache."""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import platformdirs

from localcloud.images.machine import StandInImpossible, libraries

SOURCE = Path(__file__).with_name("standin")
GO_PLACES = "/usr/local/go/bin:/usr/lib/go/bin"
BUSYBOX = Path("/bin/busybox")


def cache_root(env: Mapping[str, str]) -> Path:
    """Return AGENT_DOCKER_CACHE, else the user's cache folder for agent-docker."""
    chosen = env.get("AGENT_DOCKER_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("agent-docker")


def find_go(env: Mapping[str, str]) -> str | None:
    """Return the `go` of the PATH, or the one where Go's own installer puts it."""
    return shutil.which("go", path=f"{env.get('PATH', '')}:{GO_PLACES}")


def program(arch: str, env: Mapping[str, str], on_progress: Callable[[str], None]) -> Path | None:
    """Return the program for Linux on `arch` (Go's name, as amd64); None without Go.

    Raises StandInImpossible when it does not compile.
    """
    go = find_go(env)
    if go is None:
        return None
    folder = cache_root(env) / "standin" / f"{arch}-{_fingerprint(go, env)}"
    # Its name says what it does: see main.go.
    binary = folder / "standin"
    if not binary.exists():
        folder.mkdir(parents=True, exist_ok=True)
        on_progress(
            "building the stand-in program: once, up to a minute while Go has compiled nothing yet"
        )
        with tempfile.TemporaryDirectory(prefix=".building-", dir=folder) as staging:
            staged = Path(staging) / "standin"
            _build(go, staged, arch, env)
            staged.replace(binary)
    return binary


def busybox() -> Path:
    """Return a busybox that needs no libraries, for where there is no Go."""
    if not BUSYBOX.exists():
        raise StandInImpossible(
            f"a stand-in needs Go to be built, or {BUSYBOX}; this machine has neither",
            hint="install golang (1.22 or newer) or busybox-static, or pull the real images",
        )
    if libraries([BUSYBOX]):
        raise StandInImpossible(
            f"there is no Go, and {BUSYBOX} needs libraries, so an image cannot be made of it",
            hint="install busybox-static in its place, or golang (1.22 or newer)",
        )
    return BUSYBOX


def _fingerprint(go: str, env: Mapping[str, str]) -> str:
    found = hashlib.sha256()
    for path in sorted(SOURCE.glob("*")):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    version = subprocess.run(  # noqa: S603 - Go itself
        [go, "env", "GOVERSION"],
        env=_environment(env),
        cwd=SOURCE,
        capture_output=True,
        check=False,
    )
    found.update(version.stdout)
    return found.hexdigest()[:16]


def _build(go: str, target: Path, arch: str, env: Mapping[str, str]) -> None:
    # The same bytes each time: neither the folder nor the commit goes in.
    flags = ["-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid="]
    done = subprocess.run(  # noqa: S603 - Go itself
        [go, "build", *flags, "-o", str(target), "."],
        cwd=SOURCE,
        env={**_environment(env), "CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": arch},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StandInImpossible(
            f"`{go} build` of {SOURCE} failed: {done.stderr.strip()[-2000:]}",
            hint="Go must be 1.22 or newer; nothing is downloaded for this",
        )


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    """The caller's caches count; a workspace, flags or a toolchain to download do not."""
    ours = {"GOFLAGS": "-mod=readonly", "GOWORK": "off", "GOPROXY": "off", "GOTOOLCHAIN": "local"}
    default = {"GOCACHE": str(cache_root(env) / "go-build")} if "HOME" not in env else {}
    return {**default, **env, **ours}
