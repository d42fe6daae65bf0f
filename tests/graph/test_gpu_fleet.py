"""The graph of a fleet: one instance a slot, each with its name, parent, inputs and process."""

import pytest

from components.gpu_fleet import GpuFleet, GpuFleetArgs
from contracts.fleet import FleetSettings
from contracts.labels import Label
from contracts.outputs import InstanceOutput
from contracts.program import INSTANCE_TYPE
from contracts.slots import Slot
from providers.vastai.instance import OUTPUTS, InstanceArgs
from providers.vastai.start_script import digest
from tests.graph.conftest import FLEET_TYPE, PROVIDER_TYPE, Graph

OWNER = "0123456789ab"
BASE = {"image": "ollama/ollama:0.12.6", "tailnet": "t.net"}


def build(graph: Graph, *slots: Slot, **changes: object) -> None:
    settings = FleetSettings.model_validate(BASE | changes)
    args = GpuFleetArgs(settings=settings, slots=slots, owner=OWNER, stack="gpu")
    graph.run(lambda: GpuFleet("fleet", args))


def slot(name: str, **fields: object) -> Slot:
    return Slot.model_validate({"name": name, **fields})


def test_one_instance_a_slot_below_the_fleet(graph: Graph) -> None:
    build(graph, slot("gpu-a1"), slot("gpu-b2"))
    (fleet,) = graph.of(FLEET_TYPE)
    assert (fleet.name, fleet.parent) == ("fleet", "agent-docker-gpu")
    machines = graph.of(INSTANCE_TYPE)
    assert [(m.name, m.parent, m.provider) for m in machines] == [
        ("gpu-a1", "fleet", ""),
        ("gpu-b2", "fleet", ""),
    ]
    assert all(machine.delete_before_replace for machine in machines)
    assert len(graph.seen) == 3


def test_no_slots_no_machines(graph: Graph) -> None:
    build(graph)
    assert [resource.type for resource in graph.seen] == [FLEET_TYPE]
    assert graph.registered["fleet"] == {"instances": [], "costPerHour": 0.0}


def test_each_label_names_owner_stack_and_slot(graph: Graph) -> None:
    build(graph, slot("gpu-a1"), slot("gpu-b2"))
    labels = [machine.inputs["label"] for machine in graph.of(INSTANCE_TYPE)]
    assert labels == [str(Label(owner=OWNER, stack="gpu", slot=s)) for s in ("gpu-a1", "gpu-b2")]
    assert all(Label.parse(label) for label in labels)


def test_the_inputs_are_the_settings_and_the_slot(graph: Graph) -> None:
    build(
        graph,
        slot("gpu-a1", generation=2, revision=3, excludeMachines=[7], excludeHosts=[8]),
        gpu="H100 SXM",
        gpuCount=2,
        diskGb=80,
        env={"A": "b"},
        models=["m1", "m2"],
        port=8080,
        router="http://router.test:4000",
        selection={"maxPricePerHour": 3.0},
    )
    (machine,) = graph.of(INSTANCE_TYPE)
    told = machine.inputs
    assert (told["gpu"], told["gpu_count"], told["disk_gb"]) == ("H100 SXM", 2, 80)
    assert (told["generation"], told["revision"]) == (2, 3)
    assert (told["exclude_machines"], told["exclude_hosts"]) == ([7], [8])
    assert told["env"] == {"A": "b", "AGENT_DOCKER_MODELS": "m1,m2"}
    assert (told["port"], told["tailnet"]) == (8080, "t.net")
    assert told["router"] == "http://router.test:4000"
    assert told["selection"]["maxPricePerHour"] == 3.0
    assert (told["image"], told["script"]) == ("ollama/ollama:0.12.6", digest())


def test_what_only_renting_knows_is_no_input(graph: Graph) -> None:
    build(graph, slot("gpu-a1"))
    (machine,) = graph.of(INSTANCE_TYPE)
    # None stands for an output; the engine drops it, so it is never compared.
    assert set(machine.inputs).isdisjoint(OUTPUTS)
    assert set(machine.inputs) <= {*InstanceArgs.__dataclass_fields__} | {
        "interruptible",
        "endpoint_template",
        "__provider",
    }


@pytest.mark.parametrize(("bid", "interruptible"), [(None, False), (0.3, True)])
def test_a_bid_makes_it_interruptible(
    graph: Graph, bid: float | None, *, interruptible: bool
) -> None:
    build(graph, slot("gpu-a1"), bidPerHour=bid)
    (machine,) = graph.of(INSTANCE_TYPE)
    assert (machine.inputs["interruptible"], machine.inputs.get("bid")) == (interruptible, bid)


def test_shards_are_processes_of_their_own(graph: Graph) -> None:
    slots = [slot(f"gpu-s{n}", shard=n % 3) for n in range(5)]
    build(graph, *slots)
    providers = graph.of(PROVIDER_TYPE)
    assert [(p.name, p.parent) for p in providers] == [("shard-1", "fleet"), ("shard-2", "fleet")]
    served = {machine.name: machine.provider for machine in graph.of(INSTANCE_TYPE)}
    assert served == {
        "gpu-s0": "",
        "gpu-s1": "shard-1",
        "gpu-s2": "shard-2",
        "gpu-s3": "",
        "gpu-s4": "shard-1",
    }


def test_its_outputs_are_one_record_a_machine_and_the_sum(graph: Graph) -> None:
    build(graph, slot("gpu-a1", revision=1), slot("gpu-b2"))
    told = graph.registered["fleet"]
    assert told["costPerHour"] == pytest.approx(0.8)
    records = [InstanceOutput.model_validate(record) for record in told["instances"]]
    assert [record.slot for record in records] == ["gpu-a1", "gpu-b2"]
    first = records[0]
    assert first.endpoint == f"http://gpu-a1-{first.contract}.t.net:11434"
    assert (first.gpu, first.gpu_count, first.image) == ("RTX 4090", 1, "ollama/ollama:0.12.6")
    assert (first.machine, first.host, first.status) == (first.contract - 400, 7, "loading")
    assert (first.revision, first.cost_per_hour) == (1, 0.4)
