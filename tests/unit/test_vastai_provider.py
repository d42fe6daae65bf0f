"""Update and delete of the dynamic provider, and what of it is frozen in every state file."""

import base64
import inspect
import re
from importlib import resources

import dill
import pulumi
import pulumi.runtime.sync_await
import pytest
from pulumi.dynamic import dynamic

from contracts.errors import SettingsError
from contracts.program import INSTANCE_TYPE
from providers.vastai import instance as module
from providers.vastai import records
from providers.vastai import runtime as runtime_module
from providers.vastai.credentials import tailnet_key
from providers.vastai.errors import AuthFailed
from providers.vastai.instance import DEAD, InstanceProvider
from providers.vastai.models import Instance as LiveInstance
from providers.vastai.records import status
from providers.vastai.runtime import runtime
from providers.vastai.start_script import ENTRYPOINT, start_args
from tests.unit.test_vastai_cloud import KEY, TAILNET_KEY, URL, FakeCloud, instance_row
from tests.unit.test_vastai_instance import ARGS, Props, created, inputs, wire

TEMPLATE = {"image": "ollama/ollama:0.13.0", "env": {"A": "b"}, "script": "ba9876543210"}


class TestUpdate:
    def update(self, provider: InstanceProvider, **changes: object) -> tuple[Props, Props]:
        id_, outs = created(provider)
        result = provider.update(id_, outs, inputs(**changes))
        assert result.outs is not None
        return outs, wire(result.outs)

    def test_a_new_revision_writes_the_template_and_recycles(
        self, provider: InstanceProvider, cloud: FakeCloud
    ) -> None:
        _, after = self.update(provider, revision=1, **TEMPLATE)
        (change,) = cloud.changes
        assert change[0] == "update_template"
        assert change[1] == {
            "id": 501,
            "recycle": True,
            "image": "ollama/ollama:0.13.0",
            "env": {"A": "b", "AGENT_DOCKER_SLOT": "gpu-a1", "TAILSCALE_AUTH_KEY": TAILNET_KEY},
            "onstart": ENTRYPOINT,
            "args": start_args(),
        }
        assert after["revision"] == 1
        assert TEMPLATE.items() <= after.items()

    def test_without_one_the_old_template_is_still_what_runs(
        self, provider: InstanceProvider, cloud: FakeCloud
    ) -> None:
        before, after = self.update(provider, router="http://new.test", **TEMPLATE)
        assert cloud.changes == []
        assert {key: after[key] for key in TEMPLATE} == {key: before[key] for key in TEMPLATE}
        assert after["router"] == "http://new.test"

    def test_a_new_bid_is_sent(self, provider: InstanceProvider, cloud: FakeCloud) -> None:
        id_, outs = created(provider, bid=0.3, interruptible=True)
        after = provider.update(id_, outs, inputs(bid=0.4, interruptible=True)).outs
        assert cloud.changes == [("bid_price", {"client_id": "me", "price": 0.4})]
        assert after["bid"] == 0.4

    def test_what_is_known_of_the_machine_is_kept(self, provider: InstanceProvider) -> None:
        before, after = self.update(provider, __provider="moved")
        assert after == before | {"__provider": "moved"}

    def test_a_setting_that_was_removed_does_not_live_on(self, provider: InstanceProvider) -> None:
        _, after = self.update(provider, router=None)
        assert "router" not in after

    def test_a_failed_change_is_not_recorded(
        self, provider: InstanceProvider, cloud: FakeCloud
    ) -> None:
        cloud.faults["change"] = ["auth_404"]
        with pytest.raises(AuthFailed):
            self.update(provider, revision=1)


class TestDelete:
    def test_it_deregisters_and_ends(
        self, provider: InstanceProvider, cloud: FakeCloud, told: list[tuple[str, str]]
    ) -> None:
        id_, outs = created(provider)
        provider.delete(id_, outs)
        assert cloud.live == {}
        assert told == [("http://router.test:4000", "http://gpu-a1-501.t.ts.net:11434")]

    def test_without_a_router_nobody_is_told(
        self, provider: InstanceProvider, cloud: FakeCloud, told: list[tuple[str, str]]
    ) -> None:
        id_, outs = created(provider, router=None)
        provider.delete(id_, outs)
        assert (cloud.live, told) == ({}, [])

    @pytest.mark.parametrize(("state", "last"), [("exited", True), ("running", False)])
    def test_a_replacement_avoids_the_machine_where_it_died(
        self,
        provider: InstanceProvider,
        told: list[tuple[str, str]],
        state: str,
        *,
        last: bool,
    ) -> None:
        id_, outs = created(provider)
        provider.delete(id_, outs | {"status": state})
        again, after = created(provider)
        assert (again, after["machine"] != 101.0) == ("502", True)
        ranked = module.runtime().session.choice(records.want(inputs())).ranked
        assert (101 in [offer.machine_id for offer in ranked]) is False
        avoided = module.runtime().session._read().get("avoid", [])
        assert avoided == ([101] if last else [])
        assert len(told) == 1

    def test_a_dead_one_on_an_unknown_machine(
        self, provider: InstanceProvider, cloud: FakeCloud, told: list[tuple[str, str]]
    ) -> None:
        id_, outs = created(provider)
        provider.delete(id_, {key: outs[key] for key in ("label",)} | {"status": "exited"})
        assert (cloud.live, told) == ({}, [])

    def test_a_refused_key_keeps_it_in_state(
        self, provider: InstanceProvider, cloud: FakeCloud, told: list[tuple[str, str]]
    ) -> None:
        id_, outs = created(provider)
        cloud.faults["destroy"] = ["auth_404"]
        with pytest.raises(AuthFailed):
            provider.delete(id_, outs)
        assert (list(cloud.live), len(told)) == ([501], 1)


