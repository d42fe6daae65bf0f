"""The cache folder: one engine per version and platform, put there whole or not at all."""

import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from tools.engine.errors import BadEngineError
from tools.engine.model import PINNED, Engine, Source, engine_at, platform_name
from tools.engine.progress import Progress
from tools.engine.verify import Stamp, version_of

STAMP = "engine.json"
STAGING = ".staging-"


def cache_root(env: Mapping[str, str]) -> Path:
    """Return AGENT_DOCKER_CACHE, else the user's cache folder for agent-docker."""
    chosen = env.get("AGENT_DOCKER_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("agent-docker")


class EngineCache:
    """The engines under `<root>/engine`; this machine's is `<version>-<os>-<arch>/bin/pulumi`."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "engine"
        self.home = self.folder / f"{PINNED}-{platform_name()}"
        self.pulumi = self.home / "bin" / "pulumi"

    def find(self) -> Engine | None:
        """Return the engine if the file is still the one that was verified; runs nothing."""
        stamp = Stamp.read(self.home / STAMP, self.pulumi)
        if stamp is None or stamp.version != PINNED or stamp.source not in ("release", "go"):
            return None
        return engine_at(self.pulumi, "go" if stamp.source == "go" else "release", stamp.version)

    @contextmanager
    def locked(self, progress: Progress) -> Generator[None]:
        """Hold the right to install; waits for another installer, saying so."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / f"{self.home.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress("waiting for another process that is installing the engine")
            lock.acquire()
        try:
            self._sweep()
            yield
        finally:
            lock.release()

    @contextmanager
    def staging(self) -> Generator[Path]:
        """Give a folder on the cache's file system, gone afterwards unless it was installed."""
        folder = Path(tempfile.mkdtemp(prefix=STAGING, dir=self.folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def install(self, staged: Path, source: Source) -> Engine:
        """Verify `staged/bin/pulumi`, then move `staged` into place in one rename.

        Raises BadEngineError when the binary is not the pinned version. Needs the lock.
        """
        version = version_of(staged / "bin" / "pulumi")
        if version != PINNED:
            raise BadEngineError(
                f"the engine from source `{source}` says version {version!r}, expected {PINNED!r}",
                "report it: the source serves something else than it was asked for",
            )
        Stamp.of(staged / "bin" / "pulumi", version, source).write(staged / STAMP)
        staged.chmod(0o755)  # mkdtemp's 0700 would hide a shared cache from other users
        if self.home.exists():
            self.home.rename(Path(tempfile.mkdtemp(prefix=STAGING, dir=self.folder)) / "old")
        staged.rename(self.home)
        self._sweep()
        return engine_at(self.pulumi, source, version)

    def _sweep(self) -> None:
        """Remove what a killed installer left; the lock says that none is at work."""
        for left in self.folder.glob(f"{STAGING}*"):
            shutil.rmtree(left, ignore_errors=True)
