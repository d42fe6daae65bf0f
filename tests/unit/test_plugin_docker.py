"""The offline `docker` plugin without a daemon: what replaces, what is the same, what is sent."""

import inspect
import io
import tarfile
from typing import Any

import pulumi_docker
import pytest
from pulumi._types import input_type_py_to_pulumi_names

from localcloud.plugins.docker import (
    attachments,
    container,
    creation,
    durations,
    network,
    readback,
    shapes,
    uploads,
)
from localcloud.plugins.docker.daemon import configured
from localcloud.plugins.docker.plugin import PLUGIN
from localcloud.plugins.docker.registries import Registry, auth_for, host_of, registries
from localcloud.plugins.docker.sameness import same
from localcloud.plugins.model import PluginError
from localcloud.plugins.shapes import Fields, names
from localcloud.plugins.values import Properties, Value, Values

NESTED: list[tuple[type, Any]] = [
    (pulumi_docker.ContainerHealthcheckArgs, shapes.CONTAINER["healthcheck"]),
    (pulumi_docker.ContainerMountArgs, shapes.CONTAINER["mounts"]),
    (pulumi_docker.ContainerNetworksAdvancedArgs, shapes.CONTAINER["networksAdvanced"]),
    (pulumi_docker.ContainerPortArgs, shapes.CONTAINER["ports"]),
    (pulumi_docker.ContainerUlimitArgs, shapes.CONTAINER["ulimits"]),
    (pulumi_docker.ContainerUploadArgs, shapes.CONTAINER["uploads"]),
    (pulumi_docker.ContainerVolumeArgs, shapes.CONTAINER["volumes"]),
    (pulumi_docker.ContainerLabelArgs, shapes.CONTAINER["labels"]),
    (pulumi_docker.ContainerHostArgs, shapes.CONTAINER["hosts"]),
    (pulumi_docker.ContainerCapabilitiesArgs, shapes.CONTAINER["capabilities"]),
    (pulumi_docker.NetworkIpamConfigArgs, shapes.NETWORK["ipamConfigs"]),
    (pulumi_docker.ProviderRegistryAuthArgs, shapes.PROVIDER["registryAuth"]),
    (pulumi_docker.ContainerArgs, shapes.CONTAINER),
    (pulumi_docker.NetworkArgs, shapes.NETWORK),
    (pulumi_docker.VolumeArgs, shapes.VOLUME),
    (pulumi_docker.RemoteImageArgs, shapes.REMOTE_IMAGE),
    (pulumi_docker.ProviderArgs, shapes.PROVIDER),
]


@pytest.mark.parametrize(("official", "ours"), NESTED)
def test_the_inputs_are_those_of_the_official_sdk(official: type, ours: Any) -> None:  # noqa: ANN401
    fields: Fields = ours[0] if isinstance(ours, list) else ours
    official_names = input_type_py_to_pulumi_names(official)
    required = {
        official_names[name]
        for name, parameter in inspect.signature(official).parameters.items()
        if parameter.default is parameter.empty
    }
    assert names(fields) == set(official_names.values())
    assert {name.removesuffix("!") for name in fields if name.endswith("!")} == required


def test_every_container_input_has_one_effect() -> None:
    assert "envs" in container.REPLACES
    assert "networksAdvanced" in container.REPLACES
    assert {"restart", "memory", "memorySwap"} <= container.IN_PLACE
    assert {"healthcheck", "tmpfs", "init", "destroyGraceSeconds"} <= container.STATE_ONLY
    effects = [container.REPLACES, container.IN_PLACE, container.STATE_ONLY]
    assert sum(map(len, effects)) == len(names(shapes.CONTAINER))


def test_only_containers_go_before_they_come() -> None:
    first = {kind.token.rpartition(":")[2]: kind.delete_before_replace for kind in PLUGIN.types}
    assert first == {"Container": True, "Network": False, "RemoteImage": False, "Volume": False}
    assert network.TYPE.update is None, "every change replaces it"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("60s", "1m0s"),
        ("1m", "1m0s"),
        ("30s", "30s"),
        ("90s", "1m30s"),
        ("1h", "1h0m0s"),
        ("1.5s", "1.5s"),
        ("0", "0s"),
        ("250ms", "250ms"),
        ("1500us", "1.5ms"),
        ("3600.5s", "1h0m0.5s"),
    ],
)
def test_durations_are_written_as_go_writes_them(text: str, wanted: str) -> None:
    assert durations.canonical(durations.nanoseconds(text)) == wanted


