"""The nas stack's operations on a stack that only remembers: gate, put back, hold, release."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from operations.errors import Busy, Failed, NoSuchService, OperationError, Refused
from operations.gate import Verdict
from operations.jobs import MessageEvent
from operations.nas import GateFailed, Nas
from operations.nas_records import documents_of, held_in, recorded
from operations.stack import Applied, Snapshot
from operations.state import StackState
from operations.target import Target
from tests.unit.nas_documents import rows, service
from tests.unit.test_nas_gate import SEEN

GOOD, BAD, BETTER = (f"registry.test/a:{version}" for version in ("1.0", "2.0", "3.0"))


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

    def snapshot(self, *, verify: bool = False) -> Snapshot:  # noqa: ARG002 - as the real one
        return Snapshot(state=StackState(outputs=dict(self.outputs)), settings=self.settings)

    def deploy(
        self,
        settings: Mapping[str, Any],
        *,
        message: str | None = None,
        guarded: Mapping[str, str] | None = None,
    ) -> Applied:
        if guarded:
            raise Refused(next(iter(guarded.values())))
        if self.fails:
            error = self.fails.pop(0)
            self.on_event(MessageEvent(severity="error", text=str(error)))
            raise error
        self._put(self.settings, settings)
        return self._update({"message": message})

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
        return Applied(changed=True, state=StackState(outputs=dict(self.outputs)), changes=("a",))


@dataclass
class FakeGate:
    """Lets pass what runs none of the `bad` images."""

    bad: set[str]
    # Between the update and its check.
    dies: bool = False
    waited: list[list[str]] = field(default_factory=list)
    settled: list[bool] = field(default_factory=list)

    def wait(
        self, services: Sequence[ServiceOutput], *, settle: bool = False
    ) -> dict[str, Verdict]:
        self.settled.append(settle)
        self.waited.append([one.name for one in services])
        if self.dies:
            raise KeyboardInterrupt
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
    made: Any = stack
    gated: Any = gate
    daemon: Any = SimpleNamespace(
        require_recent=lambda: None, look=lambda _stack: seen, remove=removed.append
    )
    nas = Nas(stack=made, gate=lambda _daemon: gated, daemon=lambda _url: daemon)
    return Rig(nas, stack, gate, seen, removed)


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
    recovered: list[str] = []
    monkeypatch.setattr(nas_module, "recover", lambda *_, prefix, **__: recovered.append(prefix))
    rig.stack.fails = [left]
    rig.up(GOOD)
    assert recovered == [""]
    rig.stack.fails = [left, left]
    with pytest.raises(type(left)):
        rig.up(BETTER)
    assert recovered == ["", ""]


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
