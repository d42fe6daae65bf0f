"""The nas stack's operations on a stack that only remembers: gate, put back, hold, release."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contracts import outputs
from contracts.errors import AgentDockerError
from contracts.nas import NasDocuments
from contracts.outputs import ServiceOutput
from contracts.settings import parse
from operations import nas as nas_module
from operations.daemon import Seen
from operations.docker_client import Unreachable
from operations.errors import (
    Busy,
    Conflict,
    CutOff,
    Failed,
    NoSuchService,
    OperationError,
    Refused,
    StackNotFound,
)
from operations.gate import Verdict
from operations.jobs import MessageEvent
from operations.nas import GateFailed, Nas
from operations.nas_records import CONTAINER, RECORD, TUNNEL, documents_of, held_in, recorded
from operations.nas_ungated import Ungated
from operations.stack import Applied, Snapshot
from operations.state import RecordedResource, StackState
from operations.target import Target
from tests.unit.nas_documents import ACCOUNT, ZONE, ingress, rows, service
from tests.unit.test_nas_gate import SEEN

GOOD, BAD, BETTER = (f"registry.test/a:{version}" for version in ("1.0", "2.0", "3.0"))
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
ID, TUNNEL_ID = "c" * 32, "01234567-89ab-cdef-0123-456789abcdef"


@dataclass
class FakeStack:
    """Runs the program's own rules on the settings that it is given."""

    target: Target
    outputs: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    on_event: Any = lambda _event: None
    # What the next deploys end with.
    fails: list[OperationError] = field(default_factory=list)
    parallel: int = 64
    at_once: list[int] = field(default_factory=list)
    # Whatever makes this image's container fails, after all else was recorded.
    unable: set[str] = field(default_factory=set)
    there: list[RecordedResource] = field(default_factory=list)

    def snapshot(self, *, verify: bool = False) -> Snapshot:  # noqa: ARG002 - as the real one
        return Snapshot(state=self._state(), settings=self.settings)

    def _state(self) -> StackState:
        return StackState(outputs=dict(self.outputs), there=tuple(self.there))

    def deploy(
        self,
        settings: Mapping[str, Any],
        *,
        message: str | None = None,
        guarded: Mapping[str, str] | None = None,
    ) -> Applied:
        self.at_once.append(self.parallel)
        if guarded:
            raise Refused(next(iter(guarded.values())))
        if self.fails:
            error = self.fails.pop(0)
            self.on_event(MessageEvent(severity="error", text=str(error)))
            raise error
        self._put(self.settings, settings)
        return self._update({"message": message})

    def destroy(self) -> StackState:
        self._put(self.outputs, {})
        return self._state()

    def refresh(self) -> StackState:
        self.asked.append({"refresh": True})
        return self.snapshot().state

    def apply(self, changes: Mapping[str, Any], **asked: Any) -> Applied:  # noqa: ANN401
        self.settings |= changes
        return self._update({"changes": dict(changes), **asked})

    @staticmethod
    def _put(into: dict[str, Any], values: Mapping[str, Any]) -> None:
        """In place: a copy of this stack that listens to other events is this stack."""
        fresh = dict(values)
        into.clear()
        into.update(fresh)

    def _update(self, asked: dict[str, Any]) -> Applied:
        self.asked.append(asked)
        given = dict(self.settings)
        given.setdefault("held", self.outputs.get("held") or {})
        documents = parse(NasDocuments, given, where="test", key="agent-docker")
        before = {row["name"]: row for row in self.outputs.get("services") or ()}
        found = {
            "services": [
                documents.record(name, before.get(name)).model_dump(mode="json")
                for name in documents.services.root
            ],
            "held": {n: h.model_dump() for n, h in documents.still_held().items()},
            "updates": int(self.outputs.get("updates") or 0) + 1,
        }
        self._put(self.outputs, found)
        # A deploy by a person names nobody who is held back.
        self.settings.pop("held", None)
        for name in documents.services.root:
            if documents.image(name) in self.unable:
                raise Failed(f"{name}: Unable to start container")
        return Applied(changed=True, state=self._state(), changes=("a",))


