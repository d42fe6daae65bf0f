"""Every command through typer's runner, with a fleet that only remembers what it was asked."""

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner, Result

from cli import app as commands
from cli import context, gpu_changes, health, observe
from cli.app import app
from cli.doctor import Check
from cli.ending import mistakes
from cli.files import LocalFiles
from cli.profile import Profile
from cli.views import FleetView, show_rows
from contracts.errors import AgentDockerError
from contracts.fleet import FleetSettings
from contracts.outputs import InstanceOutput
from contracts.slots import Namer, SlotSet
from operations.fleet import Fleet, Known, Recovery
from operations.stack import Applied
from operations.state import RecordedMachine, StackState
from operations.target import Target
from providers.vastai.models import Instance, Offer
from tests.unit.test_cli_router import Router, stand_in

SLOTS = ("gpu-a1", "gpu-b2")


def record(slot: str, contract: int) -> dict[str, Any]:
    return {
        "slot": slot,
        "contract": contract,
        "machine": contract + 1000,
        "gpu": "RTX 4090",
        "gpuCount": 1,
        "costPerHour": 0.3,
        "endpoint": f"http://{slot}.test",
        "status": "running",
        "image": "ollama/ollama:0.12.6",
    }


def state(names: Sequence[str] = SLOTS) -> StackState:
    return StackState(
        outputs={
            "slots": {"slots": [{"name": name} for name in names], "issued": len(names)},
            "instances": [record(name, 11 + n) for n, name in enumerate(names)],
            "healthPath": "/api/version",
        },
        machines=tuple(
            RecordedMachine(slot=name, contract=11 + n, shard=0, status="running")
            for n, name in enumerate(names)
        ),
    )


def machine(contract: int, **values: Any) -> Instance:  # noqa: ANN401 - fields of a record
    row = {"id": contract, "machine_id": contract + 1000, "dph_total": 0.25}
    return Instance.model_validate({**row, "actual_status": "running", **values})


@dataclass
class FakeFleet:
    """What a `Fleet` is to the commands."""

    now: StackState = field(default_factory=state)
    settings: dict[str, Any] = field(default_factory=dict)
    live: dict[str, list[Instance]] = field(default_factory=dict)
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    found: Recovery = field(default_factory=lambda: Recovery(slots=SLOTS))

    def known(self) -> Known:
        document = {"image": "ollama/ollama:0.12.6", "endpoint": "http://{slot}", **self.settings}
        fleet = FleetSettings.model_validate(document)
        return Known(state=self.now, fleet=fleet, namer=Namer(owner="0" * 12, stack="gpu"))

    def instances(self, seen: StackState) -> list[InstanceOutput]:
        return [InstanceOutput.model_validate(row) for row in seen.outputs["instances"]]

    def live_of(self, _known: Known) -> Mapping[str, list[Instance]]:
        return self.live

    def resize(self, count: int, *, victims: Sequence[str]) -> Applied:
        self.asked.append(("resize", count, tuple(victims)))
        return Applied(changed=True, state=state(SLOTS[:count]))

    def replace(self, slot: str) -> Applied:
        self.asked.append(("replace", slot))
        return Applied(changed=True, state=self.now)

    def roll(self, slot: str) -> None:
        self.asked.append(("roll", slot))

    def recover(self) -> Recovery:
        self.asked.append(("recover",))
        return self.found

    @property
    def stack(self) -> Any:  # noqa: ANN401 - only its target's name is looked at
        class Stack:
            target = Target(stack="gpu", env={}, state=Path())

        return Stack()


@dataclass
class FakeVast:
    offers: list[Offer] = field(default_factory=list)

    def search(self, query: Mapping[str, Any]) -> list[Offer]:
        assert query["gpu_name"] == {"eq": "RTX 4090"}
        return self.offers

    def logs(self, contract: int, *, tail: int) -> str:
        return f"{contract} [bold]said\nso {tail}\n"


