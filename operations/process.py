"""Running a job in a child process that we own: events as they come, and a clean stop.

The stop is the engine's own: a first interrupt lets it finish what is being rented, a second one
makes it give up, and only then is anything killed. Plugins live in process groups of their own and
outlive their engine, so the whole session goes at the end.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

import psutil
from pydantic import ValidationError

from operations.errors import KINDS, CutOff, Failed, Interrupted, OperationError
from operations.jobs import EVENTS, ErrorEvent, Event, Job, MessageEvent, ResultEvent
from operations.redaction import Redactor, Tail

OnEvent = Callable[[Event], None]
# A create has 20 s of its own and looks for its label afterwards; the rest is the engine's.
LONGEST_CREATE = 45.0
_GRACE = 30.0
_SECOND_WAIT = 10.0
_KILL_WAIT = 5.0
_KILL_POLL = 0.02


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long a job may take, and how it is stopped; seconds."""

    timeout: float = 3600.0
    first_wait: float = LONGEST_CREATE + _GRACE
    second_wait: float = _SECOND_WAIT


class Switch:
    """Asks the operation that runs to end, from any thread; once pressed, none begins any more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stop: Callable[[], None] | None = None
        self._pressed = False

    @property
    def pressed(self) -> bool:
        """Whether it was pressed."""
        return self._pressed

    def press(self) -> None:
        """Interrupt what runs, as a person's Ctrl-C would; returns at once."""
        with self._lock:
            self._pressed, stop = True, self._stop
        if stop is not None:
            threading.Thread(target=stop, daemon=True).start()

    @contextlib.contextmanager
    def stops(self, stop: Callable[[], None]) -> Generator[None]:
        """While this lasts, `press` calls `stop`."""
        with self._lock:
            self._stop = stop
            pressed = self._pressed
        if pressed:
            self.press()
        try:
            yield
        finally:
            with self._lock:
                self._stop = None


def run(
    job: Job,
    *,
    env: Mapping[str, str],
    redactor: Redactor,
    on_event: OnEvent,
    limits: Limits | None = None,
    switch: Switch | None = None,
    module: str = "operations.child",
) -> dict[str, Any]:
    """Run `job` to its end and return its result; the job's own error is raised as it was.

    An interrupt of this process (Ctrl-C, or the `switch`) is passed on, and ends as `Interrupted`
    once the child has ended; an error of `on_event` stops the child in the same way. `module` is
    what the child runs.
    """
    chosen, asked = limits or Limits(), switch or Switch()
    if asked.pressed:
        raise Interrupted("stopped before it began; nothing was changed")
    child = _Child(job, module, env=env, redactor=redactor, on_event=on_event)
    watchdog = threading.Timer(chosen.timeout, child.stop, args=(chosen,))
    watchdog.daemon = True
    watchdog.start()
    try:
        with asked.stops(lambda: child.stop(chosen)):
            child.read()
    except KeyboardInterrupt:
        child.drain()
        child.stop(chosen)
        raise Interrupted("stopped; what had been done is recorded in the stack") from None
    except BaseException:
        # A listener's mistake must not kill an engine that is renting.
        child.drain()
        child.stop(chosen)
        raise
    finally:
        watchdog.cancel()
        child.close()
    return child.result()


class _Child:
    def __init__(
        self,
        job: Job,
        module: str,
        *,
        env: Mapping[str, str],
        redactor: Redactor,
        on_event: OnEvent,
    ) -> None:
        self._redactor = redactor
        self._on_event = on_event
        self._errors = Tail(redactor, lines=50)
        self._end: ResultEvent | ErrorEvent | None = None
        self._stopped = False
        self._process = subprocess.Popen(  # noqa: S603 - ours
            [sys.executable, "-u", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(env),
            cwd=job.work_dir,
            # A terminal's Ctrl-C must reach the engine once, from us.
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._drain_errors, daemon=True)
        self._listener.start()
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        with contextlib.suppress(BrokenPipeError), self._process.stdin as stdin:
            stdin.write(job.model_dump_json())

    def read(self) -> None:
        """Take events until the child has closed its output."""
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        for line in self._process.stdout:
            event = self._parse(line)
            if isinstance(event, ResultEvent | ErrorEvent):
                self._end = event
            elif event is not None:
                self._on_event(event)
        self._process.wait()

    def drain(self) -> None:
        """Let nobody read on: a child whose output is full could not end."""
        threading.Thread(target=self._discard, daemon=True).start()

    def _discard(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        with contextlib.suppress(ValueError, OSError):
            for _ in self._process.stdout:
                pass

    def _parse(self, line: str) -> Event | None:
        try:
            event = EVENTS.validate_json(line)
        except ValidationError:
            self._errors.add(line)
            return None
        if isinstance(event, MessageEvent):
            return event.model_copy(update={"text": self._redactor.clean(event.text)})
        return event

    def _drain_errors(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - asked for above
        with contextlib.suppress(ValueError):
            for line in self._process.stderr:
                self._errors.add(line)

    def stop(self, limits: Limits) -> None:
        """Interrupt, wait for the longest create, interrupt again, then end the session."""
        self._stopped = True
        for wait in (limits.first_wait, limits.second_wait):
            self._signal(signal.SIGINT)
            if self._ended(wait):
                return
        _end_session(self._process.pid)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _ended(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                self._process.wait(timeout=max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                return False
            except KeyboardInterrupt:
                return False  # Asked again: go on to the second interrupt at once.
            else:
                return True
        return self._process.poll() is not None

    def close(self) -> None:
        """Leave no process and no open pipe behind."""
        if self._process.poll() is None:
            _end_session(self._process.pid)
        self._process.wait()
        self._listener.join(timeout=5)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def result(self) -> dict[str, Any]:
        """What the job gave; raises what it raised."""
        if isinstance(self._end, ResultEvent):
            return self._end.data
        if self._stopped:
            raise Interrupted(
                "stopped before its end, or after its time was up; what had been done is recorded"
            )
        if isinstance(self._end, ErrorEvent):
            raise self._error(self._end)
        raise CutOff(
            f"the operation's process ended with {self._process.returncode} and no answer",
            hint=self._errors.text or None,
        )

    def _error(self, end: ErrorEvent) -> OperationError:
        hint = None if end.hint is None else self._redactor.clean(end.hint)
        return KINDS.get(end.kind, Failed)(self._redactor.clean(end.message), hint=hint)


def _end_session(leader: int) -> None:
    """Kill every process of the session, and see that it has ended: nothing rents any more."""
    left = _session(leader)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    deadline = time.monotonic() + _KILL_WAIT
    while any(map(_lives, left)) and time.monotonic() < deadline:
        time.sleep(_KILL_POLL)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _session(leader: int) -> list[psutil.Process]:
    """Every live process of the session that `leader` began; plugins keep it, not the group."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.Error):
            if os.getsid(process.pid) == leader:
                found.append(process)
    return found