@dataclass
class FakeGate:
    """Lets pass what runs none of the `bad` images."""

    bad: set[str]
    # Between the update and its check.
    dies: bool = False
    error: Unreachable | None = None
    waited: list[list[str]] = field(default_factory=list)
    settled: list[bool] = field(default_factory=list)

    asked: list[list[str]] = field(default_factory=list)

    def once(
        self, services: Sequence[ServiceOutput], seen: Mapping[str, Seen]
    ) -> dict[str, Verdict]:
        self.asked.append([one.name for one in services])
        assert not any(seen[one.name].runs for one in services if one.name in seen)
        return {one.name: Verdict(service=one.name, reason="it is gone") for one in services}

    def wait(
        self, services: Sequence[ServiceOutput], *, settle: bool = False
    ) -> dict[str, Verdict]:
        self.settled.append(settle)
        self.waited.append([one.name for one in services])
        if self.dies:
            raise KeyboardInterrupt
        if self.error:
            raise self.error
        return {
            one.name: Verdict(
                service=one.name, reason="it ended\n    a line" if one.image in self.bad else ""
            )
            for one in services
        }


@dataclass
class Rig:
    nas: Nas
    stack: FakeStack
    gate: FakeGate
    seen: dict[str, Seen]
    removed: list[Seen]
    containers: set[str]

    @property
    def ungated(self) -> Ungated:
        return Ungated(folder=self.stack.target.state, stack="nas")

    def elsewhere(self, folder: Path) -> "Rig":
        """Another machine that deploys the same stack."""
        target = replace(self.stack.target, state=folder)
        made: Any = replace(self.stack, target=target)
        return replace(self, nas=replace(self.nas, stack=made), stack=made)

    def up(self, image: str, **more: str) -> Any:  # noqa: ANN401 - Deployed
        services = rows({"a": service(image=image), "b": service(port=1)})
        return self.nas.up({"nas": {"docker": "unix:///d"}, "services": services, **more})

    @property
    def image(self) -> str:
        return next(one.image for one in self.nas.services() if one.name == "a")


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    stack = FakeStack(Target(stack="nas", env={}, state=tmp_path))
    gate = FakeGate({BAD})
    seen = {name: replace(SEEN, name=name) for name in ("a", "b")}
    removed: list[Seen] = []
    containers: set[str] = set()
    made: Any = stack
    gated: Any = gate
    daemon: Any = SimpleNamespace(
        require_recent=lambda: MONDAY,
        look=lambda _stack: seen,
        remove=removed.append,
        containers=lambda _stack: frozenset(containers),
    )
    nas = Nas(stack=made, gate=lambda _daemon: gated, daemon=lambda _url: daemon)
    return Rig(nas, stack, gate, seen, removed, containers)


def test_a_deploy_whose_services_work_is_done(rig: Rig) -> None:
    deployed = rig.up(GOOD)
    assert deployed.changes == ("a",)
    assert [one.name for one in deployed.services] == ["a", "b"]
    assert not deployed.held
    assert rig.gate.waited == [["a", "b"]]
    assert rig.gate.settled == [True]


def test_one_that_does_not_work_is_put_back_and_the_others_are_left(rig: Rig) -> None:
    rig.up(GOOD)
    with pytest.raises(GateFailed) as error:
        rig.up(BAD)
    assert "a does not work: it ended" in error.value.message
    assert f"it was put back to {GOOD}" in error.value.message
    assert rig.image == GOOD
    # The second update starts from the state that was judged, and only what was put back is asked.
    assert rig.stack.asked[-1]["base"] == 2
    assert rig.gate.waited[-1] == ["a"]
    held = held_in(rig.stack.snapshot().state)["a"]
    assert (held.failed, held.image, held.reason) == (BAD, GOOD, "it ended")