@dataclass
class Rig:
    fleet: FakeFleet
    vast: FakeVast
    files: LocalFiles
    runner: CliRunner = field(default_factory=CliRunner)

    def run(self, *arguments: str) -> Result:
        result = self.runner.invoke(app, arguments)
        if result.exception and not isinstance(result.exception, SystemExit):
            with pytest.raises(SystemExit) as caught, mistakes(arguments):
                raise result.exception
            result.exit_code = int(str(caught.value.code))
        return result

    def json(self, *arguments: str) -> Any:  # noqa: ANN401 - any document
        return json.loads(self.run(*arguments, "--json").stdout)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rig:
    live = {"gpu-a1": [machine(11)], "gpu-b2": [machine(12, actual_status=None)]}
    made = Rig(FakeFleet(live=live), FakeVast(), LocalFiles(folder=tmp_path))

    @dataclass
    class FakeProfile:
        kind: str = "local"
        files: LocalFiles | None = made.files

        def fleet(self, _on_event: object) -> FakeFleet:
            return made.fleet

        def vast(self) -> AbstractContextManager[FakeVast]:
            return nullcontext(made.vast)

    local, production = FakeProfile(), FakeProfile("production", None)
    monkeypatch.setattr(context, "local_profile", lambda _env: cast("Profile", local))
    monkeypatch.setattr(
        context, "production_profile", lambda _stack, _env: cast("Profile", production)
    )
    monkeypatch.setattr(health, "answers", lambda url: url == "http://gpu-a1.test/api/version")
    return made


@pytest.fixture
def router() -> Any:  # noqa: ANN401 - a generator
    with stand_in() as serving:
        yield serving


def offer(**values: Any) -> Offer:  # noqa: ANN401 - fields of a record
    row = {
        "id": 1,
        "machine_id": 2,
        "host_id": 3,
        "gpu_name": "RTX 4090",
        "num_gpus": 1,
        "gpu_ram": 24500,
        "cpu_ram": 64000,
        "cpu_cores": 16,
        "cpu_cores_effective": 16,
        "disk_space": 500,
        "dph_total": 0.3,
        "dlperf": 90,
        "reliability2": 0.99,
        "verification": "verified",
        "inet_up": 500,
        "inet_down": 500,
        "cuda_max_good": 12.4,
        "duration": 1e6,
        "geolocation": "Texas, US",
    }
    return Offer.model_validate({**row, **values})


def test_status_tells_what_lives_and_what_answers(rig: Rig) -> None:
    result = rig.run("status")
    assert result.exit_code == 1, "gpu-b2 does not answer"
    assert "1 of 2 machines answer, $0.500/h" in result.stdout
    seen = rig.json("status")
    assert [(s["slot"], s["status"], s["healthy"]) for s in seen["slots"]] == [
        ("gpu-a1", "running", True),
        ("gpu-b2", "loading", False),
    ]
    assert (seen["healthy"], seen["costPerHour"], seen["profile"]) == (False, 0.5, "local")


def test_status_names_orphans_and_what_is_gone(rig: Rig) -> None:
    rig.fleet.live = {"gpu-c3": [machine(99, label="agent-docker/x/gpu/gpu-c3")]}
    result = rig.run("status")
    assert "gone" in result.stdout
    assert "recover gpu" in result.stdout
    seen = rig.json("status")
    assert seen["orphans"] == ["agent-docker/x/gpu/gpu-c3 (contract 99)"]
    assert seen["costPerHour"] == 0.25, "an orphan costs money too"
    assert not any(slot["healthy"] for slot in seen["slots"]), "an address may be reused"


def test_a_fleet_without_slots_is_healthy(rig: Rig) -> None:
    rig.fleet.now, rig.fleet.live = StackState(outputs={"instances": []}), {}
    assert rig.run("status").exit_code == 0
    assert rig.json("gpu", "instances") == []
    assert "none" in rig.run("gpu", "instances").stdout


def test_instances_tell_the_known_from_orphans(rig: Rig) -> None:
    rig.fleet.live["gpu-c3"] = [machine(99)]
    rows = rig.json("gpu", "instances")
    assert {row["contract"]: row["known"] for row in rows} == {11: True, 12: True, 99: False}
    assert "no: orphan" in rig.run("gpu", "instances").stdout


def test_offers_are_ranked_and_refusals_have_reasons(rig: Rig) -> None:
    rig.vast.offers = [offer(), offer(id=4, dph_total=0.2), offer(id=5, dph_total=3.0)]
    assert [row["offer"] for row in rig.json("gpu", "offers")] == [4, 1]
    assert "2 offers fit" in rig.run("gpu", "offers", "--limit", "1").stdout
    refused = rig.json("gpu", "offers", "--refused")
    assert [(row["offer"], row["reason"]) for row in refused] == [
        (5, "above the price cap ($3.000/h)")
    ]


