"""Agents that are stacks of their own: each has its lock, its history and its own way back.

The namespace that they share is a stack too. It is made before the first agent and goes after the
last one; one that was there before is used as it is, and stays.
"""

import re
import socket
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from filelock import Timeout
from pydantic import BaseModel

from contracts.agents import AgentDeployment, AgentsSettings, ClusterSettings, NamespaceSettings
from contracts.errors import SettingsError
from contracts.outputs import DEPLOYMENTS, AgentOutput
from contracts.program import PROJECT
from contracts.settings import parse
from operations.cluster import Cluster
from operations.errors import (
    Busy,
    CutOff,
    Failed,
    NamespaceTaken,
    NoSuchAgent,
    OperationError,
    StackNotFound,
)
from operations.lease import lease
from operations.settling import Settling
from operations.stack import Applied, PastUpdate, Snapshot, Stack
from operations.state import StackState
from ossa.objects import POLICIES, STACK
from providers.vastai.pacing import process_lock

T = TypeVar("T")

LAYER = "agents"
# What Pulumi's own backends take.
_LONGEST_STACK = 100
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAMESPACE_WAIT = 120.0
_PARTS = 3


class NoSuchPod(OperationError):
    """The agent has no pod."""


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A finished rollout."""

    agent: AgentOutput
    changes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Past:
    """An update of one agent; `back` is how many before the newest it was."""

    back: int
    at: datetime
    image: str | None
    succeeded: bool


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an agent is: the names do not tell without the namespace."""

    namespace: str
    name: str

    def __post_init__(self) -> None:
        for what, text in (("namespace", self.namespace), ("agent", self.name)):
            if not _NAME.fullmatch(text):
                raise SettingsError(
                    f"{text!r} is no name of {'an' if what == 'agent' else 'a'} {what}",
                    hint="lower-case letters, digits and -, at most 63",
                )

    @property
    def stack(self) -> str:
        """Neither of both has a dot."""
        return f"{LAYER}.{self.namespace}.{self.name}"