def test_nobodys_deploy_brings_back_what_failed(rig: Rig) -> None:
    rig.up(GOOD)
    with pytest.raises(GateFailed):
        rig.up(BAD)
    deployed = rig.up(BAD)
    assert rig.image == GOOD
    assert deployed.held["a"].failed == BAD
    rig.up(BETTER)
    assert rig.image == BETTER
    assert held_in(rig.stack.snapshot().state) == {}


def test_a_process_that_died_before_the_check_has_lost_nothing(rig: Rig) -> None:
    rig.up(GOOD)
    rig.gate.dies = True
    with pytest.raises(KeyboardInterrupt):
        rig.up(BAD)
    rig.gate.dies = False
    with pytest.raises(GateFailed, match=f"put back to {GOOD}"):
        rig.up(BAD)
    assert rig.image == GOOD


def test_what_worked_with_its_image_is_not_put_back(rig: Rig) -> None:
    rig.up(GOOD)
    rig.up(BETTER)
    # Weeks later, and not because of its image.
    rig.gate.bad = {BETTER}
    with pytest.raises(GateFailed) as error:
        rig.up(BETTER)
    assert "was put back" not in error.value.message
    assert rig.image == BETTER


def test_an_image_that_was_never_deployed_is_not_gone_back_to(rig: Rig) -> None:
    rig.up(GOOD)
    rig.gate.dies = True
    for image in (BAD, BETTER):
        with pytest.raises(KeyboardInterrupt):
            rig.up(image)
    rig.gate.dies, rig.gate.bad = False, {BETTER}
    with pytest.raises(GateFailed, match=f"put back to {GOOD}"):
        rig.up(BETTER)


def refused(rig: Rig) -> None:
    services = rows({"a": service(image=BAD), "b": service(port=1)})
    with pytest.raises(Refused):
        rig.nas.up({"nas": {"docker": "unix:///d"}, "services": services}, guarded={"a": "no"})


def cut(rig: Rig) -> None:
    rig.stack.fails = [CutOff("the engine was killed")]
    with pytest.raises(CutOff):
        rig.up(BETTER)


def failed(rig: Rig) -> None:
    rig.stack.fails = [Failed("no space left on device")]
    with pytest.raises(Failed):
        rig.up(BETTER)


def away(rig: Rig) -> None:
    rig.gate.error = Unreachable("the NAS does not answer")
    with pytest.raises(Unreachable):
        rig.up(BETTER)
    rig.gate.error = None


@pytest.mark.parametrize("left", [refused, failed, away])
def test_what_somebody_else_has_deployed_since_is_not_put_back(
    rig: Rig, tmp_path: Path, left: Callable[[Rig], None]
) -> None:
    rig.up(GOOD)
    left(rig)
    rig.elsewhere(tmp_path / "ci").up("registry.test/a:4.0")
    # For another reason than its image.
    rig.gate.bad = {"registry.test/a:4.0"}
    with pytest.raises(GateFailed) as error:
        rig.up("registry.test/a:4.0")
    assert "was put back" not in error.value.message


def test_what_was_cut_off_may_have_been_recorded(rig: Rig, tmp_path: Path) -> None:
    rig.up(GOOD)
    cut(rig)
    left = rig.ungated.left()
    assert left is not None
    assert left.updates == (1, 2)
    for image in (BETTER, "registry.test/a:4.0"):
        rig.elsewhere(tmp_path / "ci").up(image)
    assert rig.ungated.kept(3) is None


def test_a_refused_update_leaves_nothing_of_its_own_behind(rig: Rig) -> None:
    rig.up(GOOD)
    refused(rig)
    assert rig.ungated.left() is None
    cut(rig)
    before = rig.ungated.left()
    assert before is not None
    refused(rig)
    assert rig.ungated.left() == before


