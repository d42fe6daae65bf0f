"""The dynamic provider, called as the engine calls it: what changes, replaces and is kept."""

import asyncio
from typing import Any

import pytest
from pulumi.runtime import rpc

from contracts.errors import SettingsError
from providers.vastai import records
from providers.vastai.errors import AuthFailed, Unavailable
from providers.vastai.instance import DEAD, IDENTITY, InstanceArgs, InstanceProvider
from providers.vastai.start_script import start_args
from tests.unit.test_vastai_cloud import KEY, TAILNET_KEY, FakeCloud, label

Props = dict[str, Any]
SELECTION = {"maxPricePerHour": 0.6, "minReliability": 0.95}
ARGS = InstanceArgs(
    label=label("gpu-a1"),
    gpu="RTX 4090",
    gpu_count=1,
    disk_gb=50,
    image="ollama/ollama:0.12.6",
    env={"OLLAMA_HOST": "0.0.0.0:11434"},
    script="0123456789ab",
    selection=SELECTION,
    endpoint="http://{hostname}.{tailnet}:{port}",
    port=11434,
    tailnet="t.ts.net",
    router="http://router.test:4000",
)


def wire(props: Props) -> Props:
    """Props as the engine hands them over: through protobuf, numbers as floats, None left out."""
    loop = asyncio.new_event_loop()
    try:
        sent = loop.run_until_complete(rpc.serialize_properties(props, {}))
    finally:
        loop.close()
    return rpc.deserialize_properties(sent)


def inputs(**changes: object) -> Props:
    return wire(ARGS.props() | {"__provider": "code"} | changes)


def created(provider: InstanceProvider, **changes: object) -> tuple[str, Props]:
    made = provider.create(inputs(**changes))
    assert made.outs is not None
    return made.id, wire(made.outs)


class TestCheck:
    def test_inputs_pass_as_they_are(self, provider: InstanceProvider) -> None:
        result = provider.check({}, inputs())
        assert (result.inputs, result.failures) == (inputs(), [])

    @pytest.mark.parametrize("bad", [None, "", "mine", "agent-docker/x/gpu/gpu-a1"])
    def test_a_label_that_recovery_cannot_read_is_refused(
        self, provider: InstanceProvider, bad: str | None
    ) -> None:
        (failure,) = provider.check({}, inputs(label=bad)).failures
        assert (failure.property, repr(bad) in failure.reason) == ("label", True)


class TestDiff:
    def test_nothing_changed_is_no_change(self, provider: InstanceProvider) -> None:
        id_, outs = created(provider)
        result = provider.diff(id_, outs, inputs())
        assert (result.changes, result.replaces, result.delete_before_replace) == (False, [], True)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("label", label("gpu-b2")),
            ("gpu", "RTX 5090"),
            ("gpu_count", 2),
            ("disk_gb", 80),
            ("interruptible", True),
            ("generation", 1),
        ],
    )
    def test_identity_replaces(self, provider: InstanceProvider, key: str, value: object) -> None:
        id_, outs = created(provider)
        result = provider.diff(id_, outs, inputs(**{key: value}))
        assert (result.changes, result.replaces) == (True, [key])
        assert result.delete_before_replace

    def test_every_identity_input_is_an_input(self) -> None:
        assert set(IDENTITY) <= set(ARGS.props())

    @pytest.mark.parametrize(
        "change",
        [
            {"selection": SELECTION | {"maxPricePerHour": 0.1}},
            {"selection": SELECTION | {"regions": ["US"]}},
            {"exclude_machines": [101]},
            {"exclude_hosts": [11]},
            {"image": "ollama/ollama:0.13.0"},
            {"env": {"OLLAMA_HOST": "::"}},
            {"script": "ba9876543210"},
            {"port": 1},
            {"tailnet": "other.ts.net"},
            {"endpoint_template": "http://{hostname}"},
        ],
        ids=str,
    )
    def test_selection_and_template_touch_no_machine(
        self, provider: InstanceProvider, change: Props
    ) -> None:
        id_, outs = created(provider)
        result = provider.diff(id_, outs, inputs(**change))
        assert (result.changes, result.replaces) == (False, [])

    @pytest.mark.parametrize(
        "change", [{"revision": 1}, {"router": None}, {"router": "http://b"}, {"__provider": "new"}]
    )
    def test_what_is_written_in_place_updates(
        self, provider: InstanceProvider, change: Props
    ) -> None:
        id_, outs = created(provider)
        result = provider.diff(id_, outs, inputs(**change))
        assert (result.changes, result.replaces) == (True, [])

    @pytest.mark.parametrize(("bid", "changes"), [(0.3, False), (0.4, True)])
    def test_another_bid_updates(
        self, provider: InstanceProvider, bid: float, *, changes: bool
    ) -> None:
        id_, outs = created(provider, bid=0.3, interruptible=True)
        result = provider.diff(id_, outs, inputs(bid=bid, interruptible=True))
        assert (result.changes, result.replaces) == (changes, [])

    @pytest.mark.parametrize("status", sorted(DEAD))
    def test_a_dead_machine_is_replaced(self, provider: InstanceProvider, status: str) -> None:
        id_, outs = created(provider)
        result = provider.diff(id_, outs | {"status": status}, inputs())
        assert (result.changes, result.replaces) == (True, ["status"])

    @pytest.mark.parametrize("edited", [None, "", "mine"])
    def test_an_edited_label_is_seen_and_set_back(
        self, provider: InstanceProvider, cloud: FakeCloud, edited: str | None
    ) -> None:
        id_, outs = created(provider)
        cloud.live[501]["label"] = edited
        seen = wire(provider.read(id_, outs).outs)
        assert provider.diff(id_, seen, inputs()).changes
        after = wire(provider.update(id_, seen, inputs()).outs)
        assert cloud.live[501]["label"] == ARGS.label
        assert provider.diff(id_, after, inputs()).changes is False


