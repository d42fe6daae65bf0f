"""The process that runs the engine: one job, then it ends. `python -m operations.child`.

Always a process of its own and never inline: a long-lived one would die of what dynamic
resources leak (docs/adr/0006), and a process can be stopped cleanly.
"""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pulumi import automation as auto
from pulumi.automation import EngineEvent
from pulumi.automation.errors import CommandError, ConcurrentUpdateError, StackNotFoundError
from ruamel.yaml import YAML

from contracts.program import PROJECT
from operations.engine_events import translate
from operations.errors import Busy, Failed, OperationError, Refused, StackNotFound, WrongPassphrase
from operations.guard import surprises
from operations.jobs import ErrorEvent, Event, Job, PhaseEvent, ResourceEvent, ResultEvent
from operations.locks import LOCKED_HINT, describe

T = TypeVar("T")

_yaml = YAML(typ="safe")
_yaml.default_flow_style = False


def main() -> int:
    """Run the job on standard input; 0 when it succeeded."""
    # The first signal is the engine's to answer: it waits for what is being rented. A handler,
    # not SIG_IGN, which the engine would inherit.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    job = Job.model_validate_json(sys.stdin.read())
    try:
        data = _KINDS[job.kind](job)
    except OperationError as error:
        kind = type(error).__name__
        emit(ErrorEvent(kind=kind, message=error.message, hint=error.hint))
        return 1
    emit(ResultEvent(data=data))
    return 0


def emit(event: Event) -> None:
    """Write one event."""
    sys.stdout.write(event.model_dump_json() + "\n")
    sys.stdout.flush()


def _deploy(job: Job) -> dict[str, Any]:
    stack = _stack(job, create=True)
    _write_settings(job, job.settings | job.changes)
    return _update(job, stack)


def _apply(job: Job) -> dict[str, Any]:
    stack = _stack(job, create=True)
    _write_settings(job, _last_settings(job, stack) | job.changes)
    return _update(job, stack)


def _update(job: Job, stack: auto.Stack) -> dict[str, Any]:
    if job.expendable is not None:
        emit(PhaseEvent(name="preview"))
        planned = _Collector(quiet=True)
        _run(lambda: stack.preview(on_event=planned, parallel=job.parallel, suppress_outputs=True))
        if found := surprises(planned.steps, job.expendable):
            raise Refused(
                f"the update would also {', '.join(found)}; nothing was changed",
                hint="deploy the difference yourself with `pulumi up`, then try again",
            )
        if planned.idle and job.skip_idle:
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
        )
    )
    return {"changed": True, **_snapshot_data(stack)}


def _destroy(job: Job) -> dict[str, Any]:
    stack = _stack(job)
    emit(PhaseEvent(name="destroy"))
    _run(lambda: stack.destroy(on_event=_Collector(), message=job.message, suppress_outputs=True))
    data = _snapshot_data(stack)
    if job.remove:
        stack.workspace.remove_stack(job.stack)
    return data


def _refresh(job: Job) -> dict[str, Any]:
    stack = _stack(job)
    _write_settings(job, _last_settings(job, stack))
    emit(PhaseEvent(name="refresh"))
    _run(
        lambda: stack.refresh(
            on_event=_Collector(),
            message=job.message,
            show_secrets=False,
            suppress_outputs=True,
            clear_pending_creates=job.clear_pending,
        )
    )
    return _snapshot_data(stack)


def _snapshot(job: Job) -> dict[str, Any]:
    stack = _stack(job)
    return {**_snapshot_data(stack), "settings": _last_settings(job, stack)}


def _cancel(job: Job) -> dict[str, Any]:
    stack = _stack(job)
    _run(stack.cancel)
    return {}


_KINDS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "deploy": _deploy,
    "apply": _apply,
    "destroy": _destroy,
    "refresh": _refresh,
    "snapshot": _snapshot,
    "cancel": _cancel,
}


class _Collector:
    """Passes the engine's events on, and keeps the steps."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.steps: list[ResourceEvent] = []
        self._quiet = quiet

    @property
    def idle(self) -> bool:
        """Whether every step leaves its resource as it is."""
        return all(step.op in {"same", "read"} for step in self.steps)

    def __call__(self, event: EngineEvent) -> None:
        seen = translate(event)
        if seen is None:
            return
        if isinstance(seen, ResourceEvent):
            self.steps.append(seen)
        if not self._quiet or not isinstance(seen, ResourceEvent):
            emit(seen)


def _stack(job: Job, *, create: bool = False) -> auto.Stack:
    choose = auto.create_or_select_stack if create else auto.select_stack
    return _run(lambda: choose(job.stack, work_dir=job.work_dir))


def _run(call: Callable[[], T]) -> T:
    try:
        return call()
    except StackNotFoundError:
        raise StackNotFound("the backend has no such stack") from None
    except ConcurrentUpdateError as error:
        raise Busy(describe(str(error)), hint=LOCKED_HINT) from None
    except CommandError as error:
        text = str(error)
        if "passphrase" in text or "failed to decrypt" in text:
            raise WrongPassphrase(
                "the passphrase does not open this stack's secrets",
                hint="check PULUMI_CONFIG_PASSPHRASE_FILE",
            ) from None
        raise Failed(_reason(text)) from None


def _reason(text: str) -> str:
    """The lines of an engine's failure that say why."""
    said = [line.strip() for line in text.splitlines()]
    errors = [line for line in said if line.startswith("error:")]
    return "\n".join(dict.fromkeys(errors)) or (said[-1] if said else "the engine failed")


def _last_settings(job: Job, stack: auto.Stack) -> dict[str, Any]:
    """The settings of the stack's last update; the job's own before the first."""
    try:
        stack.workspace.refresh_config(job.stack)
    except CommandError:
        return dict(job.settings)
    document = _yaml.load(_settings_file(job)) or {}
    return dict(document.get("config") or {}) or dict(job.settings)


def _write_settings(job: Job, settings: dict[str, Any]) -> None:
    path = _settings_file(job)
    document = (_yaml.load(path) if path.exists() else None) or {}
    kept = {key: value for key, value in settings.items() if value is not None}
    document["config"] = {_full(key): value for key, value in kept.items()}
    with path.open("w") as file:
        _yaml.dump(document, file)


def _settings_file(job: Job) -> Path:
    return Path(job.work_dir) / f"Pulumi.{job.stack}.yaml"


def _full(key: str) -> str:
    return key if ":" in key else f"{PROJECT}:{key}"


def _snapshot_data(stack: auto.Stack) -> dict[str, Any]:
    exported = _run(stack.export_stack)
    return {"deployment": exported.deployment}


if __name__ == "__main__":
    sys.exit(main())
