"""Where the engine comes from: the PATH, the cache, the official release, Go modules."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tools.engine import gobuild, release
from tools.engine.cache import EngineCache, cache_root
from tools.engine.errors import BadEngineError, EngineMissing
from tools.engine.model import PINNED, Engine, engine_at, is_acceptable
from tools.engine.progress import Progress, silent
from tools.engine.verify import Stamp, version_of


def locate(
    env: Mapping[str, str] | None = None,
    cache_dir: Path | None = None,
    *,
    on_progress: Progress = silent,
) -> Engine | None:
    """Return an engine that is there already, or None; no network, no build.

    `pulumi` on the PATH of `env` (default: this process's) comes first if it is the pinned version
    or newer within its major, then the cache. PULUMI_* of `env` has no say.
    """
    env = os.environ if env is None else env
    root = cache_dir or cache_root(env)
    return _on_path(env, root, on_progress) or EngineCache(root).find()


def ensure(
    env: Mapping[str, str] | None = None,
    cache_dir: Path | None = None,
    *,
    on_progress: Progress = silent,
    release_url: str = release.RELEASES,
) -> Engine:
    """Return an engine, installing it into the cache if there is none.

    The release is tried first and left for the Go build only when it cannot be reached. Raises
    EngineMissing, ChecksumError, BuildError or BadEngineError; the cache is then as it was.
    """
    env = os.environ if env is None else env
    found = locate(env, cache_dir, on_progress=on_progress)
    if found is not None:
        return found
    cache = EngineCache(cache_dir or cache_root(env))
    with cache.locked(on_progress):
        return cache.find() or _install(cache, env, on_progress, release_url)


def _install(
    cache: EngineCache, env: Mapping[str, str], progress: Progress, release_url: str
) -> Engine:
    try:
        with cache.staging() as staged:
            release.fetch(staged, progress, release_url)
            return cache.install(staged, "release")
    except release.ReleaseUnreachableError as error:
        progress(f"the official release cannot be reached ({error})")
        unreachable = error
    try:
        with cache.staging() as staged:
            gobuild.build(staged, env, progress)
            return cache.install(staged, "go")
    except EngineMissing as error:
        raise EngineMissing(f"{error.message}; and {unreachable}", error.hint) from error


def _on_path(env: Mapping[str, str], root: Path, progress: Progress) -> Engine | None:
    """Return the PATH's pulumi if it is new enough; its version is remembered between calls."""
    candidate = shutil.which("pulumi", path=env.get("PATH", ""))
    if candidate is None:
        return None
    pulumi = Path(candidate).absolute()
    remembered = root / "engine" / "path.json"
    stamp = Stamp.read(remembered, pulumi)
    if stamp is None or stamp.source != str(pulumi):
        try:
            stamp = Stamp.of(pulumi, version_of(pulumi), str(pulumi))
        except BadEngineError as error:
            progress(error.message)
            return None
        _remember(stamp, remembered)
    if not is_acceptable(stamp.version):
        progress(f"{pulumi} is version {stamp.version}, expected {PINNED} or newer: not used")
        return None
    return engine_at(pulumi, "path", stamp.version)


def _remember(stamp: Stamp, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stamp.write(path)
    except OSError:
        return  # a read-only cache only costs the next call a fifth of a second