@pytest.mark.parametrize("text", ["5", "s", "1 s", "1d", "-1s"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected one as 30s"):
        durations.nanoseconds(text)


ANYWHERE = "0.0.0.0"  # noqa: S104 - a value, no bind
CHECK: Values = {"tests": ["CMD", "x"], "interval": "30s"}


@pytest.mark.parametrize(
    ("name", "old", "new", "wanted"),
    [
        ("envs", ["A=1", "B=2"], ["B=2", "A=1"], True),
        ("command", ["a", "b"], ["b", "a"], False),
        ("healthcheck", {**CHECK, "timeout": "0s", "retries": 0}, CHECK, True),
        ("healthcheck", {**CHECK, "interval": "1m0s"}, {**CHECK, "interval": "60s"}, False),
        ("healthcheck", {"tests": ["CMD", "x"]}, {"tests": ["x", "CMD"]}, False),
        ("ports", [{"internal": 1, "external": 2, "ip": ANYWHERE}], [{"internal": 1}], True),
        ("ports", [{"internal": 1, "external": 2}], [{"internal": 1, "external": 3}], False),
        ("ports", [{"internal": 1}, {"internal": 2}], [{"internal": 2}, {"internal": 1}], False),
        (
            "mounts",
            [
                {"target": "/a", "type": "bind", "readOnly": False},
                {"target": "/b", "type": "tmpfs"},
            ],
            [{"target": "/b", "type": "tmpfs"}, {"target": "/a", "type": "bind"}],
            True,
        ),
        ("capabilities", {"adds": ["A", "B"], "drops": []}, {"adds": ["B", "A"]}, True),
        ("capabilities", {"adds": ["CAP_CHOWN"]}, {"adds": ["CHOWN"]}, False),
        ("networkMode", "default", "bridge", False),
        ("memory", 64, 128, False),
        ("logOpts", {"max-size": "10m"}, {"max-size": "10m"}, True),
    ],
)
def test_what_is_the_same(name: str, old: Value, new: Value, wanted: bool) -> None:  # noqa: FBT001
    assert same(name, old, new) is wanted


def test_a_request_in_the_units_of_the_engine() -> None:
    body: Any = creation.body(
        {
            "image": "i",
            "command": ["run"],
            "ports": [
                {"internal": 80, "external": 8080, "ip": "127.0.0.1"},
                {"internal": 53, "protocol": "udp"},
            ],
            "volumes": [
                {"containerPath": "/anonymous"},
                {"containerPath": "/v", "volumeName": "v", "readOnly": True},
                {"containerPath": "/h", "hostPath": "/srv", "selinuxRelabel": "z"},
                {"fromContainer": "other"},
            ],
            "memory": 64,
            "memorySwap": -1,
            "cpus": "1.5",
            "labels": [{"label": "a", "value": "b"}],
            "healthcheck": CHECK,
        }
    )
    host = body["HostConfig"]
    assert (body["Image"], body["Cmd"], body["Labels"]) == ("i", ["run"], {"a": "b"})
    assert body["Volumes"] == {"/anonymous": {}}
    assert host["Binds"] == ["v:/v:ro", "/srv:/h:rw,z"]
    assert host["VolumesFrom"] == ["other"]
    assert host["PortBindings"] == {
        "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
        "53/udp": [{"HostIp": ANYWHERE, "HostPort": ""}],
    }
    assert body["ExposedPorts"] == {"80/tcp": {}, "53/udp": {}}
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"]) == (64 << 20, -1, 1_500_000_000)
    assert body["Healthcheck"]["Interval"] == 30_000_000_000
    assert "LogConfig" not in host


NETWORKS: Values = {"networksAdvanced": [{"name": "a", "aliases": ["x"]}, {"name": "b"}]}


def test_a_container_leaves_the_bridge_for_its_networks() -> None:
    plan = attachments.planned({**NETWORKS, "networkMode": "bridge"}, has_bridge=True)
    assert (plan.begins, plan.leave) == (None, "bridge")
    assert [joined["name"] for joined in plan.joins] == ["a", "b"]


def test_without_a_bridge_it_is_created_in_its_first_network() -> None:
    plan = attachments.planned({**NETWORKS, "networkMode": "bridge"}, has_bridge=False)
    assert plan.begins is not None
    assert attachments.mode({"networkMode": "bridge"}, plan) == "a"
    assert attachments.endpoint(plan.begins) == {"Aliases": ["x"]}
    assert (plan.leave, [joined["name"] for joined in plan.joins]) == (None, ["b"])


def test_other_network_modes_are_left_alone() -> None:
    plan = attachments.planned({"networkMode": "host"}, has_bridge=True)
    assert (plan.begins, plan.leave, plan.joins) == (None, None, ())
    assert attachments.mode({"networkMode": "host"}, plan) == "host"


def test_ports_are_read_back_in_order() -> None:
    bound = {
        "443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8443"}],
        "80/tcp": [{"HostIp": "", "HostPort": "8080"}],
        "9/tcp": None,
    }
    running: Any = {"State": {"Running": True}, "NetworkSettings": {"Ports": bound}}
    assert readback.ports({**running, "HostConfig": {}}) == [
        {"internal": 80, "external": 8080, "ip": ANYWHERE, "protocol": "tcp"},
        {"internal": 443, "external": 8443, "ip": "127.0.0.1", "protocol": "tcp"},
    ]