def test_a_failed_update_counts_until_the_next_of_anybody(rig: Rig) -> None:
    rig.up(GOOD)
    away(rig)
    left = rig.ungated.left()
    assert left is not None
    assert (left.updates, left.images["a"], left.begun) == ((2,), GOOD, MONDAY)


def test_a_deploy_of_somebody_else_meanwhile_voids_what_is_known(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.up(GOOD)

    def overtaken(*_: object, **__: object) -> None:
        raise Conflict("the stack has had another update")

    monkeypatch.setattr(FakeStack, "apply", overtaken)
    with pytest.raises(Conflict):
        rig.up(BAD)
    assert rig.ungated.left() is None


@pytest.mark.parametrize("status", ["created", "missing"])
def test_an_image_that_cannot_be_started_is_put_back(rig: Rig, status: str) -> None:
    rig.up(GOOD)
    rig.stack.unable = {BAD}
    if status == "missing":
        del rig.seen["a"]
    else:
        rig.seen["a"] = replace(rig.seen["a"], status=status)
    with pytest.raises(GateFailed) as error:
        rig.up(BAD)
    assert error.value.message.splitlines() == [
        "a: Unable to start container",
        f"    a was put back to {GOOD}",
    ]
    assert "declare another image" in str(error.value.hint)
    assert rig.image == GOOD
    held = held_in(rig.stack.snapshot().state)["a"]
    assert (held.failed, held.reason) == (BAD, "a: Unable to start container")
    # Nobody waits for what has ended; the rest is judged after the second update.
    assert rig.gate.asked == [["a"]]
    assert rig.gate.waited[1:] == [["a", "b"]]
    assert rig.ungated.left() is None


def test_what_runs_after_a_failed_update_is_waited_for(rig: Rig) -> None:
    rig.up(GOOD)
    rig.stack.unable = {BAD}
    with pytest.raises(GateFailed, match=f"a was put back to {GOOD}"):
        rig.up(BAD)
    assert rig.gate.waited[1:] == [["a"], ["a", "b"]]
    assert rig.gate.settled[1] is True


def test_what_a_failed_update_has_not_come_to_is_judged_too(rig: Rig) -> None:
    rig.up(GOOD)
    rig.stack.unable = {BAD}
    rig.gate.bad = {BAD, service()["image"]}
    with pytest.raises(GateFailed) as error:
        rig.up(BAD)
    assert f"a was put back to {GOOD}" in error.value.message
    assert "b does not work: it ended" in error.value.message


def test_a_failed_update_whose_services_work_puts_nothing_back(rig: Rig) -> None:
    rig.up(GOOD)
    rig.stack.unable, rig.gate.bad = {BAD}, set()
    with pytest.raises(Failed, match="Unable to start container"):
        rig.up(BAD)
    assert rig.image == BAD
    # A NAS that is away says nothing about an image.
    rig.gate.error = Unreachable("the NAS does not answer")
    with pytest.raises(Failed, match="Unable to start container"):
        rig.up(BAD)
    assert rig.image == BAD


def test_a_service_that_cannot_be_put_back_says_both_reasons(rig: Rig) -> None:
    rig.up(GOOD)
    rig.stack.unable = {BAD, GOOD}
    with pytest.raises(Failed) as error:
        rig.up(BAD)
    assert error.value.message.splitlines() == [
        "a: Unable to start container",
        "a could not be put back: a: Unable to start container",
    ]


def test_an_update_that_is_cut_off_while_it_puts_back_is_not_hidden(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.up(GOOD)
    rig.stack.unable = {BAD}

    def killed(*_: object, **__: object) -> None:
        raise CutOff("the engine was killed")

    monkeypatch.setattr(FakeStack, "apply", killed)
    with pytest.raises(CutOff):
        rig.up(BAD)
    left = rig.ungated.left()
    assert left is not None
    assert (left.images["a"], left.updates) == (GOOD, (2, 3))


@pytest.mark.parametrize("starts", [True, False])
def test_a_retry_that_fails_again_is_held_again(rig: Rig, starts: bool) -> None:  # noqa: FBT001 - a parameter
    rig.up(GOOD)
    with pytest.raises(GateFailed):
        rig.up(BAD)
    if not starts:
        rig.stack.unable = {BAD}
    with pytest.raises(GateFailed, match=f"put back to {GOOD}"):
        rig.nas.release("a")
    assert rig.image == GOOD
    reason = "it ended" if starts else "a: Unable to start container"
    assert held_in(rig.stack.snapshot().state)["a"].reason == reason


def test_a_rollback_that_fails_asks_for_another_image(rig: Rig) -> None:
    rig.up(GOOD)
    rig.up(BETTER)
    with pytest.raises(GateFailed) as error:
        rig.nas.hold("a", image=BAD, reason="by hand")
    assert "was put back" not in error.value.message
    assert "--image" in str(error.value.hint)
    assert rig.image == BAD


def test_a_writer_of_files_that_was_removed_is_told_of(rig: Rig) -> None:
    rig.up(GOOD)
    rig.stack.there = [
        RecordedResource(kind=CONTAINER, name="a-files", id="f1"),
        RecordedResource(kind="docker:index/volume:Volume", name="a-files", id="v1"),
    ]
    rig.containers.add("f1")
    rig.stack.asked.clear()
    rig.up(GOOD)
    rig.containers.clear()
    rig.up(GOOD)
    assert [next(iter(asked)) for asked in rig.stack.asked] == ["message", "refresh", "message"]


@pytest.mark.parametrize(
    ("own", "setting"),
    [
        (RecordedResource(kind=RECORD, name="docs", id=ID), f"ingress.records.docs: .* {ID}"),
        # Taken over under the name that the host had before.
        (
            RecordedResource(kind=RECORD, name="wiki", id=ID, imported=f"{ZONE}/{ID}"),
            f"ingress.records.docs: .* {ID}",
        ),
        (
            RecordedResource(kind=TUNNEL, name="tunnel", id=TUNNEL_ID),
            f"ingress.tunnelId: .* {TUNNEL_ID}",
        ),
    ],
)
def test_what_the_stack_has_already_is_not_taken_over(
    rig: Rig, own: RecordedResource, setting: str
) -> None:
    rig.stack.there = [own]
    with pytest.raises(Refused, match=setting) as error:
        rig.nas.up(adopting())
    assert "take it out of the settings" in str(error.value.hint)
    assert rig.stack.asked == []
    assert rig.ungated.left() is None


def test_what_was_taken_over_stays_so(rig: Rig) -> None:
    tunnel = f"{ACCOUNT}/{TUNNEL_ID}"
    rig.stack.there = [
        RecordedResource(kind=RECORD, name="docs", id=ID, imported=f"{ZONE}/{ID}"),
        RecordedResource(kind=TUNNEL, name="tunnel", id=TUNNEL_ID, imported=tunnel),
        RecordedResource(kind=RECORD, name="wiki", id="d" * 32),
    ]
    assert rig.nas.up(adopting()).changes


def adopting() -> dict[str, Any]:
    return {
        "nas": {"docker": "unix:///d"},
        "services": rows({"a": service(image=GOOD, host={"name": "docs"})}),
        "ingress": ingress(records={"docs": ID}, tunnelId=TUNNEL_ID),
    }


def test_a_stack_that_ends_leaves_nothing_to_go_back_to(rig: Rig) -> None:
    rig.up(GOOD)
    cut(rig)
    rig.nas.destroy()
    assert rig.ungated.left() is None


def test_a_first_update_finds_no_stack(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    first = rig.stack.snapshot
    answers = [StackNotFound("none")]

    def snapshot() -> Snapshot:
        if answers:
            raise answers.pop()
        return first()

    monkeypatch.setattr(rig.stack, "snapshot", snapshot)
    assert rig.up(GOOD).changes


@pytest.mark.parametrize("status", ["exited", "created", "missing"])
def test_the_engine_is_told_of_what_does_not_run(rig: Rig, status: str) -> None:
    rig.up(GOOD)
    rig.stack.asked.clear()
    if status == "missing":
        del rig.seen["a"]
    else:
        rig.seen["a"] = replace(rig.seen["a"], status=status)
    rig.up(GOOD)
    assert rig.stack.asked[0] == {"refresh": True}
    assert not rig.removed


def test_a_container_without_a_network_is_made_anew(rig: Rig) -> None:
    rig.up(GOOD)
    rig.stack.asked.clear()
    rig.seen["a"] = replace(rig.seen["a"], networks=())
    rig.up(GOOD)
    assert [one.name for one in rig.removed] == ["a"]
    assert rig.stack.asked[0] == {"refresh": True}


def test_what_runs_is_not_asked_for(rig: Rig) -> None:
    rig.up(GOOD)
    rig.stack.asked.clear()
    rig.up(GOOD)
    assert [list(asked) for asked in rig.stack.asked] == [["message"]]


def test_a_service_that_is_held_back_is_not_rolled_forward(rig: Rig) -> None:
    rig.up(GOOD)
    rig.up(BETTER)
    rig.nas.hold("a", image=None, reason="by hand")
    with pytest.raises(Refused, match="a is held back already"):
        rig.nas.hold("a", image=None, reason="by hand")
    assert rig.image == GOOD


def test_a_digest_is_gone_back_to_as_it_was(rig: Rig) -> None:
    digest = "registry.test/a@sha256:" + "0" * 64
    rig.up(digest)
    with pytest.raises(GateFailed, match=f"put back to {digest}"):
        rig.up(BAD)
    assert rig.image == digest


def test_a_first_deploy_that_fails_has_nothing_to_go_back_to(rig: Rig) -> None:
    with pytest.raises(GateFailed) as error:
        rig.up(BAD)
    assert "was put back" not in error.value.message
    assert "there was no other image to go back to" in str(error.value.hint)
    assert rig.image == BAD


def test_what_it_was_put_back_to_may_fail_too(rig: Rig) -> None:
    rig.up(GOOD)
    rig.gate.bad = {BAD, GOOD}
    with pytest.raises(GateFailed) as error:
        rig.up(BAD)
    assert "a does not work" in error.value.message
    # It stays held back: going to and fro would help nobody.
    assert rig.image == GOOD


def test_a_service_is_rolled_back_by_hand_and_released(rig: Rig) -> None:
    rig.up(GOOD)
    rig.up(BETTER)
    deployed = rig.nas.hold("a", image=None, reason="by hand")
    assert rig.image == GOOD
    assert deployed.held["a"].reason == "by hand"
    rig.nas.release("a")
    assert rig.image == BETTER
    assert held_in(rig.stack.snapshot().state) == {}


def test_another_image_may_be_named(rig: Rig) -> None:
    rig.up(GOOD)
    rig.nas.hold("a", image="registry.test/a:0.9", reason="by hand")
    assert rig.image == "registry.test/a:0.9"


def test_there_must_be_something_to_go_back_to(rig: Rig) -> None:
    rig.up(GOOD)
    with pytest.raises(Failed, match="a has had no other image than"):
        rig.nas.hold("a", image=None, reason="by hand")
    assert len(rig.stack.asked) == 1


@pytest.mark.parametrize("act", ["hold", "release"])
def test_an_unknown_service_is_named_and_nothing_is_done(rig: Rig, act: str) -> None:
    rig.up(GOOD)
    more = {"image": None, "reason": ""} if act == "hold" else {}
    with pytest.raises(NoSuchService) as error:
        getattr(rig.nas, act)("c", **more)
    assert "the services are: a, b" in str(error.value)
    assert len(rig.stack.asked) == 1


def test_wrong_settings_end_it_before_anything_is_asked(rig: Rig) -> None:
    with pytest.raises(AgentDockerError, match=r"services\.a\.image"):
        rig.up("a")
    assert rig.stack.asked == []


def test_a_digest_of_the_lock_is_not_taken_for_another_image(rig: Rig) -> None:
    digest = "sha256:" + "0" * 64
    rig.gate.bad = {f"{BAD}@{digest}"}
    rig.up(GOOD)
    with pytest.raises(GateFailed, match=f"put back to {GOOD}"):
        rig.up(BAD, images={BAD: digest})  # type: ignore[arg-type]
    assert rig.image == GOOD


def test_a_service_without_a_backup_is_not_ended(rig: Rig) -> None:
    settings = {"nas": {"docker": "unix:///d"}, "services": rows({"a": service()})}
    with pytest.raises(Refused, match="a has no good backup"):
        rig.nas.up(settings, guarded={"a": "a has no good backup"})
    assert rig.gate.waited == []


@pytest.mark.parametrize(
    "left",
    [
        Busy("the stack is locked by a dead engine"),
        Failed('Conflict. The name "/a" is already in use by container "c1".'),
        Failed("network with name agent-platform already exists"),
    ],
)
def test_what_a_dead_engine_left_is_put_in_order_once(
    rig: Rig, left: OperationError, monkeypatch: pytest.MonkeyPatch
) -> None:
    recovered: list[tuple[str, datetime]] = []

    def recover(*_: object, prefix: str, since: datetime, **__: object) -> StackState:
        recovered.append((prefix, since))
        return rig.stack.snapshot().state

    monkeypatch.setattr(nas_module, "recover", recover)
    rig.stack.fails = [left]
    rig.up(GOOD)
    assert recovered == [("", MONDAY)]
    rig.stack.fails = [left, left]
    with pytest.raises(type(left)):
        rig.up(BETTER)
    assert recovered == [("", MONDAY)] * 2


def test_a_way_back_that_was_barred_is_taken_by_the_next_update(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.up(GOOD)

    def locked(*_: object, **__: object) -> None:
        raise Busy("somebody else updates")

    with monkeypatch.context() as patch:
        patch.setattr(nas_module, "recover", lambda *_, **__: rig.stack.snapshot().state)
        patch.setattr(FakeStack, "apply", locked)
        with pytest.raises(Busy):
            rig.up(BAD)
    assert rig.image == BAD
    with pytest.raises(GateFailed, match=f"put back to {GOOD}"):
        rig.up(BAD)
    assert rig.image == GOOD


@pytest.mark.parametrize(("daemon", "parallel"), [("unix:///d", 64), ("ssh://a@nas", 6)])
def test_over_ssh_few_things_are_done_at_once(rig: Rig, daemon: str, parallel: int) -> None:
    """An sshd turns away what is too much for it."""
    rig.nas.up({"nas": {"docker": daemon}, "services": rows({"a": service(image=GOOD)})})
    assert rig.stack.at_once == [parallel]


def test_any_other_failure_is_told_at_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nas_module, "recover", lambda *_, **__: pytest.fail("not to be recovered"))
    rig.stack.fails = [Failed("no space left on device")]
    with pytest.raises(Failed, match="no space left"):
        rig.up(GOOD)


def test_full_names_of_settings_are_known() -> None:
    services = rows({"a": service()})
    given = {"agent-docker:nas": {"docker": "unix:///d"}, "agent-docker:services": services}
    held = {"a": {"failed": GOOD, "image": "registry.test/a:0.9", "reason": "r"}}
    state = StackState(outputs={outputs.HELD: held})
    assert documents_of(given, state, where="test").image("a") == "registry.test/a:0.9"


def test_a_stack_that_never_was_has_no_services() -> None:
    assert recorded(StackState()) == []
