"""The cache folder: one build per versions and platform, put there whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from filelock import FileLock, Timeout

from tools.cluster.gobuild import STAGES, build_all
from tools.cluster.model import PROGRAMS, Binaries, binaries_at, home
from tools.engine.progress import Progress, silent

STAGING = ".staging-"


def locate(env: Mapping[str, str] | None = None) -> Binaries | None:
    """Return what was built before, or None; runs nothing."""
    found = binaries_at(home(env))
    whole = all(os.access(found[program.name], os.X_OK) for program in PROGRAMS) and all(
        (found.stages / Path(name).name).is_file() for name in STAGES
    )
    return found if whole else None


def build(on_progress: Progress = silent, env: Mapping[str, str] | None = None) -> Binaries:
    """Return the programs, building them if they are not there: about 10 minutes on two cores.

    Raises GoMissing or BuildFailed; the cache is then as it was.
    """
    target = home(env)
    found = locate(env)
    if found is not None:
        return found
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.with_name(f"{target.name}.lock"), on_progress):
        found = locate(env)
        if found is not None:
            return found
        staging_prefix = f"{STAGING}{target.name}-"
        for left in target.parent.glob(f"{staging_prefix}*"):  # of a killed build
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=staging_prefix, dir=target.parent) as staging:
            staged = Path(staging) / "whole"
            staged.mkdir()
            build_all(binaries_at(staged), os.environ if env is None else env, on_progress)
            shutil.rmtree(target, ignore_errors=True)  # only ever half of one, by other hands
            staged.rename(target)
    return binaries_at(target)


def _locked(path: Path, progress: Progress) -> AbstractContextManager[object]:
    lock = FileLock(path)
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        progress("waiting for another process that is building the cluster's programs")
        return lock.acquire()