class TestCreate:
    def test_it_returns_all_inputs_and_what_is_known(self, provider: InstanceProvider) -> None:
        id_, outs = created(provider)
        assert id_ == "501"
        assert inputs().items() <= outs.items()
        assert {key: outs[key] for key in outs if key not in inputs()} == {
            "contract": 501.0,
            "machine": 101.0,
            "host": 11.0,
            "cost_per_hour": 0.4,
            "status": "loading",
            "live_label": ARGS.label,
            "hostname": "gpu-a1-501",
            "endpoint": "http://gpu-a1-501.t.ts.net:11434",
        }

    def test_the_same_again_adopts(self, provider: InstanceProvider, cloud: FakeCloud) -> None:
        first, second = created(provider), created(provider)
        assert first[0] == second[0]
        assert cloud.count("create") == 1

    @pytest.mark.parametrize(
        ("misfit", "replaces"),
        [
            ({"gpu_name": "RTX 5090"}, ["gpu"]),
            ({"num_gpus": 2}, ["gpu_count"]),
            ({"disk_space": 80.0}, ["disk_gb"]),
            ({"is_bid": True}, ["interruptible"]),
            ({"actual_status": "exited"}, ["status"]),
            ({"disk_space": 50.4}, []),
            (dict.fromkeys(("gpu_name", "num_gpus", "disk_space", "is_bid", "machine_id")), []),
        ],
        ids=str,
    )
    def test_an_adopted_misfit_is_replaced_and_what_is_unknown_is_not(
        self, provider: InstanceProvider, cloud: FakeCloud, misfit: Props, replaces: list[str]
    ) -> None:
        cloud.add(77, **misfit)
        id_, outs = created(provider)
        assert id_ == "77"
        assert provider.diff(id_, outs, inputs()).replaces == replaces

    def test_what_is_rented_is_what_was_asked_for(
        self, provider: InstanceProvider, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Any] = []
        real = cloud._rent
        monkeypatch.setattr(cloud, "_rent", lambda o, b: (seen.append((o, b)), real(o, b))[1])
        created(provider, exclude_machines=[101], exclude_hosts=[12], bid=0.3, interruptible=True)
        offer, body = seen[0]
        assert (offer, body["price"], body["label"]) == (7003, 0.3, ARGS.label)
        assert (body["image"], body["disk"], body["args"]) == (ARGS.image, 50.0, start_args())
        assert body["env"] == {
            "OLLAMA_HOST": "0.0.0.0:11434",
            "AGENT_DOCKER_SLOT": "gpu-a1",
            "TAILSCALE_AUTH_KEY": TAILNET_KEY,
        }

    def test_without_a_tailnet_its_key_is_not_needed(
        self, provider: InstanceProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("TAILSCALE_AUTH_KEY")
        assert "TAILSCALE_AUTH_KEY" not in records.rental(inputs(tailnet=None), {}).env
        assert records.rental(inputs(tailnet=None, env=None, label="odd"), {}).env == {}
        with pytest.raises(SettingsError, match="TAILSCALE_AUTH_KEY is not set"):
            provider.create(inputs())

    def test_an_unreadable_label_has_no_slot(self) -> None:
        assert records.endpoint(inputs(label="odd"), 7)["hostname"] == "-7"


class TestSecrets:
    def test_no_key_is_in_any_input_or_output(
        self, provider: InstanceProvider, cloud: FakeCloud
    ) -> None:
        id_, outs = created(provider)
        cloud.live[501]["extra_env"] = [["TAILSCALE_AUTH_KEY", TAILNET_KEY]]
        read = provider.read(id_, outs).outs
        after = provider.update(id_, outs, inputs(revision=1)).outs
        for text in map(str, (inputs(), outs, read, after)):
            assert KEY not in text
            assert "canary" not in text


class TestRead:
    def test_what_lives_is_read_from_the_one_listing(
        self, provider: InstanceProvider, cloud: FakeCloud
    ) -> None:
        id_, outs = created(provider)
        cloud.live[501] |= {"actual_status": "running", "dph_total": 0.45, "host_id": 12}
        provider.read(id_, outs)
        result = provider.read(id_, outs)
        assert (result.id, result.outs["status"]) == (id_, "running")
        assert (result.outs["cost_per_hour"], result.outs["host"]) == (0.45, 12)
        assert {"extra_env", "onstart", "jupyter_token"}.isdisjoint(result.outs)
        assert (result.outs["script"], result.outs["env"]) == (outs["script"], outs["env"])

    def test_one_listing_serves_all_reads(
        self, provider: InstanceProvider, cloud: FakeCloud
    ) -> None:
        for contract in (901, 902, 903):
            cloud.add(contract)
        for contract in (901, 902, 903):
            assert provider.read(str(contract), {}).id == str(contract)
        assert cloud.calls == ["list"]

    def test_one_that_is_proved_gone_is_empty(
        self, provider: InstanceProvider, cloud: FakeCloud
    ) -> None:
        result = provider.read("999", {"a": 1})
        assert (result.id, result.outs) == (None, {})
        assert cloud.calls == ["list", "show"]

    @pytest.mark.parametrize(("fault", "error"), [("auth_404", AuthFailed), ("503", Unavailable)])
    @pytest.mark.parametrize("where", ["list", "show"])
    def test_one_that_cannot_be_read_is_not_gone(
        self,
        provider: InstanceProvider,
        cloud: FakeCloud,
        where: str,
        fault: str,
        error: type[Exception],
    ) -> None:
        cloud.faults[where] = [fault] * 4
        with pytest.raises(error):
            provider.read("999", {})
