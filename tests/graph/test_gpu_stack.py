"""Which slots an update has, what it exports, and when it refuses to run."""

import os
from collections.abc import Callable
from typing import Any, Self

import pulumi
import pytest

from contracts.fleet import FleetSettings
from contracts.outputs import GPU_OUTPUTS
from contracts.program import INSTANCE_TYPE, PROGRAM_VERSION
from contracts.slots import Namer, SlotSet, reconcile
from localcloud.vastai.server import running_cloud
from providers.vastai.client import VastClient
from providers.vastai.credentials import Credentials
from providers.vastai.errors import AuthFailed, VastError
from providers.vastai.models import Instance, Rental
from stacks import gpu
from tests.graph.conftest import Graph

OWNER = "0123456789ab"
FLEET = {"image": "ollama/ollama:0.12.6", "tailnet": "t.net", "min": 2}
NAMER = Namer(owner=OWNER, stack="gpu")
LAST = reconcile(SlotSet(), 4, minimum=0, maximum=9, namer=NAMER)

Run = Callable[..., dict[str, Any]]


def label(slot: str, *, owner: str = OWNER, stack: str = "gpu") -> str:
    return f"agent-docker/{owner}/{stack}/{slot}"


def dump(slots: SlotSet) -> dict[str, Any]:
    """As a StackReference gives it back: numbers are floats."""
    return slots.model_dump(mode="json") | {"issued": float(slots.issued)}


class Account:
    """The account as the program sees it: who lives, and which GPUs there are."""

    def __init__(self, live: tuple[str | None, ...] | VastError) -> None:
        self.live = live

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def instances(self) -> list[Instance]:
        if isinstance(self.live, VastError):
            raise self.live
        return [Instance(id=n, label=text) for n, text in enumerate(self.live)]

    def gpu_names(self) -> list[str]:
        return ["RTX 4090", "RTX 3090"]


