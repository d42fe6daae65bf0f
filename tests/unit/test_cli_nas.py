"""`agent-docker nas …` through typer's runner, on a stack that only remembers what it was asked."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import ImageNotFound
from typer.testing import CliRunner, Result

from cli import nas as commands
from cli import nas_edit, nas_local, nas_profile, nas_views
from cli.app import app
from cli.ending import mistakes
from cli.files import LocalFiles
from cli.nas_profile import PREFIX, NasProfile, NoDaemon, deadline, local_daemon, production_nas
from cli.nas_views import view_of
from contracts.backups import Manifest, backup_id
from contracts.errors import AgentDockerError, SettingsError
from contracts.nas import Held
from contracts.outputs import ServiceOutput
from operations import daemon as daemon_module
from operations.daemon import Daemon, Probe, Seen
from operations.errors import NoSuchService
from operations.gate import Verdict
from operations.nas import Deployed
from operations.stack import Snapshot
from operations.state import StackState
from operations.target import Target
from tests.unit.nas_documents import ROOT, shipped
from tests.unit.test_nas_gate import REDIS, SEEN

DIGEST = "sha256:" + "0123456789abcdef" * 4
NOW = SEEN.started
assert NOW is not None


@dataclass
class FakeNas:
    """Remembers its calls; `seen` is what its daemon reports."""

    services_: list[ServiceOutput]
    held: dict[str, Held] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=lambda: {"x-redis": SEEN})
    images: dict[str, str] = field(default_factory=lambda: {REDIS.image: SEEN.image_id})
    calls: list[Any] = field(default_factory=list)
    said: str = "a line"

    @property
    def stack(self) -> Any:  # noqa: ANN401 - a stand-in
        outputs = {
            "services": [one.model_dump(mode="json") for one in self.services_],
            "held": {name: one.model_dump() for name, one in self.held.items()},
        }
        found = Snapshot(state=StackState(outputs=outputs), settings={})
        return SimpleNamespace(snapshot=lambda: found)

    def destroy(self) -> None:
        self.calls.append("destroy")

    def daemon(self, url: str) -> "FakeNas":
        self.calls.append(url)
        return self

    def services(self) -> list[ServiceOutput]:
        return self.services_

    def look(self, _stack: str) -> dict[str, Seen]:
        return self.seen

    def image_ids(self, references: Sequence[str]) -> dict[str, str]:
        return {name: id_ for name, id_ in self.images.items() if name in references}

    @property
    def is_local(self) -> bool:
        return False

    def probe(self, _seen: Seen) -> Probe:
        return Probe(healthy=True, said="")

    def logs(self, name: str, *, tail: int) -> str:
        self.calls.append((name, tail))
        return self.said

    def follow(self, name: str, *, tail: int) -> Iterator[str]:
        self.calls.append((name, tail))
        yield from ("a\n", "b\n")

    def restart(self, name: str, *, grace: int) -> None:
        self.calls.append((name, grace))

    def require_well(self, services: Sequence[ServiceOutput]) -> None:
        self.calls.append([one.name for one in services])

    def _deployed(self, *call: Any) -> Deployed:  # noqa: ANN401 - what was asked
        self.calls.append(call)
        return Deployed(changes=("redis",), services=tuple(self.services_), held=self.held)

    def up(self, settings: dict[str, Any], *, guarded: dict[str, str]) -> Deployed:
        return self._deployed("up", sorted(settings), guarded)

    def hold(
        self, name: str, *, image: str | None, reason: str, guarded: dict[str, str]
    ) -> Deployed:
        return self._deployed("hold", name, image, reason, guarded)

    def release(self, name: str, *, guarded: dict[str, str]) -> Deployed:
        return self._deployed("release", name, guarded)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeNas:
    made = FakeNas([REDIS])
    settings = {**shipped(), "nas": {"docker": "unix:///d.sock"}}
    settings["backups"] = {"directory": str(tmp_path / "backups")}
    target = Target(stack="nas", env={}, state=tmp_path, settings=settings)

    class Profile(NasProfile):
        def nas(self, progress: object) -> Any:  # noqa: ANN401, ARG002 - a stand-in
            return made

    def profile(_shown: object, *, production: bool) -> NasProfile:
        return Profile(kind="production" if production else "local", target=target)

    monkeypatch.setenv("AGENT_DOCKER_LOCAL_DIR", str(tmp_path / "local"))
    monkeypatch.setattr(commands, "_profile", profile)
    monkeypatch.setattr(commands, "ensure_images", lambda *_: made.calls.append("images"))
    return made


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["nas", *arguments])


def test_up_makes_images_locally_and_deploys(fake: FakeNas) -> None:
    result = run("up")
    assert result.exit_code == 0, result.output
    assert "1 services work, 1 resources changed" in result.output
    assert fake.calls[0] == "images"
    assert fake.calls[1][0] == "up"


def test_production_makes_no_images_and_guards_what_has_no_backup(fake: FakeNas) -> None:
    assert run("up", "--production").exit_code == 0
    assert "images" not in fake.calls
    (_, _, guarded) = fake.calls[-1]
    assert set(guarded) == {"minio", "postgres", "redis", "agent-brain"}
    assert guarded["redis"] == (
        "redis has no good backup; run `agent-docker backup run redis --production` first"
    )


def test_a_good_backup_lifts_the_guard_and_is_shown(fake: FakeNas, tmp_path: Path) -> None:
    taken = datetime.now(UTC)
    manifest = Manifest.model_validate(
        {
            "id": backup_id(taken),
            "service": "redis",
            "kind": "redis",
            "image": "redis:7",
            "imageId": "sha256:1",
            "taken": taken,
            "files": [],
            "facts": {},
        }
    )
    folder = tmp_path / "backups" / "redis" / manifest.id
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    assert run("up", "--production").exit_code == 0
    assert "redis" not in fake.calls[-1][2]
    told = json.loads(run("status", "--production", "--json").stdout)
    assert told["services"][0]["lastBackup"][:10] == f"{taken:%Y-%m-%d}"


def test_locally_nobody_asks_for_a_backup(fake: FakeNas) -> None:
    assert run("up").exit_code == 0
    assert fake.calls[-1][2] == {}


def test_up_tells_scripts_everything(fake: FakeNas) -> None:
    fake.held = {"redis": Held(failed="redis:7", image="redis:6", reason="r")}
    result = run("up", "--json")
    told = json.loads(result.stdout)
    assert told["changes"] == ["redis"]
    assert told["services"][0]["name"] == "redis"
    assert told["held"]["redis"]["image"] == "redis:6"


def test_status_is_a_table_and_a_code(fake: FakeNas) -> None:
    result = run("status")
    assert result.exit_code == 0, result.output
    assert "1 of 1 services work" in result.output
    fake.seen = {}
    result = run("status")
    assert result.exit_code == 1
    assert "redis: it has no container" in result.output


def test_a_service_that_is_held_back_is_not_well(fake: FakeNas) -> None:
    fake.held = {"redis": Held(failed="redis:7", image="redis:6", reason="it ended")}
    result = run("status", "--json")
    assert result.exit_code == 1
    (row,) = json.loads(result.stdout)["services"]
    assert (row["heldBack"], row["healthy"]) == ("it ended", True)
    assert "redis is held back" in run("status").output


@pytest.mark.parametrize("images", [{}, {REDIS.image: "sha256:2"}])
def test_a_service_that_runs_another_image_is_not_well(
    fake: FakeNas, images: dict[str, str]
) -> None:
    fake.images = images
    result = run("status", "--json")
    assert result.exit_code == 1
    (row,) = json.loads(result.stdout)["services"]
    assert (row["anotherImage"], row["healthy"], row["heldBack"]) == (True, True, None)
    result = run("status")
    assert result.exit_code == 1
    assert "1 of 1 services work" in result.output
    assert "redis runs another image than declared: redis:7 is not what" in result.output


def test_a_service_without_a_container_runs_no_other_image(fake: FakeNas) -> None:
    fake.seen, fake.images = {}, {}
    assert "another image" not in run("status").output


@pytest.mark.parametrize(
    ("declared", "image", "held", "shown"),
    [
        ("redis:7", "redis:7", False, "7"),
        ("redis:7", f"redis:7@{DIGEST}", False, "7 sha256:0123456789ab"),
        (f"redis@{DIGEST}", f"redis@{DIGEST}", False, "sha256:0123456789ab"),
        # The digest of what runs instead says nothing of what is declared.
        ("redis:7", f"redis:6@{DIGEST}", True, "7"),
    ],
)
def test_the_locked_digest_is_beside_the_version(
    declared: str,
    image: str,
    held: bool,  # noqa: FBT001 - a case
    shown: str,
) -> None:
    one = REDIS.model_copy(update={"declared": declared, "image": image})
    back = {"redis": Held(failed="redis:7", image="redis:6", reason="r")} if held else {}
    verdict = {"redis": Verdict(service="redis")}
    view = view_of("local", "nas", [one], {"x-redis": SEEN}, verdict, back, NOW)
    assert nas_views._declared(view.services[0]) == shown


def test_images_that_the_daemon_lacks_have_no_id(monkeypatch: pytest.MonkeyPatch) -> None:
    def inspect_image(reference: str) -> dict[str, str]:
        if reference == "redis:7":
            return {"Id": "sha256:1"}
        raise ImageNotFound("no such image")

    @contextmanager
    def api(_url: str, *, timeout: float | None) -> Iterator[Any]:
        del timeout
        yield SimpleNamespace(inspect_image=inspect_image)

    monkeypatch.setattr(daemon_module, "docker_api", api)
    found = Daemon(url="unix:///d.sock").image_ids(["redis:7", "redis:8"])
    assert found == {"redis:7": "sha256:1"}


def test_logs_are_shown_or_followed(fake: FakeNas) -> None:
    assert run("logs", "redis", "--tail", "7").output.endswith("a line\n")
    assert ("x-redis", 7) in fake.calls
    assert run("logs", "redis", "-f").output.endswith("a\nb\n")


def test_an_unknown_service_names_the_known(fake: FakeNas) -> None:
    result = run("logs", "reddis")
    assert isinstance(result.exception, NoSuchService)
    assert "the services are: redis" in str(result.exception)
    assert fake.calls == []


def test_restart_gives_the_service_its_grace(fake: FakeNas) -> None:
    assert run("restart", "redis").exit_code == 0
    assert fake.calls[-2:] == [("x-redis", 60), ["redis"]]


def test_rollback_and_retry(fake: FakeNas) -> None:
    assert run("rollback", "redis", "--image", "redis:6").exit_code == 0
    assert fake.calls[-1] == ("hold", "redis", "redis:6", "put back by hand", {})
    assert run("retry", "redis").exit_code == 0
    assert fake.calls[-1] == ("release", "redis", {})
    assert run("rollback", "redis", "--production").exit_code == 0
    assert "redis" in fake.calls[-1][-1]


def test_down_asks_in_production_only(fake: FakeNas) -> None:
    assert run("down").exit_code == 0
    assert fake.calls.pop() == "destroy"
    assert run("down", "--production").exit_code == 1
    assert fake.calls == []
    assert run("down", "--production", "--yes").exit_code == 0
    assert fake.calls == ["destroy"]


# With the rest of the local profile.


def test_without_a_daemon_it_is_left_out_and_said(tmp_path: Path) -> None:
    told: list[str] = []
    shown: Any = SimpleNamespace(tell=told.append)
    env = {"AGENT_DOCKER_DOCKER_SOCKET": str(tmp_path / "none")}
    assert nas_local.up(LocalFiles(folder=tmp_path), env, shown) is None
    assert "the NAS's services are left out: this machine has no Docker daemon" in told[0]


def test_what_was_never_up_need_not_go_down(tmp_path: Path) -> None:
    shown: Any = None
    assert nas_local.down(LocalFiles(folder=tmp_path), {}, shown) is False


# What is shown.


def test_uptime_is_told_in_what_a_person_counts_in() -> None:
    assert NOW is not None
    for seconds, text in ((59, "59 s"), (120, "2 min"), (7200, "2 h"), (200_000, "2 d")):
        started = NOW.fromtimestamp(NOW.timestamp() - seconds, tz=NOW.tzinfo)
        seen = {"x-redis": replace(SEEN, started=started)}
        verdict = {"redis": Verdict(service="redis")}
        view = view_of("local", "nas", [REDIS], seen, verdict, {}, NOW)
        with capture() as shown:
            commands.show_nas(view)
        assert text in shown()


@contextmanager
def capture() -> Iterator[Any]:
    from cli.views import out  # noqa: PLC0415 - the console of this test

    with out.capture() as captured:
        yield captured.get


# The two worlds.


def test_the_local_daemon_is_a_socket_of_this_machine(tmp_path: Path) -> None:
    with pytest.raises(NoDaemon, match="no Docker daemon at"):
        local_daemon({"AGENT_DOCKER_DOCKER_SOCKET": str(tmp_path / "none")})
    # Another machine's daemon is never reached.
    with pytest.raises(NoDaemon):
        local_daemon(
            {
                "DOCKER_HOST": "tcp://nas:2375",
                "AGENT_DOCKER_DOCKER_SOCKET": str(tmp_path / "none"),
            }
        )


def test_the_local_settings_have_local_places_and_no_autoscaler() -> None:
    told = {"account_id": "a" * 32, "zone_id": "b" * 32}
    settings = nas_profile._local_settings(shipped() | {"secrets": "x"}, "unix:///d", told)
    assert settings["nas"]["docker"] == "unix:///d"
    assert settings["nas"]["prefix"] == PREFIX
    assert "autoscaler" not in {row["name"] for row in settings["services"]}
    assert settings["ingress"]["accountId"] == "a" * 32
    assert "tunnelId" not in settings["ingress"]
    assert "secrets" not in settings


def test_local_secrets_are_random_and_stay(tmp_path: Path) -> None:
    files = LocalFiles(folder=tmp_path)
    told = {"account_id": "a" * 32, "zone_id": "b" * 32}
    settings = nas_profile._local_settings(shipped(), "unix:///d", told)
    first = nas_profile._secrets_of(files, settings)
    assert set(first) == {"minio-password", "postgres-password", "redis-password"}
    assert len(set(first.values())) == 3
    assert nas_profile._secrets_of(files, settings) == first
    assert (tmp_path / "nas-secrets.yaml").stat().st_mode & 0o777 == 0o600


def test_production_takes_the_settings_file_as_it_is(tmp_path: Path) -> None:
    text = (ROOT / "Pulumi.nas.yaml").read_text()
    (tmp_path / "Pulumi.nas.yaml").write_text("encryptionsalt: v1:abc\n" + text)
    env = {
        "AGENT_DOCKER_SETTINGS_DIR": str(tmp_path),
        "PULUMI_BACKEND_URL": "file:///nowhere",
        "CLOUDFLARE_API_TOKEN": "canary-token",
        "AGENT_DOCKER_STATE_DIR": str(tmp_path),
    }
    profile = production_nas(env)
    assert profile.target.document == {"encryptionsalt": "v1:abc"}
    assert "canary-token" in profile.target.secrets
    database = {**env, "PULUMI_BACKEND_URL": "postgres://me:canary-word@db/state"}
    assert "canary-word" in production_nas(database).target.secrets
    assert profile.target.settings["nas"]["docker"].startswith("ssh://")
    with pytest.raises(SettingsError, match="PULUMI_BACKEND_URL is not set"):
        production_nas({"AGENT_DOCKER_SETTINGS_DIR": str(tmp_path)})


def test_the_gate_waits_for_the_slowest(tmp_path: Path) -> None:
    settings = shipped()
    target = Target(stack="nas", env={}, state=tmp_path, settings=settings)
    # Of the autoscaler: 60 s to start, then three checks of 30 + 10 s.
    assert deadline(NasProfile(kind="local", target=target)) == 60 + 3 * 40 + 15


# The settings file.


@pytest.fixture
def settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "Pulumi.nas.yaml"
    path.write_text((ROOT / "Pulumi.nas.yaml").read_text())
    monkeypatch.setenv("AGENT_DOCKER_SETTINGS_DIR", str(tmp_path))
    return path


def test_a_service_is_added_and_removed_without_a_trace(settings_file: Path) -> None:
    before = settings_file.read_text()
    command = ["add", "notes", "--image", "r.test/notes:1.0", "--port", "3020", "--host", "notes"]
    assert run(*command, "--depends-on", "postgres").exit_code == 0
    added = settings_file.read_text()[len(before) - 1 :].splitlines()
    assert [line for line in added if line.strip()] == [
        "    - name: notes",
        "      image: r.test/notes:1.0",
        "      port: 3020",
        "      health: {http: /health}",
        "      host: notes",
        "      dependsOn: [postgres]",
    ]
    assert run("remove", "notes").exit_code == 0
    assert settings_file.read_text() == before


def test_an_image_is_declared_and_all_else_stays(settings_file: Path) -> None:
    before = settings_file.read_text()
    assert run("update", "redis", "--image", "redis:7.4.9-alpine").exit_code == 0
    after = settings_file.read_text()
    changed = set(after.splitlines()) ^ set(before.splitlines())
    assert changed == {"      image: redis:7.4.5-alpine", "      image: redis:7.4.9-alpine"}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["add", "redis", "--image", "a:1", "--port", "1"], "there is a service 'redis' already"),
        (["add", "other", "--image", "a", "--port", "1"], "must name a version"),
        (["add", "other", "--image", "a:1", "--port", "6379"], "redis has 6379 already"),
        (["update", "reddis", "--image", "a:1"], "there is no service 'reddis'"),
        (["remove", "redis"], "agent-mesh.dependsOn: there is no service 'redis'"),
    ],
)
def test_a_mistake_leaves_the_file_alone(
    settings_file: Path, command: list[str], said: str
) -> None:
    before = settings_file.read_text()
    result = run(*command)
    assert isinstance(result.exception, SettingsError)
    assert said in str(result.exception)
    assert settings_file.read_text() == before


def test_what_registries_tell_is_locked_and_nothing_else(
    settings_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from operations import registries  # noqa: PLC0415 - loads the docker client

    found = "sha256:" + "1" * 64

    def digest(url: str, reference: str) -> str:
        assert url == "unix:///d.sock"
        if reference.startswith("redis:"):
            return found
        raise registries.NoDigest(f"{reference}: no registry told its digest")

    monkeypatch.setattr(registries, "digest", digest)
    monkeypatch.setattr(nas_edit, "local_daemon", lambda _env: "unix:///d.sock")
    result = run("images", "lock")
    assert isinstance(result.exception, nas_edit.NotLocked)
    text = settings_file.read_text()
    assert f"redis:7.4.5-alpine: {found}" in text
    assert text.count("sha256:") == 1
    # A registry that is silent now does not unlock what was locked before.
    monkeypatch.setattr(registries, "digest", lambda _u, r: (_ for _ in ()).throw(_silent(r)))
    assert isinstance(run("images", "lock").exception, nas_edit.NotLocked)
    assert f"redis:7.4.5-alpine: {found}" in settings_file.read_text()


def _silent(reference: str) -> AgentDockerError:
    from operations.registries import NoDigest  # noqa: PLC0415 - as above

    return NoDigest(f"{reference}: silent")


def test_mistakes_end_without_a_traceback(settings_file: Path) -> None:
    settings_file.write_text("config: {agent-docker:services: {}}")
    with pytest.raises(SystemExit) as end, mistakes():
        nas_edit.remove("redis")
    assert end.value.code == 2