def test_no_offer_that_fits_is_an_answer_with_its_reasons(rig: Rig) -> None:
    rig.vast.offers = [offer(dph_total=3.0)]
    result = rig.run("gpu", "offers")
    assert result.exit_code == 1
    assert "none of 1 offers of 1 x RTX 4090 fits: 1 above the price cap" in result.stdout


def test_logs_are_printed_as_they_are(rig: Rig) -> None:
    assert rig.run("gpu", "logs", "gpu-a1", "--tail", "7").stdout == "11 [bold]said\nso 7\n"
    assert rig.json("gpu", "logs", "gpu-a1")["lines"] == ["11 [bold]said", "so 100"]
    assert rig.run("gpu", "logs", "gpu-x").exit_code == 2


def test_scale_names_the_slots_that_are_left(rig: Rig) -> None:
    result = rig.run("gpu", "scale", "1", "--victim", "gpu-b2")
    assert result.stdout == "1 slots: gpu-a1\n"
    assert rig.json("gpu", "scale", "2") == {"slots": list(SLOTS), "changed": True}
    assert rig.fleet.asked == [("resize", 1, ("gpu-b2",)), ("resize", 2, ())]
    assert rig.run("gpu", "scale", "--", "-1").exit_code == 2


def test_replace_names_the_new_machine(rig: Rig) -> None:
    assert rig.run("gpu", "replace", "gpu-b2").stdout == (
        "gpu-b2 is on machine 1012 now, contract 12\n"
    )
    assert rig.json("gpu", "replace", "gpu-a1")["contract"] == 11


def test_a_change_waits_for_nobody(rig: Rig) -> None:
    from cli.lock import exclusive  # noqa: PLC0415 - the only use

    with exclusive(rig.files, "up"):
        assert rig.run("gpu", "scale", "1").exit_code == 3
        assert rig.run("recover", "gpu").exit_code == 3
        assert rig.run("gpu", "scale", "1", "--production").exit_code == 0
    assert len(rig.fleet.asked) == 1


def test_roll_takes_one_drained_slot_after_the_other(rig: Rig, router: Router) -> None:
    rig.fleet.settings = {"router": router.url}
    router.answer = lambda: (200, [{"endpoint": f"http://{s}.test", "in_flight": 0} for s in SLOTS])
    result = rig.run("gpu", "roll", "gpu-a1")
    assert (result.exit_code, result.stdout) == (0, "rolled: gpu-a1\n")
    assert router.removed == ["http://gpu-a1.test"]
    assert [row["endpoint"] for row in router.registered] == ["http://gpu-a1.test"]
    assert rig.json("gpu", "roll", "gpu-a1") == {"rolled": ["gpu-a1"]}


def test_a_roll_that_fails_says_who_gets_no_work(
    rig: Rig, router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_changes, "_HEALTHY_SECONDS", 0.0)
    arguments = ("gpu", "roll", "gpu-b2", "--deadline", "0")
    result = rig.run(*arguments, "--router", router.url)
    assert result.exit_code == 1
    assert "gpu-b2 gets no work" in result.stderr
    assert router.registered == []
    assert "gets no work" not in rig.run(*arguments).stderr, "there is no router"


def test_register_and_drain_tell_the_router(rig: Rig, router: Router) -> None:
    rows = rig.json("gpu", "register", "--router", router.url)
    assert [row["slot"] for row in rows] == list(SLOTS)
    result = rig.run("gpu", "drain", "gpu-a1", "--router", router.url, "--deadline", "0")
    assert "gpu-a1 drained in 0 s: not known to be idle" in result.stderr
    router.answer = lambda: (200, [{"endpoint": "http://gpu-a1.test", "in_flight": 0}])
    rows = rig.json("gpu", "drain", "gpu-a1", "--router", router.url)
    assert [(row["slot"], row["idle"]) for row in rows] == [("gpu-a1", True)]
    router.registered.clear()
    assert rig.run("gpu", "register", "gpu-a1", "gpu-x", "--router", router.url).exit_code == 2
    assert router.registered == [], "all are looked up before the first is acted on"


@pytest.mark.parametrize("host", ["router.example", "10.0.0.1", "localhost.example"])
def test_the_local_profile_knows_no_router_elsewhere(rig: Rig, host: str) -> None:
    assert rig.run("gpu", "register", "--router", f"http://{host}").exit_code == 2
    assert rig.run("gpu", "drain").exit_code == 2
    away = rig.run("gpu", "register", "--router", "http://127.0.0.1:9", "--production")
    assert away.exit_code == 6
    assert rig.run("gpu", "register", "--router", "http://localhost:9").exit_code == 6