class TestStatus:
    @pytest.mark.parametrize(
        ("row", "word"),
        [
            ({"actual_status": None}, "loading"),
            ({"actual_status": "running"}, "running"),
            ({"actual_status": "stopped"}, "stopped"),
            ({"actual_status": "stopped", "is_bid": True}, "outbid"),
            ({"actual_status": "exited", "is_bid": True}, "outbid"),
            ({"actual_status": "stopped", "is_bid": True, "intended_status": "stopped"}, "stopped"),
            ({"actual_status": "running", "is_bid": True}, "running"),
        ],
        ids=str,
    )
    def test_it_is_one_word(self, row: Props, word: str) -> None:
        assert status(LiveInstance.model_validate(instance_row(**row))) == word

    def test_only_what_never_returns_is_dead(self) -> None:
        assert frozenset({"exited", "offline", "unknown", "outbid"}) == DEAD


class TestRuntime:
    @pytest.fixture(autouse=True)
    def _fresh(self, monkeypatch: pytest.MonkeyPatch, cloud: FakeCloud) -> None:
        runtime_module._build.cache_clear()
        monkeypatch.setenv("VASTAI_API_KEY", KEY)
        monkeypatch.delenv("VAST_API_KEY", raising=False)
        monkeypatch.setenv("VAST_URL", URL)
        monkeypatch.setenv("AGENT_DOCKER_RUN_DIR", str(cloud.folder))

    def test_a_process_has_one(self) -> None:
        assert runtime() is runtime()
        assert module.runtime() is runtime()
        assert runtime().renter.client is runtime().client is runtime().session._client
        runtime_module._build.cache_clear()

    def test_a_missing_key_is_told_each_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("VASTAI_API_KEY")
        for _ in range(2):
            with pytest.raises(SettingsError, match="VASTAI_API_KEY is not set"):
                runtime()

    @pytest.mark.parametrize("blank", [{}, {"TAILSCALE_AUTH_KEY": " "}])
    def test_a_blank_tailnet_key_is_refused(self, blank: dict[str, str]) -> None:
        with pytest.raises(SettingsError, match="TAILSCALE_AUTH_KEY is not set"):
            tailnet_key(blank)
        assert tailnet_key({"TAILSCALE_AUTH_KEY": f" {TAILNET_KEY}\n"}) == TAILNET_KEY


class TestFrozen:
    """State files of every release name these; a change would strand or replace machines."""

    def test_the_type_and_the_module(self) -> None:
        assert INSTANCE_TYPE == "pulumi-python:dynamic/vastai:Instance"
        assert module.Instance._resource_type_name == "dynamic/vastai:Instance"
        assert (module.__name__, InstanceProvider.__qualname__) == (
            "providers.vastai.instance",
            "InstanceProvider",
        )

    def test_the_provider_is_pickled_by_reference_and_without_secrets(
        self, provider: InstanceProvider
    ) -> None:
        text = dynamic.serialize_provider(provider)
        assert isinstance(text, str)
        raw = base64.b64decode(text)
        assert len(raw) < 100
        assert b"providers.vastai.instance" in raw
        assert KEY.encode() not in raw
        assert TAILNET_KEY.encode() not in raw
        assert isinstance(dill.loads(raw), InstanceProvider)  # noqa: S301 - our own bytes
        assert provider.serialize_as_secret_always is False
        assert vars(provider) == {}

    def test_replacing_deletes_first_also_when_diff_is_not_asked(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[pulumi.ResourceOptions] = []
        monkeypatch.setattr(
            module.Resource, "__init__", lambda *args: seen.append(args[4]) if args else None
        )
        module.Instance("gpu-a1", ARGS)
        module.Instance("gpu-a1", ARGS, pulumi.ResourceOptions(protect=True))
        assert [opts.delete_before_replace for opts in seen] == [True, True]
        assert [opts.protect for opts in seen] == [None, True]


class TestSdk:
    """Facts of the pinned Pulumi SDK on which the design rests."""

    def test_a_provider_process_runs_four_operations(self) -> None:
        source = resources.files("pulumi.dynamic").joinpath("__main__.py").read_text()
        assert re.findall(r"max_workers=(\d+)", source) == ["4"]

    def test_a_coroutine_can_be_waited_for_while_the_program_runs(self) -> None:
        found = pulumi.runtime.sync_await._sync_await
        assert list(inspect.signature(found).parameters) == ["awaitable"]

    def test_none_is_left_out_on_the_wire(self) -> None:
        assert wire({"a": None, "b": {"c": None}, "d": 1}) == {"b": {}, "d": 1.0}
