"""The process that runs the engine: one job, then it ends. `python -m operations.child`.

Always a process of its own and never inline: a long-lived one would die of what dynamic
resources leak (docs/adr/0006), and a process can be stopped cleanly.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pulumi import automation as auto
from pulumi.automation import EngineEvent
from pulumi.automation.errors import CommandError, StackNotFoundError
from ruamel.yaml import YAML

from contracts.program import PROJECT
from operations.engine_events import translate
from operations.errors import Failed, OperationError, Refused
from operations.failures import failure
from operations.guard import is_idle, surprises, unguarded
from operations.jobs import (
    ErrorEvent,
    Event,
    Job,
    MessageEvent,
    PhaseEvent,
    ResourceEvent,
    ResultEvent,
)
from operations.questions import QuietStack, quiet_stack

T = TypeVar("T")

_yaml = YAML(typ="safe")
_yaml.default_flow_style = False


def main() -> int:
    """Run the job on standard input; 0 when it succeeded."""
    # The first signal is the engine's to answer: it waits for what is being rented. A handler,
    # not SIG_IGN, which the engine would inherit.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave_to_engine)
    job = Job.model_validate_json(sys.stdin.read())
    try:
        data = _KINDS[job.kind](job)
    except OperationError as error:
        kind = type(error).__name__
        emit(ErrorEvent(kind=kind, message=error.message, hint=error.hint))
        return 1
    emit(ResultEvent(data=data))
    return 0


def _leave_to_engine(_number: int, _frame: object) -> None:
    """Do nothing here."""


def emit(event: Event) -> None:
    """Write one event."""
    sys.stdout.write(event.model_dump_json() + "\n")
    sys.stdout.flush()


def _deploy(job: Job) -> dict[str, Any]:
    stack = _stack(job)
    # For its salt: with a new one, a wrong passphrase would be taken for the stack's own.
    last = _last_settings(job, stack, create=True)
    settings = job.settings | job.changes
    if job.secrets:
        settings = {"secrets": last.get("secrets") or last.get(_full("secrets")), **settings}
    _write_settings(job, settings)
    _write_secrets(job, settings.get("secrets") or {})
    return _update(job, stack)


def _apply(job: Job) -> dict[str, Any]:
    stack = _stack(job)
    # Settings of the update that the caller has read, or the program refuses the base.
    settings = _last_settings(job, stack, create=True) | job.changes | {"base": job.base}
    _write_settings(job, settings)
    return _update(job, stack)


def _update(job: Job, stack: auto.Stack) -> dict[str, Any]:
    if job.guarded and (why := unguarded(_planned(job, stack).steps, job.guarded)):
        raise Refused("; ".join(why) + "; nothing was changed")
    if job.expendable is not None:
        planned = _planned(job, stack)
        if found := surprises(planned.steps, job.expendable):
            raise Refused(
                f"the update would also {', '.join(found)}; nothing was changed",
                hint="deploy the difference yourself with `pulumi up`, then try again",
            )
        if job.skip_idle and is_idle(planned.steps):
            return {"changed": False, **_snapshot_data(stack)}
    emit(PhaseEvent(name="update"))
    steps = _Collector()
    _run(
        lambda: stack.up(
            on_event=steps,
            parallel=job.parallel,
            message=job.message,
            show_secrets=False,
            suppress_outputs=True,
            suppress_progress=True,
            continue_on_error=job.persevere,
            refresh=job.refresh or None,
        ),
        steps,
    )
    changes = sorted({step.name for step in steps.steps if not is_idle([step])})
    return {"changed": True, "changes": changes, **_snapshot_data(stack)}


def _planned(job: Job, stack: auto.Stack) -> "_Collector":
    """What an update would do."""
    emit(PhaseEvent(name="preview"))
    planned = _Collector(quiet=True)
    _run(
        lambda: stack.preview(on_event=planned, parallel=job.parallel, suppress_outputs=True),
        planned,
    )
    return planned


def _destroy(job: Job) -> dict[str, Any]:
    stack = _stack(job)
    # Recorded with the destroy: the next update starts from what the last one had.
    _write_settings(job, _last_settings(job, stack))
    emit(PhaseEvent(name="destroy"))
    steps = _Collector()
    _run(
        lambda: stack.destroy(
            on_event=steps,
            parallel=job.parallel,
            message=job.message,
            suppress_outputs=True,
        ),
        steps,
    )
    data = _snapshot_data(stack)
    if job.remove:
        stack.workspace.remove_stack(job.stack)
    return data


def _refresh(job: Job) -> dict[str, Any]:
    stack = _stack(job)
    _write_settings(job, _last_settings(job, stack))
    emit(PhaseEvent(name="refresh"))
    steps = _Collector()
    _run(
        lambda: stack.refresh(
            on_event=steps,
            parallel=job.parallel,
            message=job.message,
            show_secrets=False,
            suppress_outputs=True,
            clear_pending_creates=job.clear_pending,
        ),
        steps,
    )
    return _snapshot_data(stack)


def _snapshot(job: Job) -> dict[str, Any]:
    stack = _stack(job)
    settings = _last_settings(job, stack)
    if job.verify:
        # Needs the key; the settings file it goes into is this operation's own.
        _run(lambda: stack.set_config(_full("check"), auto.ConfigValue("x", secret=True)))
    return {**_snapshot_data(stack), "settings": settings}


def _history(job: Job) -> dict[str, Any]:
    """Updates of the stack, the newest first, with the settings that each had."""
    stack = _stack(job)
    found = _run(lambda: stack.history(show_secrets=False))
    return {
        "updates": [
            {
                # A backend of files gives no numbers.
                "back": back,
                "at": one.start_time.isoformat(),
                "kind": one.kind,
                "succeeded": one.result == "succeeded",
                "settings": {name: _plain(value) for name, value in one.config.items()},
            }
            for back, one in enumerate(found)
        ]
    }


def _plain(value: auto.ConfigValue) -> Any:  # noqa: ANN401 - any setting
    if value.secret:
        return None
    try:
        return json.loads(value.value)
    except ValueError:
        return value.value


def _stacks(job: Job) -> dict[str, Any]:
    """Names of all stacks of this project in the backend."""
    workspace = auto.LocalWorkspace(work_dir=job.work_dir)
    return {"names": [one.name for one in _run(workspace.list_stacks)]}


def _cancel(job: Job) -> dict[str, Any]:
    stack = _stack(job)
    _run(stack.cancel)
    return {}


def _remove(job: Job) -> dict[str, Any]:
    stack = _stack(job)
    _run(lambda: stack.workspace.remove_stack(job.stack))
    return {}


_KINDS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "deploy": _deploy,
    "apply": _apply,
    "destroy": _destroy,
    "refresh": _refresh,
    "snapshot": _snapshot,
    "history": _history,
    "stacks": _stacks,
    "cancel": _cancel,
    "remove": _remove,
}


class _Collector:
    """Passes the engine's events on, and keeps the steps and what was said to be wrong."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.steps: list[ResourceEvent] = []
        self.errors: list[MessageEvent] = []
        self._quiet = quiet

    def __call__(self, event: EngineEvent) -> None:
        seen = translate(event)
        if seen is None:
            return
        if isinstance(seen, ResourceEvent):
            self.steps.append(seen)
        if isinstance(seen, MessageEvent) and seen.severity == "error":
            self.errors.append(seen)
        if not self._quiet or not isinstance(seen, ResourceEvent):
            emit(seen)


