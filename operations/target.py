"""Which stack an operation works on, and with what environment."""

import shutil
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from contracts.program import PROJECT
from operations import engines
from operations.errors import CutOff, Interrupted, OperationError
from operations.history import NO_BACKUPS
from providers.vastai.pacing import RUN_DIR_VARIABLE, run_folder

_PROGRAM = Path(__file__).resolve().parent.parent
_PREFIX = "operation-"
# What a killed process left is removed after this many seconds: its engine may still be at work.
_STALE = 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Target:
    """A stack, and everything its operations may know of the world.

    `env` is the whole environment of the engine: for the local profile it was built from an
    allow-list. `state` is a folder of ours that outlives an operation (intents, turns, locks);
    `settings` are those of the first update. `secrets` never leave an operation in clear.
    """

    stack: str
    env: Mapping[str, str] = field(repr=False)
    state: Path
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    secrets: tuple[str, ...] = field(default=(), repr=False)
    # Secret settings that the first update gives the stack, in clear.
    secret_settings: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    # What the settings file says besides its settings, e.g. the salt of its secrets.
    document: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    program: Path = _PROGRAM
    python: Path = Path(sys.prefix)

    @property
    def run_dir(self) -> Path:
        """Where all processes that work on this stack keep turns and locks."""
        return run_folder(self.env)


@contextmanager
def workspace(target: Target) -> Generator[tuple[Path, dict[str, str]]]:
    """A work directory and PULUMI_HOME of one operation's own, gone afterwards.

    A checkout never becomes dirty, and two operations never share the engine's own files. The
    record of its engines stays when the operation is cut off: a lock of theirs may stand.
    """
    target.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(target.state)
    base = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=target.state))
    record = engines.record_file(target.state, target.stack, base.name)
    try:
        work, home, tmp, commands = (base / name for name in ("work", "home", "tmp", "bin"))
        for folder in (work, home, tmp, commands):
            folder.mkdir(mode=0o700)
        _write_project(work, target)
        _share_plugins(home, target.env)
        # Where the engine would keep a log of every step, a third of its work, that goes with this
        # folder unread. Where it cannot have the folder it does without.
        (home / "logs").touch()
        own = {
            "PATH": engines.install(commands, record, path=target.env.get("PATH", "")),
            "PULUMI_HOME": str(home),
            "TMPDIR": str(tmp),
            RUN_DIR_VARIABLE: str(target.run_dir),
            **NO_BACKUPS,
        }
        yield work, {**target.env, **own}
    except (CutOff, Interrupted):
        raise
    except OperationError:
        record.unlink(missing_ok=True)
        raise
    else:
        record.unlink(missing_ok=True)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _share_plugins(home: Path, env: Mapping[str, str]) -> None:
    """Use the plugins that this user has, and keep what is downloaded: an operation has no time."""
    user = env.get("PULUMI_HOME") or (env.get("HOME") and str(Path(env["HOME"]) / ".pulumi"))
    if user:
        # Without such a folder the engine downloads what it needs, again and again.
        with suppress(OSError):
            plugins = Path(user) / "plugins"
            plugins.mkdir(mode=0o700, parents=True, exist_ok=True)
            (home / "plugins").symlink_to(plugins)


def _sweep(folder: Path) -> None:
    oldest = time.time() - _STALE
    for left in folder.glob(f"{_PREFIX}*"):
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < oldest:
                shutil.rmtree(left, ignore_errors=True)


def _write_project(work: Path, target: Target) -> None:
    shutil.copyfile(target.program / "__main__.py", work / "__main__.py")
    project = {
        "name": PROJECT,
        "runtime": {"name": "python", "options": {"virtualenv": str(target.python)}},
    }
    with (work / "Pulumi.yaml").open("w") as file:
        YAML(typ="safe").dump(project, file)
