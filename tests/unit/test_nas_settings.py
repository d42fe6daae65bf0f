"""Settings of the NAS: the shipped ones, and every mistake by its path."""

from typing import Any

import pytest

from contracts.errors import SettingsError
from contracts.images import is_versioned, pinned, tag_of
from contracts.nas import NasDocuments
from contracts.services import Service
from contracts.settings import parse, require_secrets
from tests.unit.nas_documents import by_name, documents, ingress, service, shipped

FILES_OF_A = {"name": "a-files", "path": "/data"}
TWELVE = {
    "gitlab-webhook-server": 3001,
    "agent-mesh": 3005,
    "minio": 9000,
    "postgres": 5432,
    "redis": 6379,
    "cloudflared": None,
    "compliance-engine": 3010,
    "agent-router": 4000,
    "agent-brain": 6333,
    "workflow-engine": 3015,
    "doc-engine": 3011,
    "agent-tracer": 3008,
}


@pytest.fixture
def whole() -> NasDocuments:
    return parse(NasDocuments, shipped(), where="Pulumi.nas.yaml", key="agent-docker")


def test_the_twelve_services_and_the_autoscaler_are_shipped(whole: NasDocuments) -> None:
    ports = {name: one.port for name, one in whole.services.root.items()}
    assert ports == {**TWELVE, "autoscaler": 9464}


def test_the_seven_hosts_come_in_the_order_of_the_mission(whole: NasDocuments) -> None:
    labels = [host.label for host in whole.hosts().values()]
    assert labels == ["api", "mesh", "storage", "compliance", "router", "brain", "workflows"]
    assert [host.label for host in whole.hosts().values() if host.public] == ["api"]
    assert whole.hosts()["minio"].origin == "http://minio:9000"


def test_what_is_shipped_names_what_must_be_filled_in() -> None:
    given = shipped()
    for key in ("accountId", "zoneId", "access"):
        del given["ingress"][key]
    with pytest.raises(SettingsError) as error:
        parse(NasDocuments, given, where="Pulumi.nas.yaml", key="agent-docker")
    assert "agent-docker.ingress.accountId: is required" in str(error.value)
    assert "agent-docker.ingress.zoneId: is required" in str(error.value)


def test_no_secret_stands_in_an_environment(whole: NasDocuments) -> None:
    assert {"minio-password", "postgres-password", "redis-password"} <= whole.secrets
    for one in whole.services.root.values():
        assert "${" not in str(one.env) + str(one.command)


def test_each_container_ends_only_once_its_data_is_safe(whole: NasDocuments) -> None:
    grace = {name: one.stop_grace_seconds for name, one in whole.services.root.items()}
    assert grace["postgres"] == 120
    assert grace["redis"] == grace["minio"] == grace["agent-brain"] == 60
    assert grace["autoscaler"] >= 150


def test_all_data_stores_have_a_kind_of_backup(whole: NasDocuments) -> None:
    kept = {name for name, one in whole.services.root.items() if one.volumes and one.backup}
    assert kept == {"postgres", "redis", "minio", "agent-brain"}


def test_a_thirteenth_is_six_lines() -> None:
    more = {
        "image": "registry.test/a:1.0",
        "port": 3020,
        "health": {"http": "/health"},
        "host": "more",
        "dependsOn": ["redis"],
    }
    whole = documents(by_name(shipped()) | {"more": more}, ingress=ingress())
    assert whole.hosts()["more"].fqdn == "more.example.com"
    assert whole.services.root["more"].health.test(3020)[-1] == "http://127.0.0.1:3020/health"