@pytest.fixture
def run(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Build the stack with these settings, last outputs and live labels."""
    monkeypatch.delenv("AGENT_DOCKER_OFFLINE", raising=False)
    monkeypatch.setenv("TAILSCALE_AUTH_KEY", "tskey-of-a-test")

    def build(
        *,
        live: tuple[str | None, ...] | VastError = (),
        last: SlotSet | None = None,
        without: str = "",
        recorded: dict[str, Any] | None = None,
        **config: Any,  # noqa: ANN401 - settings of any shape
    ) -> dict[str, Any]:
        monkeypatch.setattr(gpu, "_client", lambda: Account(live))
        graph.last = ({} if last is None else {"slots": dump(last)}) | (recorded or {})
        graph.config = {"fleet": FLEET, "owner": OWNER} | config
        graph.config.pop(without, None)
        return graph.run(gpu.build)

    return build


def names(graph: Graph) -> list[str]:
    return [machine.name for machine in graph.of(INSTANCE_TYPE)]


def test_the_first_update_has_the_fewest_slots(graph: Graph, run: Run) -> None:
    exports = run()
    assert exports["slots"]["issued"] == 2
    assert sorted(slot["name"] for slot in exports["slots"]["slots"]) == names(graph)
    assert len(names(graph)) == 2


def test_auto_keeps_the_last_slots(graph: Graph, run: Run) -> None:
    live = tuple(label(name) for name in LAST.names)
    exports = run(last=LAST, live=live)
    assert SlotSet.model_validate(exports["slots"]) == LAST
    assert names(graph) == sorted(LAST.names)


def test_a_number_is_the_count(graph: Graph, run: Run) -> None:
    run(last=LAST, fleet=FLEET | {"desired": 3})
    assert names(graph) == sorted(LAST.names[:3])


def test_explicit_slots_are_taken_as_they_are(graph: Graph, run: Run) -> None:
    asked = SlotSet(slots=LAST.slots[2:], issued=LAST.issued)
    exports = run(last=LAST, slots=dump(asked), live=(label(LAST.names[0]),))
    assert names(graph) == sorted(asked.names)
    assert SlotSet.model_validate(exports["slots"]) == asked


def test_the_exports_are_those_of_the_contract(run: Run) -> None:
    exports = run()
    assert tuple(exports) == GPU_OUTPUTS
    assert (exports["owner"], exports["program"]) == (OWNER, PROGRAM_VERSION)
    assert exports["healthPath"] == FleetSettings.model_validate(FLEET).health_path
    assert exports["costPerHour"] == pytest.approx(0.8)
    assert [record["slot"] for record in exports["instances"]] == [
        slot["name"] for slot in exports["slots"]["slots"]
    ]


def test_names_follow_the_stack_and_the_owner(graph: Graph, run: Run) -> None:
    run()
    first = names(graph)
    graph.stack = "gpu-two"
    run()
    assert not set(first) & set(names(graph))
    assert graph.of(INSTANCE_TYPE)[0].inputs["label"].split("/")[2] == "gpu-two"


class TestRefusals:
    def refused(self, graph: Graph, run: Run, **case: Any) -> str:  # noqa: ANN401
        with pytest.raises(pulumi.RunError) as caught:
            run(**case)
        assert names(graph) == []
        return str(caught.value)

    def test_a_machine_that_no_slot_accounts_for(self, graph: Graph, run: Run) -> None:
        text = self.refused(graph, run, last=LAST, live=(label("gpu-zz"),))
        assert "gpu-zz lives but is in no slot of the last update" in text
        assert "`agent-docker recover gpu --production`" in text

    def test_two_machines_in_a_slot(self, graph: Graph, run: Run) -> None:
        text = self.refused(graph, run, last=LAST, live=(label(LAST.names[0]),) * 2)
        assert f"{LAST.names[0]} has 2 machines" in text

    def test_before_the_first_update_too(self, graph: Graph, run: Run) -> None:
        assert "gpu-zz lives" in self.refused(graph, run, live=(label("gpu-zz"),))

    def test_the_local_profile_names_its_own_command(
        self, graph: Graph, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AGENT_DOCKER_OFFLINE", "1")
        text = self.refused(graph, run, live=(label("gpu-zz"),))
        assert "run `agent-docker recover gpu`" in text

    def test_labels_of_others_are_none_of_its_business(self, graph: Graph, run: Run) -> None:
        others = (label("gpu-zz", owner="f" * 12), label("gpu-zz", stack="x"), None, "mine")
        run(live=others)
        assert len(names(graph)) == 2

    def test_without_an_owner(self, graph: Graph, run: Run) -> None:
        text = self.refused(graph, run, without="owner")
        assert "has no agent-docker:owner" in text
        assert "agent-docker init gpu" in text

    @pytest.mark.parametrize("owner", ["short", "UPPERCASE", "with/slash0"])
    def test_with_an_owner_that_no_label_can_carry(
        self, graph: Graph, run: Run, owner: str
    ) -> None:
        assert repr(owner) in self.refused(graph, run, owner=owner)

    def test_without_a_fleet(self, graph: Graph, run: Run) -> None:
        text = self.refused(graph, run, without="fleet")
        assert text == "Pulumi.gpu.yaml: agent-docker:fleet is required"

    def test_with_wrong_settings(self, graph: Graph, run: Run) -> None:
        text = self.refused(graph, run, fleet=FLEET | {"max": 0, "typo": 1})
        assert "fleet.max: " in text
        assert "fleet.typo: is not a setting" in text

    def test_with_more_slots_than_the_most(self, graph: Graph, run: Run) -> None:
        fleet = FLEET | {"max": 3}
        assert "fleet.max is 3" in self.refused(graph, run, fleet=fleet, slots=dump(LAST))

    def test_with_slots_that_are_none(self, graph: Graph, run: Run) -> None:
        text = self.refused(graph, run, slots={"slots": [{"name": "GPU"}]})
        assert "slots.slots.0.name: " in text

    def test_when_the_account_cannot_be_read(self, graph: Graph, run: Run) -> None:
        error = AuthFailed("Vast.ai does not accept the key", hint="check it")
        text = self.refused(graph, run, live=error)
        assert text == "Vast.ai does not accept the key\nhint: check it"

    def test_a_gpu_that_does_not_exist(self, graph: Graph, run: Run) -> None:
        text = self.refused(graph, run, last=LAST, fleet=FLEET | {"gpu": "RTX_4090"})
        assert "'RTX_4090' is no GPU that Vast.ai knows, it knows RTX 4090" in text

    def test_a_gpu_that_the_fleet_has_is_not_asked_about(self, graph: Graph, run: Run) -> None:
        recorded = {"instances": [{"gpu": "Odd 1"}]}
        run(last=LAST, recorded=recorded, fleet=FLEET | {"gpu": "Odd 1"})
        assert len(names(graph)) == 4

    def test_another_owner_while_machines_are_recorded(self, graph: Graph, run: Run) -> None:
        recorded = {"owner": "f" * 12, "instances": [{"gpu": "RTX 4090"}]}
        text = self.refused(graph, run, last=LAST, recorded=recorded)
        assert "'0123456789ab', the last update's machines have 'ffffffffffff'" in text

    def test_another_owner_of_an_empty_fleet(self, graph: Graph, run: Run) -> None:
        run(recorded={"owner": "f" * 12, "instances": []})
        assert len(names(graph)) == 2

    def test_without_the_tailnets_key(
        self, graph: Graph, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("TAILSCALE_AUTH_KEY")
        assert "TAILSCALE_AUTH_KEY is not set" in self.refused(graph, run, last=LAST)


def test_the_account_is_that_of_the_environment(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_cloud(offers=20, key="local-key") as cloud:
        monkeypatch.setenv("VASTAI_API_KEY", "local-key")
        monkeypatch.setenv("TAILSCALE_AUTH_KEY", "tskey-of-a-test")
        monkeypatch.delenv("VAST_API_KEY", raising=False)
        monkeypatch.setenv("VAST_URL", cloud.url)
        monkeypatch.setenv("AGENT_DOCKER_VAST_PACE", "off")
        with VastClient(Credentials.read(os.environ)) as client:
            (offer, *_) = client.search({})
            client.create(offer.id, Rental(image="i:1", disk=10.0, label=label("gpu-a1")))
        graph.config = {"fleet": FLEET, "owner": OWNER}
        with pytest.raises(pulumi.RunError, match="gpu-a1 lives but is in no slot"):
            graph.run(gpu.build)


# The fence, and the base.


@pytest.mark.parametrize(
    ("given", "recorded", "exported"),
    [(None, None, None), (None, 3.0, 3), (4, 3.0, 4), (3, 3.0, 3), (1, None, 1)],
)
def test_an_update_records_the_number_of_its_lease(
    run: Run, given: int | None, recorded: float | None, exported: int | None
) -> None:
    config = {} if given is None else {"fence": given}
    assert run(last=LAST, recorded={"fence": recorded}, **config)["fence"] == exported


def test_an_update_under_a_lease_that_was_taken_over_is_refused(run: Run, graph: Graph) -> None:
    with pytest.raises(pulumi.RunError, match="taken over: it has number 2, the last update had 3"):
        run(last=LAST, recorded={"fence": 3.0}, fence=2)
    assert not graph.of(INSTANCE_TYPE)


@pytest.mark.parametrize(
    ("base", "recorded", "number"), [(None, None, 1), (None, 4.0, 5), (4, 4.0, 5), (0, None, 1)]
)
def test_updates_are_counted(
    run: Run, base: int | None, recorded: float | None, number: int
) -> None:
    config = {} if base is None else {"base": base}
    assert run(last=LAST, recorded={"updates": recorded}, **config)["updates"] == number


@pytest.mark.parametrize("base", [0, 3, 5])
def test_an_update_that_was_planned_from_another_state_is_refused(
    run: Run, graph: Graph, base: int
) -> None:
    with pytest.raises(pulumi.RunError, match=f"it has had 4 updates, {base} when"):
        run(last=LAST, recorded={"updates": 4.0}, base=base)
    assert not graph.of(INSTANCE_TYPE)


def test_the_settings_are_recorded_as_they_were_given(run: Run) -> None:
    assert run(last=LAST)["fleet"] == FLEET