@dataclass(frozen=True, kw_only=True)
class Agents:
    """Operations on single agents of one cluster.

    `stack` makes the operations on a stack by its name; all of them keep their turns in one folder.
    """

    stack: Callable[[str], Stack]
    cluster: Cluster
    settings: ClusterSettings
    rollout_seconds: int = 300
    # This one's name in Pulumi's locks.
    host: str = field(default_factory=socket.gethostname)

    # Reading.

    def places(self) -> list[Place]:
        """Every agent that has a stack of its own."""
        return sorted(
            (place for name in self._names() if (place := place_of(name)) is not None),
            key=lambda place: (place.namespace, place.name),
        )

    def recorded(self, place: Place) -> AgentOutput:
        """What the stack of an agent records; NoSuchAgent when there is none."""
        return _recorded(place, self._snapshot(place).state)

    # Changing.

    def deploy(
        self,
        place: Place,
        deployment: AgentDeployment,
        *,
        namespace: NamespaceSettings,
        message: str | None = None,
    ) -> Deployed:
        """Bring one agent up, or change it, and wait until it has rolled out.

        NamespaceTaken when its namespace is not ours and was not said to exist. What somebody
        changed or removed in the cluster meanwhile is put back.
        """
        if len(place.stack) > _LONGEST_STACK:
            raise SettingsError(
                f"{place.namespace} and {place.name} are too long together: the stack would be "
                f"{place.stack!r}, at most {_LONGEST_STACK} characters are allowed"
            )
        # Held from before the namespace is there: whoever deletes its last agent sees it.
        with self._leased(place.stack) as stack:
            self._prepare(place.namespace, namespace)
            return self._update(stack, place, self._document(place, deployment), message)

    def scale(self, place: Place, least: int, most: int | None = None) -> Deployed:
        """Run `least` pods of an agent, or between both by CPU."""
        wanted = {"min": least, "max": least if most is None else most}
        with self._leased(place.stack) as stack:
            changed = {**_dumped(self._current(place)), "replicas": wanted}
            deployment = parse(AgentDeployment, changed, where=place.name, key="agent")
            document = self._document(place, deployment)
            return self._update(stack, place, document, f"scale to {least}")

    def rollback(self, place: Place, *, back: int | None = None) -> Deployed:
        """Deploy again what the last good update had that deployed something else.

        With `back` what the update so many before the newest had. Failed when there is none.
        """
        with self._leased(place.stack) as stack:
            return self._rolled_back(stack, place, back)

    def _rolled_back(self, stack: Stack, place: Place, back: int | None) -> Deployed:
        self._snapshot(place)
        updates = stack.history()
        named = (one for one in updates if one.back == back and one.kind == "update")
        found = earlier(updates) if back is None else next(named, None)
        if found is None:
            wanted = "no earlier good update to go back to" if back is None else f"no update {back}"
            raise Failed(
                f"{place.name} has had {wanted}",
                hint="`agent-docker agents status` shows the updates that there are",
            )
        past = _document(found.settings)
        # Not its cluster: that is what the command was told.
        document = {name: past[name] for name in ("namespaces", "deployments") if name in past}
        return self._update(stack, place, document, f"back to that of {found.at:%F %T}")

    def updates(self, place: Place) -> list[Past]:
        """The updates of an agent that it can go back to, the newest first; none without a stack.

        An agent of the stack `agents` has none of its own.
        """
        if place not in self.places():
            return []
        return [
            Past(back=one.back, at=one.at, image=image_of(one), succeeded=one.succeeded)
            for one in self.stack(place.stack).history()
            if one.kind == "update"
        ]

    def delete(self, place: Place) -> list[str]:
        """Remove an agent, and the namespace with the last one if it was ours.

        What else is in the namespace, which stays then. NoSuchAgent when there is no such stack.
        """
        with self._leased(place.stack) as stack:
            try:
                self._change(stack, lambda one: one.destroy(remove=True))
                known = True
            except StackNotFound:
                known = False
        # Also where an earlier delete was cut off before it came to this.
        left = self._release(place.namespace)
        if not known:
            raise _none(place)
        return left

    def _release(self, namespace: str) -> list[str]:
        """Remove a namespace of ours that nobody uses; else what is in it."""
        ours = _namespace_stack(namespace)
        with self._turn(namespace):
            names = self._names()
            used = any(name.startswith(f"{ours}.") for name in names)
            if ours not in names or used or self._coming(ours):
                return []
            if left := self.cluster.left_in(namespace):
                return left
            with self._leased(ours) as stack:
                self._change(stack, lambda one: one.destroy(remove=True))
        return []

    def _coming(self, namespace_stack: str) -> bool:
        """Whether a deploy to the namespace is at work that has no stack yet."""
        for path in self._folder.glob(f"lease-{namespace_stack}.*.lock"):
            lock = process_lock(path)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                return True
            lock.release()
        return False

    def _prepare(self, name: str, wanted: NamespaceSettings) -> None:
        """Make the namespace unless it is there, whole; whose it is decides."""
        stack_name = _namespace_stack(name)
        with self._turn(name):
            there = self.cluster.namespace(name)
            if wanted.existing:
                if there is None:
                    raise Failed(
                        f"namespace {name} is not there",
                        hint="leave --existing-namespace out to have it made",
                    )
                return
            if there is not None:
                owner = _owner(there)
                if owner != stack_name:
                    raise NamespaceTaken(
                        f"namespace {name} is there already and is not ours"
                        + ("" if owner is None else f": stack {owner} made it"),
                        hint="--existing-namespace uses it as it is and leaves it there; or name "
                        "another one with --namespace",
                    )
                if self.cluster.policies(name) >= POLICIES:
                    return
            document: dict[str, Any] = {"namespaces": {name: _dumped(wanted)}}
            with self._leased(stack_name) as stack:
                self._deploy(stack, document, None)

    def _document(self, place: Place, deployment: AgentDeployment) -> dict[str, Any]:
        placed = deployment.model_copy(update={"namespace": place.namespace})
        # Whoever made the namespace, this stack does not.
        return {
            "namespaces": {place.namespace: {"existing": True}},
            "deployments": [_dumped(placed)],
        }

    def _update(
        self, stack: Stack, place: Place, document: Mapping[str, Any], message: str | None
    ) -> Deployed:
        applied = self._deploy(stack, document, message)
        return Deployed(agent=_recorded(place, applied.state), changes=applied.changes)

    def _deploy(self, stack: Stack, document: Mapping[str, Any], message: str | None) -> Applied:
        place = {"cluster": _dumped(self.settings), "rolloutSeconds": self.rollout_seconds}
        settings = {"layer": LAYER, "agents": {**place, **document}}
        return self._change(stack, lambda one: one.deploy(settings, message=message, refresh=True))

    def _change(self, stack: Stack, change: Callable[[Stack], T]) -> T:
        """`change`, once more after what a killed engine left is in order. Busy when one lives."""
        try:
            try:
                return change(stack)
            except Busy:
                Settling(stack=stack, host=self.host).settle()
                stack.refresh(clear_pending=True)
                return change(stack)
        except CutOff as error:
            raise CutOff(error.message, hint="run it again: it goes on from there") from None

    @contextmanager
    def _leased(self, name: str) -> Generator[Stack]:
        """The stack of that name, which no other operation of this installation changes now."""
        stack = self.stack(name)
        with lease(stack.target.state, name):
            yield stack

    def _current(self, place: Place) -> AgentDeployment:
        document = _document(self._snapshot(place).settings)
        return parse(AgentsSettings, document, where=place.stack, key="agents").deployments[0]

    def _snapshot(self, place: Place) -> Snapshot:
        try:
            return self.stack(place.stack).snapshot()
        except StackNotFound:
            raise _none(place) from None

    @property
    def _folder(self) -> Path:
        return self.stack(LAYER).target.state

    def _names(self) -> list[str]:
        return self.stack(LAYER).stacks()

    @contextmanager
    def _turn(self, namespace: str) -> Generator[None]:
        """One at a time decides whether a namespace is made or goes."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = process_lock(self._folder / f"namespace-{namespace}.lock")
        try:
            lock.acquire(timeout=_NAMESPACE_WAIT)
        except Timeout:
            raise Busy(
                f"namespace {namespace} is being made or removed by another command",
                hint="run it again when that has ended",
            ) from None
        try:
            yield
        finally:
            lock.release()


def earlier(updates: Iterable[PastUpdate]) -> PastUpdate | None:
    """The last good update that deployed something else than the newest one did."""
    deploys = [one for one in updates if one.kind == "update"]
    if not deploys:
        return None
    now = _document(deploys[0].settings).get("deployments")
    return next(
        (
            one
            for one in deploys[1:]
            if one.succeeded and _document(one.settings).get("deployments") != now
        ),
        None,
    )


def image_of(update: PastUpdate) -> str | None:
    """The image that an update of one agent was told; None where its manifest names it."""
    rows: Sequence[Mapping[str, Any]] = _document(update.settings).get("deployments") or ()
    return str(rows[0]["image"]) if rows and rows[0].get("image") else None


def place_of(stack: str) -> Place | None:
    """The agent that a stack is of, by the stack's name; None for any other stack."""
    parts = stack.split(".")
    if len(parts) != _PARTS or parts[0] != LAYER:
        return None
    return Place(namespace=parts[1], name=parts[2])


def _namespace_stack(namespace: str) -> str:
    return f"{LAYER}.{namespace}"


def _recorded(place: Place, state: StackState) -> AgentOutput:
    rows: list[Mapping[str, Any]] = state.outputs.get(DEPLOYMENTS) or []
    if not rows:
        raise _none(place)
    return AgentOutput.model_validate(rows[0])


def _none(place: Place) -> NoSuchAgent:
    return NoSuchAgent(
        f"no agent {place.name} is deployed in namespace {place.namespace}",
        hint="see `agent-docker agents list`",
    )


def _document(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = settings.get(f"{PROJECT}:{LAYER}") or settings.get(LAYER) or {}
    return found


def _dumped(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude_unset=True, exclude_none=True)


def _owner(namespace: Mapping[str, Any]) -> str | None:
    """The stack that made it; None for one of others."""
    told: Mapping[str, str] = namespace.get("metadata", {}).get("annotations") or {}
    return told.get(STACK)