@pytest.mark.parametrize(
    ("services", "said"),
    [
        ({"a": service(image="a")}, "services.a.image: must name a version"),
        ({"a": service(image="a:latest")}, "services.a.image: must name a version"),
        ({"a": service(), "b": service()}, "b.port: a has 3000 already"),
        ({"a": service(dependsOn=["c"])}, "a.dependsOn: there is no service 'c'"),
        (
            {"a": service(dependsOn=["b"]), "b": service(port=1, dependsOn=["a"])},
            "a → b → a",
        ),
        ({"a": service(dependsOn=["a"])}, "a → a"),
        (
            {"a": service(host="x"), "b": service(port=1, host="x")},
            "b.host.name: a has 'x' already",
        ),
        ({"a": service(host="x.y")}, "services.a.host.name"),
        ({"a": service(health={})}, "services.a.health: must have either `http` or `command`"),
        ({"a": service(health={"command": ["ls"]})}, "must begin with CMD or CMD-SHELL"),
        ({"a": service(port=None)}, "services.a: health.http needs a `port`"),
        ({"a": service(files={"../x": ""})}, "is no file's name"),
        ({"a": service(files={"x": "${A}"})}, "a secret is written ${name}"),
        ({"a": service(files={"x": ""})}, "services.a.files: x is empty"),
        (
            {"a": service(files={"x": "y"}), "b": service(port=1, volumes=[FILES_OF_A])},
            "b.volumes: 'a-files' is the volume of a's `files`: call it otherwise",
        ),
        (
            {"a": service(files={"x": "y"}, volumes=[FILES_OF_A])},
            "a.volumes: 'a-files' is the volume of a's `files`: call it otherwise",
        ),
        (
            {"a": service(files={"x": "y"}), "a-files": service(port=1)},
            "a-files: a's `files` are written by a container of this name: call the service",
        ),
        ({"a": service(capabilities=["chown"])}, "services.a.capabilities.0"),
        ({"a": service(capabilities=["non sense"])}, "services.a.capabilities.0"),
        ({"a": service(capabilities=["CAP_"])}, "services.a.capabilities.0"),
        ({"a": service(capabilities=["ALL"])}, "ALL would keep every capability"),
        ({"a": service(capabilities=["CAP_ALL"])}, "ALL would keep every capability"),
        ({"a": service(volumes=[{"name": "v", "path": "/run/secrets"}])}, "is where `files` are"),
        (
            {"a": service(volumes=[{"name": "v", "path": "/x"}, {"name": "w", "path": "/x/"}])},
            "two volumes have the same path",
        ),
        (
            {"a": service(port=None, host="a", health={"command": ["CMD", "true"]})},
            "services.a: host needs a `port`",
        ),
        ({"a": service(env={"A B": ""})}, "is no variable's name"),
        ({"a": service(user="root")}, "services.a.user"),
        ({"a": service(prot=1)}, "services.a.prot: is not a setting"),
        ({"A": service()}, "services.A"),
    ],
)
def test_a_wrong_service_is_named_by_its_path(services: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as error:
        documents(services)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("services", "said"),
    [
        ({"a": service()}, "services: must be a list of services"),
        ([service()], "services: entry 1 has no `name`"),
        ([{"name": "a", **service()}, "b"], "services: entry 2 has no `name`"),
        ([{"name": "a", **service()}, {"name": "a", **service()}], "two services are called 'a'"),
    ],
)
def test_services_are_a_list_of_named_ones(services: object, said: str) -> None:
    given = {"nas": {"docker": "unix:///run/docker.sock"}, "services": services}
    with pytest.raises(SettingsError) as error:
        parse(NasDocuments, given, where="Pulumi.nas.yaml", key="agent-docker")
    assert said in str(error.value)


def test_ports_may_be_published_nowhere_and_only_at_an_address() -> None:
    nas = {"docker": "unix:///s", "publish": None}
    assert documents({"a": service()}, nas=nas).nas.publish is None
    with pytest.raises(SettingsError, match="must be an IP address of the NAS or null"):
        documents({"a": service()}, nas={"docker": "unix:///s", "publish": "nas"})


def test_names_of_files_are_free_where_there_are_none() -> None:
    whole = documents({"a": service(volumes=[FILES_OF_A]), "a-files": service(port=1)})
    assert set(whole.services.root) == {"a", "a-files"}


def test_capabilities_go_by_both_of_their_names() -> None:
    one = Service.model_validate(service(capabilities=["SYS_NICE", "CAP_CHOWN", "CHOWN"]))
    assert one.kept_capabilities == ("CAP_CHOWN", "CAP_SYS_NICE")