@pytest.mark.parametrize(
    ("upload", "mode", "content"),
    [
        ({"file": "/a/b", "content": "text"}, 0o644, b"text"),
        ({"file": "/a/b", "contentBase64": "AAE=", "permissions": "0400"}, 0o400, b"\0\1"),
        ({"file": "/a/b", "content": "x", "executable": True}, 0o744, b"x"),
    ],
)
def test_uploads_are_tars(upload: Values, mode: int, content: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(uploads.archive(upload))) as tar:
        (entry,) = tar.getmembers()
        packed = tar.extractfile(entry)
        assert packed is not None
        assert (entry.name, entry.mode, packed.read()) == ("a/b", mode, content)


@pytest.mark.parametrize(
    ("upload", "words"),
    [
        ({"file": "/f", "contentBase64": "?"}, "contentBase64 is not base64"),
        ({"file": "/f", "source": "/missing/file"}, "upload of /f: .*No such file"),
        ({"file": "/f", "content": "", "owner": "root"}, "owner is 'root', expected a number"),
    ],
)
def test_uploads_that_cannot_be(upload: Values, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        uploads.archive(upload)


@pytest.mark.parametrize(
    ("inputs", "path"),
    [
        ({"image": "i", "gpus": "all"}, "gpus"),
        ({"image": "i", "healthcheck": {"tests": ["x"], "interval": "5"}}, "healthcheck.interval"),
        ({"image": "i", "networksAdvanced": [{"name": "n", "gwPriority": 1}]}, "networksAdvanced"),
    ],
)
def test_what_is_not_done_is_refused(inputs: Values, path: str) -> None:
    assert [found.path for found in container.check(Properties(inputs))] == [path]


def test_registries_and_their_accounts() -> None:
    known = registries(
        Properties(
            {
                "registryAuth": [
                    {"address": "https://ghcr.io", "username": "me", "password": "p"},
                    {
                        "address": "docker.io",
                        "configFileContent": '{"auths": {"https://index.docker.io/v1/":'
                        ' {"auth": "dTpw"}}}',
                    },
                    {"address": "off.test", "authDisabled": True},
                ]
            }
        )
    )
    assert auth_for("ghcr.io/a/b:1", known) == Registry("https://ghcr.io", "me", "p").auth
    assert (auth_for("redis:7", known) or {})["username"] == "u"
    assert auth_for("quay.io/a", known) is None
    assert [host_of(name) for name in ("a/b", "localhost/b", "h:1/b")] == [
        "docker.io",
        "localhost",
        "h:1",
    ]


def test_a_registry_without_an_account_is_named() -> None:
    wrong = {"registryAuth": [{"address": "x.test", "configFileContent": "{}"}]}
    with pytest.raises(PluginError, match=r"registryAuth for x\.test: no account in configF"):
        registries(Properties(wrong))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"context": "nas"}, "does not do the provider's context"),
        ({"host": "ssh://nas", "sshOpts": ["-i", "key"]}, "does not do the provider's sshOpts"),
    ],
)
def test_settings_that_are_not_done_are_refused(given: Values, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        configured(Properties(given))


def test_a_daemon_that_nobody_runs_is_named() -> None:
    daemon = configured(Properties({"host": "tcp://127.0.0.1:9", "sshOpts": ["-v"]}))
    with pytest.raises(PluginError, match=r"Docker daemon at tcp://127\.0\.0\.1:9 cannot be reach"):
        _ = daemon.api