def _stack(job: Job) -> QuietStack:
    return _run(lambda: quiet_stack(job.stack, job.work_dir))


def _run(call: Callable[[], T], seen: _Collector | None = None) -> T:
    try:
        return call()
    except CommandError as error:
        raise failure(error, seen.errors if seen else ()) from None


def _last_settings(job: Job, stack: auto.Stack, *, create: bool = False) -> dict[str, Any]:
    """The settings of the stack's last update; the job's own before the first.

    Leaves them, with the salt of the stack's secrets, in the settings file. With `create` the
    stack is made when there is none.
    """
    try:
        stack.workspace.refresh_config(job.stack)
    except StackNotFoundError as error:
        if not create:
            raise failure(error, ()) from None
        _run(lambda: stack.workspace.create_stack(job.stack))
        return dict(job.settings)
    except CommandError as error:
        # Any other failure must not pass for "no update yet": it would roll a person's deploy back.
        if "no previous deployment" not in str(error):
            raise failure(error, ()) from None
        return dict(job.settings)
    return dict(_read_settings(job).get("config") or {}) or dict(job.settings)


def _write_settings(job: Job, settings: dict[str, Any]) -> None:
    document = _read_settings(job)
    kept = {key: value for key, value in settings.items() if value is not None}
    document |= job.document
    document["config"] = {_full(key): value for key, value in kept.items()}
    with _settings_file(job).open("w") as file:
        _yaml.dump(document, file)


def _write_secrets(job: Job, known: Mapping[str, Any]) -> None:
    """Encrypt those of the job's secrets that the settings do not have yet."""
    for name, value in job.secrets.items():
        if name in known:
            continue
        # On standard input: command lines are everybody's to read.
        done = subprocess.run(  # noqa: S603 - ours
            [
                *("pulumi", "config", "set", "--stack", job.stack, "--secret", "--path"),
                *("--non-interactive", f"{_full('secrets')}.{name}"),
            ],
            input=value,
            cwd=job.work_dir,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Failed(f"the secret {name} could not be kept: {done.stderr.strip()}")


def _read_settings(job: Job) -> dict[str, Any]:
    path = _settings_file(job)
    found: dict[str, Any] | None = _yaml.load(path) if path.exists() else None
    return found or {}


def _settings_file(job: Job) -> Path:
    return Path(job.work_dir) / f"Pulumi.{job.stack}.yaml"


def _full(key: str) -> str:
    return key if ":" in key else f"{PROJECT}:{key}"


def _snapshot_data(stack: auto.Stack) -> dict[str, Any]:
    exported = _run(stack.export_stack)
    return {"deployment": exported.deployment}


if __name__ == "__main__":
    sys.exit(main())
