"""One stack, driven through the engine in child processes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from operations import history, state
from operations.jobs import OPERATIONS_AT_ONCE, Event, Job, Kind
from operations.process import Limits, OnEvent, Switch, run
from operations.redaction import Redactor
from operations.state import StackState
from operations.target import Target, workspace

# What leaves an entry in the stack's history.
_RECORDED: frozenset[Kind] = frozenset({"deploy", "apply", "refresh", "destroy"})


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What the stack records, and the settings of its last update (the target's before that)."""

    state: StackState
    settings: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class PastUpdate:
    """An update that the stack has had, and its settings without the secret ones.

    `back` counts from the newest, which is 0; `at` is when it began.
    """

    back: int
    at: datetime
    kind: str
    succeeded: bool
    settings: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Applied:
    """A finished update: whether anything had to be done, and what the stack records now."""

    changed: bool
    state: StackState
    # Names of the resources that were made, changed or removed.
    changes: tuple[str, ...] = ()


def _ignore(_event: Event) -> None:
    """Nobody listens."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Operations on one stack. Each raises an error of `operations.errors`."""

    target: Target
    on_event: OnEvent = _ignore
    limits: Limits = field(default_factory=Limits)
    # Steps of the engine at once.
    parallel: int = OPERATIONS_AT_ONCE
    # Asks the running operation to end, from another thread.
    switch: Switch = field(default_factory=Switch)

    def deploy(
        self,
        settings: Mapping[str, Any],
        *,
        message: str | None = None,
        guarded: Mapping[str, str] | None = None,
        persevere: bool = False,
        refresh: bool = False,
    ) -> Applied:
        """Update the stack with exactly these settings, as a person's `pulumi up` would.

        Refused, with the reason, when a container that is `guarded` by name would end. With
        `persevere` one failure does not keep from the rest what does not need it; with `refresh`
        what is live is read first.
        """
        result = self._run(
            "deploy",
            settings=dict(settings),
            secrets=dict(self.target.secret_settings),
            document=dict(self.target.document),
            message=message,
            guarded=dict(guarded or {}),
            persevere=persevere,
            refresh=refresh,
        )
        return self._applied(result)

    def apply(
        self,
        changes: Mapping[str, Any],
        *,
        expendable: Iterable[str] | None = (),
        base: int | None = None,
        guarded: Mapping[str, str] | None = None,
        message: str | None = None,
        skip_idle: bool = True,
    ) -> Applied:
        """Update with the settings of the last update and `changes` in them.

        Refused when a machine outside the `expendable` slots would be deleted or replaced, which
        a preview tells; with None there is none. Conflict when the stack has not had just `base`
        updates, if that is given.
        """
        result = self._run(
            "apply",
            changes=dict(changes),
            expendable=None if expendable is None else tuple(expendable),
            base=base,
            guarded=dict(guarded or {}),
            message=message,
            skip_idle=skip_idle,
        )
        return self._applied(result)

    def refresh(self, *, clear_pending: bool = False) -> StackState:
        """Read every machine's live state into the stack; drops what is proved gone."""
        return state.read(self._run("refresh", clear_pending=clear_pending)["deployment"])

    def destroy(self, *, remove: bool = False) -> StackState:
        """End every machine of the stack; `remove` forgets the stack too."""
        return state.read(self._run("destroy", remove=remove)["deployment"])

    def snapshot(self, *, verify: bool = False) -> Snapshot:
        """What the stack records; no call to any cloud.

        With `verify` a wrong passphrase is told of now (WrongPassphrase), not by the next update.
        """
        result = self._run("snapshot", verify=verify)
        return Snapshot(state=state.read(result["deployment"]), settings=result["settings"])

    def history(self) -> list[PastUpdate]:
        """The updates that the backend still has, the newest first."""
        found: list[dict[str, Any]] = self._run("history")["updates"]
        return [PastUpdate(at=datetime.fromisoformat(one.pop("at")), **one) for one in found]

    def stacks(self) -> list[str]:
        """The names of all stacks of the project; this one need not be there."""
        names: list[str] = self._run("stacks")["names"]
        return names

    def unlock(self) -> None:
        """Remove every lock of the stack. Only after their owners are proved dead."""
        self._run("cancel")

    def remove(self) -> None:
        """Forget the stack; refused while it records anything."""
        self._run("remove")

    def _run(self, kind: Kind, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a Job
        with workspace(self.target) as (work, env):
            same: dict[str, Any] = {
                "kind": kind,
                "stack": self.target.stack,
                "work_dir": str(work),
                "settings": dict(self.target.settings),
                "parallel": self.parallel,
            }
            job = Job.model_validate(same | fields)
            result = run(
                job,
                env=env,
                redactor=Redactor(self.target.secrets),
                on_event=self.on_event,
                limits=self.limits,
                switch=self.switch,
            )
        if kind in _RECORDED:
            history.prune(self.target.env, self.target.stack)
        return result

    def _applied(self, result: Mapping[str, Any]) -> Applied:
        return Applied(
            changed=bool(result["changed"]),
            state=state.read(result["deployment"]),
            changes=tuple(result.get("changes") or ()),
        )
