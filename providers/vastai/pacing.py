"""Keeping the pace that Vast.ai asks for, across all processes that use one account.

Vast.ai refuses calls that follow each other faster than a threshold per endpoint, and a refused
create is punished on top. Every process of an update (the shards) and every update on this
machine shares one file of last calls a account.
"""

import hashlib
import json
import os
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from filelock import FileLock

from contracts.errors import SettingsError

# Seconds between two calls, per endpoint: the thresholds of Vast.ai's API reference (Aug 2026).
VAST_INTERVALS: Mapping[str, float] = {
    "search": 2.0,
    "create": 4.5,
    "list": 1.0,
    "show": 2.0,
    "manage": 1.0,
    "destroy": 3.0,
    "bid": 5.5,
    "update_template": 2.0,
    "logs": 1.0,
    "user": 1.0,
}
RUN_DIR_VARIABLE = "AGENT_DOCKER_RUN_DIR"
_FOLDER_HINT = f"name another one in {RUN_DIR_VARIABLE}"
# Vast.ai measures on arrival, we on departure; without a margin jitter gets calls refused.
_MARGIN = 1.04


class Pace(Protocol):
    """Whose turn it is."""

    def turn(self, endpoint: str) -> float:
        """Wait until `endpoint` may be called; the seconds waited."""
        ...

    def hold(self, endpoint: str, seconds: float) -> None:
        """Let nobody call `endpoint` for `seconds`: it was refused."""
        ...


class NoPace:
    """Every turn comes at once: for a loopback address without limits."""

    def turn(self, endpoint: str) -> float:  # noqa: ARG002 - the protocol's shape
        """Never waits."""
        return 0.0

    def hold(self, endpoint: str, seconds: float) -> None:
        """Nothing to hold."""


class SharedPace:
    """Turns shared through a file below `folder`; the account's key names it only by digest.

    While the file cannot be written each process keeps its own: too hasty calls are refused, none
    at all would be worse.
    """

    def __init__(
        self,
        account: str,
        *,
        folder: Path | None = None,
        intervals: Mapping[str, float] = VAST_INTERVALS,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        digest = hashlib.sha256(account.encode()).hexdigest()[:16]
        self._file = (folder or shared_folder()) / f"pace-{digest}.json"
        self._lock = process_lock(f"{self._file}.lock")
        # What could not be written to the file, e.g. on a full disk, is kept here meanwhile.
        self._unwritten: dict[str, float] = {}
        self._own = threading.Lock()
        self._intervals = intervals
        self._clock = clock
        self._sleep = sleep

    def turn(self, endpoint: str) -> float:
        """Wait until `endpoint` may be called and take the turn; the seconds waited."""
        waited = 0.0
        while (wait := self._take(endpoint)) > 0:
            self._sleep(wait)
            waited += wait
        return waited

    def hold(self, endpoint: str, seconds: float) -> None:
        """Let nobody call `endpoint` for `seconds`."""
        with self._alone():
            free = self._read()
            until = self._clock() + seconds
            self._write(free | {endpoint: max(until, free.get(endpoint, 0.0))})

    def _take(self, endpoint: str) -> float:
        """0 when the turn is taken, else the seconds until it may come."""
        with self._alone():
            free, now = self._read(), self._clock()
            interval = self._intervals.get(endpoint, 1.0) * _MARGIN
            wait = free.get(endpoint, 0.0) - now
            # A time far ahead was written by a clock that was set back since: it binds nobody.
            if 0 < wait <= max(interval, 120.0):
                return wait
            self._write(free | {endpoint: now + interval})
            return 0.0

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Among all processes, or where there can be no lock file among this one's threads."""
        with self._own, ExitStack() as stack:
            with suppress(OSError):
                stack.enter_context(self._lock)
            yield

    def _read(self) -> dict[str, float]:
        try:
            known = {str(k): float(v) for k, v in json.loads(self._file.read_text()).items()}
        except (OSError, ValueError, AttributeError, TypeError):
            known = {}
        ours = self._unwritten
        return known | {name: max(at, known.get(name, 0.0)) for name, at in ours.items()}

    def _write(self, free: Mapping[str, float]) -> None:
        try:
            replace_text(self._file, json.dumps(free))
        except OSError:
            self._unwritten = dict(free)
        else:
            self._unwritten = {}


def replace_text(path: Path, text: str) -> None:
    """Write all of `text` or nothing: whoever is killed meanwhile leaves the old file.

    For files that one process writes at a time.
    """
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(text)
    fresh.replace(path)


def process_lock(path: Path | str) -> FileLock:
    """A lock that its holder's death frees, whatever the death.

    Without the soft fallback: a lock that is only a file would outlive its process. Waiters look
    often, because sixteen creates of one update take turns here.
    """
    return FileLock(path, poll_interval=0.005, fallback_to_soft=False)


def run_folder(env: Mapping[str, str]) -> Path:
    """Where processes with this environment keep turns and locks.

    One place for all of this user's, `pulumi` and `agent-docker` alike, so that each sees the
    other's renting; `AGENT_DOCKER_RUN_DIR` names another one, e.g. a service's volume.
    """
    named = env.get(RUN_DIR_VARIABLE)
    base = env.get("XDG_RUNTIME_DIR") or env.get("TMPDIR") or tempfile.gettempdir()
    return Path(named) if named else Path(base) / f"agent-docker-{os.getuid()}"


def shared_folder(env: Mapping[str, str] = os.environ) -> Path:
    """The run folder, made when absent; SettingsError unless it is this user's alone."""
    folder = run_folder(env)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Of a link itself: in a folder that all may write to, somebody else could lay one.
        found = folder.lstat()
    except OSError as error:
        raise SettingsError(
            f"{folder} cannot be used as a private folder: {error.strerror}", hint=_FOLDER_HINT
        ) from None
    private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
    if found.st_uid != os.getuid() or not private:
        raise SettingsError(
            f"{folder} must be a folder of this user alone (mode 0700)", hint=_FOLDER_HINT
        )
    return folder