def test_swap_is_limited_unless_the_kernel_cannot() -> None:
    assert documents({"a": service()}).nas.swap_limit
    free = documents({"a": service()}, nas={"docker": "unix:///s", "swapLimit": False})
    assert not free.nas.swap_limit


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as error:
        documents(
            {"a": service(image="a", port="x"), "b": service(port=1, memoryMb=1)},
            nas={"docker": "unix:///s", "publish": "0.0.0.0"},  # noqa: S104 - refused
        )
    for path in ("services.a.image", "services.a.port", "services.b.memoryMb", "nas.publish"):
        assert path in str(error.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"access": {}}, "ingress.access lets nobody in, but a are not public"),
        ({"origin": "tailnet"}, "ingress.origin `tailnet` needs nas.hostname"),
        ({"records": {"b": "1"}}, "ingress.records: no service has the host 'b'"),
        ({"zone": "nodots"}, "ingress.zone"),
        ({"accountId": "short"}, "ingress.accountId"),
    ],
)
def test_a_wrong_ingress_is_named_by_its_path(more: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as error:
        documents({"a": service(host="a")}, ingress=ingress(**more))
    assert said in str(error.value)


def test_a_tunnel_needs_an_ingress() -> None:
    with pytest.raises(SettingsError, match=r"services\.a runs a tunnel, so `ingress` is required"):
        documents({"a": service(files={"t": "${tunnel-token}"})})


@pytest.mark.parametrize("daemon", ["tcp://nas:2375", "http://nas", "nas"])
def test_a_daemon_that_is_open_to_the_network_is_refused(daemon: str) -> None:
    with pytest.raises(SettingsError, match=r"nas\.docker"):
        documents({"a": service()}, nas={"docker": daemon})


def test_the_tailnet_reaches_no_port_on_loopback() -> None:
    nas = {"docker": "unix:///s", "hostname": "nas.tail.ts.net"}
    with pytest.raises(SettingsError, match=r"needs nas\.publish to be the NAS's tailnet address"):
        documents({"a": service(host="a")}, nas=nas, ingress=ingress(origin="tailnet"))


def test_hosts_may_go_by_the_tailnet() -> None:
    whole = documents(
        {"a": service(host="a")},
        nas={"docker": "unix:///s", "hostname": "nas.tail.ts.net", "publish": "100.64.0.1"},
        ingress=ingress(origin="tailnet"),
    )
    assert whole.hosts()["a"].origin == "http://nas.tail.ts.net:3000"


# Images: a lock pins, a service that is held back runs another one.


def test_a_lock_pins_what_it_knows() -> None:
    digest = "sha256:" + "0" * 64
    whole = documents({"a": service(), "b": service(port=1, image="b:2")}, images={"b:2": digest})
    assert whole.image("a") == "registry.test/a:1.0"
    assert whole.image("b") == f"b:2@{digest}"


def test_a_service_is_held_back_until_another_image_is_declared() -> None:
    held = {"a": {"failed": "registry.test/a:1.0", "image": "registry.test/a:0.9", "reason": "r"}}
    whole = documents({"a": service()}, held=held)
    assert whole.image("a") == "registry.test/a:0.9"
    assert set(whole.still_held()) == {"a"}
    newer = documents({"a": service(image="registry.test/a:1.1")}, held=held)
    assert newer.image("a") == "registry.test/a:1.1"
    assert not newer.still_held()
    # A service that is gone is not held back for ever.
    assert not documents({"b": service()}, held=held).still_held()


def test_the_image_before_is_kept_while_the_image_is_the_same() -> None:
    whole = documents({"a": service()})
    first = whole.record("a", None)
    assert first.previous is None
    before = first.model_dump(mode="json")
    assert whole.record("a", before).previous is None
    newer = documents({"a": service(image="registry.test/a:2.0")})
    changed = newer.record("a", before)
    assert (changed.image, changed.previous) == ("registry.test/a:2.0", "registry.test/a:1.0")
    # Deployed again, e.g. after a crash: what was good before is not forgotten.
    assert newer.record("a", changed.model_dump(mode="json")).previous == "registry.test/a:1.0"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("a:1", True),
        ("a", False),
        ("a:latest", False),
        ("localhost:5000/a", False),
        ("localhost:5000/a:1", True),
        ("a@sha256:" + "0" * 64, True),
        ("a:main", False),
    ],
)
def test_a_version_is_a_digest_or_a_tag_that_stays(reference: str, expected: bool) -> None:  # noqa: FBT001
    assert is_versioned(reference) is expected


def test_a_digest_that_is_there_stays() -> None:
    digest = "sha256:" + "0" * 64
    assert pinned(f"a:1@{digest}", "sha256:" + "1" * 64) == f"a:1@{digest}"
    assert pinned("a:1", None) == "a:1"
    assert tag_of("a:1") == "1"
    assert tag_of("no reference") == "no reference"
    assert tag_of(f"a@{digest}") == "sha256:000000000000"


# Files.


def test_secrets_are_filled_into_files_and_nothing_else_is() -> None:
    one = Service.model_validate(service(files={"f": "a ${pass-word} $HOME $1 $$"}))
    assert one.secrets == {"pass-word"}
    assert one.rendered({"pass-word": "s$1"}) == {"f": "a s$1 $HOME $1 $$"}


def test_missing_secrets_are_all_named_with_the_command_that_sets_one() -> None:
    with pytest.raises(SettingsError) as error:
        require_secrets({"b", "a", "c"}, {"c": "x", "b": ""}, stack="nas")
    assert "lacks a, b" in str(error.value)
    assert "pulumi config set --stack nas --secret --path 'agent-docker:secrets.a'" in str(
        error.value
    )