def test_recover_tells_what_it_did(rig: Rig) -> None:
    assert "the fleet is whole: gpu-a1, gpu-b2" in rig.run("recover", "gpu").stdout
    rig.fleet.found = replace(
        rig.fleet.found,
        unlocked=("process 1",),
        adopted=("gpu-a1",),
        ended=(5,),
        cleared=("gpu-b2",),
    )
    said = rig.run("recover", "gpu").stdout
    assert said.splitlines()[:4] == [
        "removed the lock of process 1: it is dead",
        "adopted: gpu-a1",
        "ended beyond the slots: 5",
        "cleared a cut-off create of: gpu-b2",
    ]
    assert rig.json("recover", "gpu")["ended"] == [5]


def test_init_says_what_it_wrote(rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AGENT_DOCKER_SETTINGS_DIR", str(tmp_path))
    (tmp_path / "Pulumi.gpu.yaml").write_text("config: {}\n")
    assert "wrote agent-docker:owner" in rig.run("init", "gpu").stdout
    assert "has its owner already" in rig.run("init", "gpu").stdout
    assert rig.json("init", "gpu")["written"] is False
    assert rig.run("init", "nas").exit_code == 2


def test_doctor_ends_with_1_when_something_is_missing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = [
        Check(name="[a]", state="ok", evidence="here"),
        Check(name="b", state="off", evidence="not set up", fix="set it up"),
    ]
    monkeypatch.setattr(commands.doctor, "examine", lambda _env: checks)
    assert rig.run("doctor").exit_code == 0
    checks.append(Check(name="c", state="missing", evidence="gone", fix="buy one"))
    result = rig.run("doctor")
    assert result.exit_code == 1
    assert "buy one" in result.stdout
    assert [row["state"] for row in rig.json("doctor")] == ["ok", "off", "missing"]


def test_up_and_down_show_what_they_did(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    view = FleetView(profile="local", stack="gpu", slots=(), cost_per_hour=0)
    monkeypatch.setattr(commands.local, "up", lambda *_args, **_options: view)
    monkeypatch.setenv("AGENT_DOCKER_DOCKER_SOCKET", "/nonexistent/docker.sock")
    monkeypatch.setattr(commands.local, "down", lambda *_args: True)
    monkeypatch.setattr(commands.agents_local, "up", lambda *_args: ["agents/greeter"])
    monkeypatch.setattr(commands.agents_local, "down", lambda *_args: False)
    result = rig.run("up")
    assert "1 agents are up: agents/greeter" in result.stdout
    assert "0 of 0 machines answer" in result.stdout
    assert "the NAS's services are left out" in result.stderr
    assert rig.json("up")["phases"] == {}
    assert rig.json("up")["nas"] is None
    assert "is down" in rig.run("down").stderr
    assert rig.json("down") == {"ran": True}
    monkeypatch.setattr(commands.local, "down", lambda *_args: False)
    assert "nothing was running" in rig.run("down").stderr


def test_help_and_version_need_no_profile(rig: Rig) -> None:
    assert rig.run("--version").stdout.startswith("agent-docker ")
    said = rig.run("--help").stdout
    for word in ("Examples", "Exit codes", "recover", "--install-completion"):
        assert word in said
    assert "agent-docker gpu" in rig.run("gpu").stdout + rig.run("--help").stdout


def test_observe_looks_by_itself_when_nothing_is_known(rig: Rig) -> None:
    seen = observe.observe(cast("Fleet", rig.fleet), "production", healthy={})
    assert not seen.healthy
    rig.fleet.now = StackState(outputs={"slots": {"slots": [{"name": "gpu-a1"}]}, "instances": []})
    seen = observe.observe(cast("Fleet", rig.fleet), "production")
    assert (seen.slots[0].status, seen.slots[0].gpu) == ("gone", "-")


def test_a_typed_error_of_a_command_keeps_its_code(rig: Rig) -> None:
    class Odd(AgentDockerError):
        exit_code = 4

    def broken() -> SlotSet:
        raise Odd("odd")

    rig.fleet.known = broken  # type: ignore[method-assign,assignment]
    result = rig.run("status")
    assert result.exit_code == 4


def test_rows_show_what_is_absent_as_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows("things", [{"a": None, "b": 1}])
    assert "-" in capsys.readouterr().out
