"""Reading a stack's export, whole or cut off."""

from typing import Any

import pytest

from contracts.program import INSTANCE_TYPE
from operations.state import RecordedResource, StackState, read

ROOT = "urn:pulumi:gpu::agent-docker::pulumi:pulumi:Stack::agent-docker-gpu"
PROVIDER = "urn:pulumi:gpu::agent-docker::agent-docker:gpu:GpuFleet$pulumi:providers:pulumi-python"


def urn(slot: str) -> str:
    return f"urn:pulumi:gpu::agent-docker::agent-docker:gpu:GpuFleet${INSTANCE_TYPE}::{slot}"


def row(slot: str, contract: str = "7", **more: object) -> dict[str, Any]:
    outputs = {"status": "running", "generation": 2.0, "revision": 1.0}
    return {"urn": urn(slot), "type": INSTANCE_TYPE, "id": contract, "outputs": outputs} | more


def stack(**outputs: object) -> dict[str, Any]:
    return {"urn": ROOT, "type": "pulumi:pulumi:Stack", "outputs": outputs}


@pytest.mark.parametrize("nothing", [None, {}, {"resources": None}, {"pending_operations": None}])
def test_a_stack_that_was_never_updated_is_empty(nothing: dict[str, Any] | None) -> None:
    found = read(nothing)
    assert found == StackState()
    assert found.slots is None
    assert found.slot_names == ()


def test_machines_and_outputs_are_read() -> None:
    slots = {"slots": [{"name": "gpu-a", "excludeMachines": [1]}], "issued": 4}
    found = read({"resources": [stack(slots=slots), row("gpu-a")]})
    (machine,) = found.machines
    assert (machine.slot, machine.contract, machine.status) == ("gpu-a", 7, "running")
    assert (machine.generation, machine.revision, machine.shard) == (2, 1, 0)
    assert found.slots is not None
    assert (found.slots.names, found.slots.issued) == (("gpu-a",), 4)
    assert found.resources == 2


@pytest.mark.parametrize(
    ("provider", "shard"),
    [
        (f"{PROVIDER}::shard-3::5f1c", 3),
        (f"{PROVIDER}::shard-12::5f1c", 12),
        (f"{PROVIDER}::default::5f1c", 0),
        (f"{PROVIDER}::shard-::5f1c", 0),
        (f"{PROVIDER}::shard-x1::5f1c", 0),
        ("", 0),
    ],
)
def test_the_shard_is_the_number_in_the_providers_name(provider: str, shard: int) -> None:
    assert read({"resources": [row("gpu-a", provider=provider)]}).machines[0].shard == shard


@pytest.mark.parametrize("mark", ["delete", "pendingReplacement"])
def test_what_a_replacement_left_half_done_is_no_machine(mark: str) -> None:
    found = read({"resources": [row("gpu-a", "1", **{mark: True}), row("gpu-b", "2")]})
    assert [machine.slot for machine in found.machines] == ["gpu-b"]


def test_a_resource_without_an_id_is_no_machine() -> None:
    assert read({"resources": [row("gpu-a", "")]}).machines == ()


def test_only_creates_of_machines_are_pending() -> None:
    operations = [
        {"type": "creating", "resource": {"urn": urn("gpu-cut"), "type": INSTANCE_TYPE}},
        {"type": "deleting", "resource": {"urn": urn("gpu-gone"), "type": INSTANCE_TYPE}},
        {"type": "creating", "resource": {"urn": ROOT, "type": "pulumi:pulumi:Stack"}},
    ]
    found = read({"resources": [row("gpu-a")], "pending_operations": operations})
    assert found.pending == ("gpu-cut",)
    assert found.slot_names == ("gpu-a", "gpu-cut")


def test_what_was_taken_over_has_the_id_that_it_was_taken_over_by() -> None:
    kind = "cloudflare:index/dnsRecord:DnsRecord"
    urns = {name: f"urn:pulumi:nas::agent-docker::{kind}::{name}" for name in ("docs", "wiki")}
    found = read(
        {
            "resources": [
                {"urn": urns["docs"], "type": kind, "id": "1", "importID": "zone/1"},
                {"urn": urns["wiki"], "type": kind, "id": "2"},
                # Of a half-done replacement the old one is gone.
                {"urn": urns["wiki"], "type": kind, "id": "3", "pendingReplacement": True},
                {"urn": ROOT, "type": "pulumi:pulumi:Stack"},
            ]
        }
    )
    assert found.there == (
        RecordedResource(kind=kind, name="docs", id="1", imported="zone/1"),
        RecordedResource(kind=kind, name="wiki", id="2"),
    )
    assert found.ids == {"1", "2"}
