"""The offline `docker` plugin as the engine runs it, against a real daemon."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2 as proto
from pulumi.runtime.proto import provider_pb2_grpc, status_pb2

from localcloud.plugins.values import decode, encode
from tests.docker.box import FOREVER, IMAGE, import_box
from tests.docker.daemon import Docker, until
from tests.offline_plugins import asked

LOG = {"logDriver": "json-file", "logOpts": {"max-file": "3", "max-size": "10m"}}


@dataclass(frozen=True)
class Resource:
    """What the engine keeps of one."""

    id: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]


@dataclass(frozen=True)
class Plugin:
    """An engine that asks one question at a time."""

    stub: provider_pb2_grpc.ResourceProviderStub

    def check(self, kind: str, news: dict[str, Any]) -> dict[str, Any]:
        answer = self.stub.Check(proto.CheckRequest(urn=urn(kind), news=encode(news)))
        assert not answer.failures, answer.failures
        return dict(decode(answer.inputs))

    def create(self, kind: str, news: dict[str, Any]) -> Resource:
        inputs = self.check(kind, news)
        request = proto.CreateRequest(urn=urn(kind), properties=encode(inputs))
        made = self.stub.Create(request)
        return Resource(made.id, inputs, dict(decode(made.properties)))

    def diff(self, kind: str, old: Resource, news: dict[str, Any]) -> dict[str, str]:
        """What changes, and how: a kind's name by property."""
        answer = self.stub.Diff(
            proto.DiffRequest(
                id=old.id,
                urn=urn(kind),
                olds=encode(old.outputs),
                old_inputs=encode(old.inputs),
                news=encode(self.check(kind, news)),
            )
        )
        names = proto.PropertyDiff.Kind.Name
        return {name: names(change.kind) for name, change in answer.detailedDiff.items()}

    def update(self, kind: str, old: Resource, news: dict[str, Any]) -> Resource:
        inputs = self.check(kind, news)
        answer = self.stub.Update(
            proto.UpdateRequest(
                id=old.id,
                urn=urn(kind),
                olds=encode(old.outputs),
                old_inputs=encode(old.inputs),
                news=encode(inputs),
            )
        )
        return Resource(old.id, inputs, dict(decode(answer.properties)))

    def read(self, kind: str, old: Resource) -> Resource | None:
        request = proto.ReadRequest(
            id=old.id,
            urn=urn(kind),
            properties=encode(old.outputs),
            inputs=encode(old.inputs),
        )
        answer = self.stub.Read(request)
        if not answer.id:
            return None
        return Resource(answer.id, dict(decode(answer.inputs)), dict(decode(answer.properties)))

    def delete(self, kind: str, old: Resource) -> None:
        request = proto.DeleteRequest(id=old.id, urn=urn(kind), properties=encode(old.outputs))
        self.stub.Delete(request)

    def invoke(self, function: str, args: dict[str, Any]) -> dict[str, Any]:
        token = f"docker:index/{function}:{function}"
        answer = self.stub.Invoke(proto.InvokeRequest(tok=token, args=encode(args)))
        return dict(decode(getattr(answer, "return")))

    def settled(self, kind: str, old: Resource, news: dict[str, Any]) -> Resource:
        """No change now, none after a refresh, and the refresh itself finds nothing new."""
        assert self.diff(kind, old, news) == {}
        fresh = self.read(kind, old)
        assert fresh is not None
        assert fresh.inputs == old.inputs
        assert self.diff(kind, fresh, news) == {}
        return fresh


def urn(kind: str) -> str:
    token = f"docker:index/{kind[0].lower()}{kind[1:]}:{kind}"
    return f"urn:pulumi:test::plugins::{token}::thing"


@pytest.fixture(scope="module")
def box(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> str:
    return import_box(docker, tmp_path_factory.mktemp("box"))


@pytest.fixture(scope="module")
def plugin(docker: Docker) -> Iterator[Plugin]:
    with asked("docker", {"host": docker.host}) as stub:
        yield Plugin(stub)


@pytest.fixture
def network(plugin: Plugin) -> Iterator[str]:
    made = plugin.create("Network", {"name": "net-a", "driver": "bridge"})
    yield "net-a"
    plugin.delete("Network", made)


def container(name: str, **more: object) -> dict[str, Any]:
    """A container's inputs in the form that does not come back as a change."""
    return {"name": name, "image": IMAGE, "command": FOREVER, **LOG, **more}


def exec_in(docker: Docker, name: str, *command: str) -> str:
    return docker("exec", name, "/bin/busybox", *command)


def test_a_container_with_everything_settles(
    plugin: Plugin, docker: Docker, box: str, network: str, tmp_path: Path
) -> None:
    del box
    before = set(docker("volume", "ls", "--quiet").split())
    docker("volume", "create", "vol-a")
    news = container(
        "all",
        envs=["B=2", "A=1"],
        labels=[{"label": "z", "value": "1"}, {"label": "a", "value": "2"}],
        user="1000:1000",
        hostname="all",
        ports=[{"internal": 8080, "external": 18080, "ip": "127.0.0.1", "protocol": "tcp"}],
        mounts=[
            {"target": "/data", "type": "volume", "source": "vol-a"},
            {"target": "/host", "type": "bind", "source": str(tmp_path), "readOnly": True},
        ],
        volumes=[{"containerPath": "/anonymous"}],
        networksAdvanced=[{"name": network, "aliases": ["everything"]}],
        networkMode="bridge",
        readOnly=True,
        capabilities={"drops": ["ALL"], "adds": ["CAP_CHOWN"]},
        securityOpts=["no-new-privileges:true"],
        restart="unless-stopped",
        memory=64,
        memorySwap=64,
        shmSize=32,
        cpus="0.5",
        ulimits=[{"name": "nofile", "soft": 1024, "hard": 2048}],
        tmpfs={"/tmp": "rw,noexec,nosuid,size=64m"},  # noqa: S108 - within the container
        init=False,
        healthcheck={
            "tests": ["CMD", "/bin/busybox", "true"],
            "interval": "1s",
            "timeout": "5s",
            "retries": 3,
        },
        stopSignal="SIGTERM",
        stopTimeout=5,
        wait=True,
        waitTimeout=30,
        destroyGraceSeconds=0,
        workingDir="/data",
        groupAdds=["2000"],
        hosts=[{"host": "example.test", "ip": "127.0.0.2"}],
        dns=["127.0.0.53"],
    )
    made = plugin.create("Container", news)
    assert docker.inspect("all")["State"]["Health"]["Status"] == "healthy"
    assert made.outputs["networkDatas"][0]["networkName"] == network
    assert made.outputs["mustRun"] is True
    fresh = plugin.settled("Container", made, news)
    assert fresh.outputs == made.outputs
    assert exec_in(docker, "all", "nslookup", "everything", "127.0.0.11")
    plugin.delete("Container", fresh)
    assert plugin.read("Container", fresh) is None
    plugin.delete("Container", fresh)
    left = set(docker("volume", "ls", "--quiet").split()) - before
    assert left == {"vol-a"}, "the anonymous one went"
    docker("volume", "rm", "vol-a")


def test_a_stopped_container_is_started_by_an_update(
    plugin: Plugin, docker: Docker, box: str, network: str
) -> None:
    del box
    port = {"internal": 80, "external": 18081, "ip": "127.0.0.1"}
    news = container("stopped", ports=[port], networksAdvanced=[{"name": network}])
    made = plugin.create("Container", news)
    docker("stop", "--time=0", "stopped")
    fresh = plugin.read("Container", made)
    assert fresh is not None
    assert fresh.outputs["mustRun"] is False
    assert plugin.diff("Container", fresh, news) == {"mustRun": "UPDATE"}
    again = plugin.update("Container", fresh, news)
    assert docker.inspect("stopped")["State"]["Running"]
    assert again.outputs["mustRun"] is True
    plugin.settled("Container", again, news)
    plugin.delete("Container", again)


def test_a_container_that_is_not_started_is_no_change(
    plugin: Plugin, docker: Docker, box: str
) -> None:
    del box
    news = container("created", start=False, mustRun=False, networkMode="none")
    made = plugin.create("Container", news)
    assert docker.inspect("created")["State"]["Status"] == "created"
    plugin.delete("Container", plugin.settled("Container", made, news))


def test_what_can_change_in_place_does(plugin: Plugin, docker: Docker, box: str) -> None:
    del box
    news = container("update", networkMode="none", memory=64, memorySwap=64, restart="no")
    made = plugin.create("Container", news)
    larger = news | {"memory": 128, "memorySwap": 128, "restart": "unless-stopped"}
    wanted = {"memory": "UPDATE", "memorySwap": "UPDATE", "restart": "UPDATE"}
    assert plugin.diff("Container", made, larger) == wanted
    after = plugin.update("Container", made, larger)
    host = docker.inspect("update")["HostConfig"]
    assert host["Memory"] == 128 * 1024 * 1024
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    plugin.settled("Container", after, larger)
    plugin.delete("Container", after)


def test_memory_without_swap_is_a_change_after_a_refresh(
    plugin: Plugin, docker: Docker, box: str
) -> None:
    del box, docker
    news = container("swap", networkMode="none", memory=64)
    made = plugin.create("Container", news)
    assert plugin.diff("Container", made, news) == {}
    fresh = plugin.read("Container", made)
    assert fresh is not None
    assert fresh.outputs["memorySwap"] == 128, "the daemon doubles it"
    assert plugin.diff("Container", fresh, news) == {"memorySwap": "DELETE"}
    with pytest.raises(grpc.RpcError, match=r"container swap cannot be updated: .*memoryswap"):
        plugin.update("Container", made, news | {"memory": 512})
    plugin.delete("Container", made)


def test_swap_without_a_limit_settles(plugin: Plugin, docker: Docker, box: str) -> None:
    del box
    news = container("free", networkMode="none", memory=64, memorySwap=-1)
    made = plugin.create("Container", news)
    assert docker.inspect("free")["HostConfig"]["MemorySwap"] == -1
    plugin.delete("Container", plugin.settled("Container", made, news))


def test_a_health_check_edited_in_place_comes_back_after_a_refresh(
    plugin: Plugin, docker: Docker, box: str
) -> None:
    del box
    tests = {"tests": ["CMD", "/bin/busybox", "true"]}
    news = container("health", networkMode="none", healthcheck=tests | {"interval": "30s"})
    made = plugin.create("Container", news)
    edited = news | {"healthcheck": tests | {"interval": "10s"}}
    assert plugin.diff("Container", made, edited) == {"healthcheck": "UPDATE"}
    after = plugin.update("Container", made, edited)
    assert plugin.diff("Container", after, edited) == {}
    assert docker.inspect("health")["Config"]["Healthcheck"]["Interval"] == 30_000_000_000
    fresh = plugin.read("Container", after)
    assert fresh is not None
    assert plugin.diff("Container", fresh, edited) == {"healthcheck": "UPDATE"}
    plugin.delete("Container", fresh)


def test_the_grace_of_the_old_state_is_given(plugin: Plugin, docker: Docker, box: str) -> None:
    del box
    script = "trap 'echo bye > /data/bye; exit 0' TERM; while :; do /bin/busybox sleep 0.1; done"
    docker("volume", "create", "grace")
    mounts = [{"target": "/data", "type": "volume", "source": "grace"}]
    news = container("grace", networkMode="none", mounts=mounts, command=["/bin/sh", "-c", script])
    seen: list[bool] = []
    for seconds in (10, 0):
        made = plugin.create("Container", news | {"destroyGraceSeconds": seconds})
        plugin.delete("Container", made)
        look = ["run", "--rm", "--network=none", "--volume=grace:/data", IMAGE, "/bin/busybox"]
        seen.append("bye" in docker(*look, "ls", "/data"))
        docker(*look, "rm", "-f", "/data/bye")
    assert seen == [True, False]
    docker("volume", "rm", "grace")


def test_uploads_are_there_before_the_start(plugin: Plugin, docker: Docker, box: str) -> None:
    del box
    upload = {"file": "/etc/app/conf", "content": "key=value\n", "permissions": "0440"}
    news = container("upload", networkMode="none", uploads=[upload])
    made = plugin.create("Container", news)
    assert exec_in(docker, "upload", "cat", "/etc/app/conf") == "key=value\n"
    assert exec_in(docker, "upload", "stat", "-c", "%a", "/etc/app/conf").strip() == "440"
    plugin.delete("Container", plugin.settled("Container", made, news))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"command": ["/bin/busybox", "false"]}, "exited with code 1"),
        ({"command": ["/missing"]}, "cannot be started"),
        ({"wait": True}, "health check"),
        (
            {
                "wait": True,
                "waitTimeout": 2,
                "healthcheck": {"tests": ["CMD", "/bin/busybox", "false"], "interval": "1s"},
            },
            "not healthy within 2 s",
        ),
    ],
)
def test_a_container_that_fails_is_kept_and_replaced(
    plugin: Plugin, docker: Docker, box: str, more: dict[str, Any], words: str
) -> None:
    del box
    news = container("failing", networkMode="none", **more)
    with pytest.raises(grpc.RpcError, match=words) as raised:
        plugin.create("Container", news)
    failed = init_failed(raised.value)
    assert failed.id == docker.inspect("failing")["Id"]
    old = Resource(failed.id, dict(decode(failed.inputs)), dict(decode(failed.properties)))
    assert plugin.diff("Container", old, news) == {"__failed": "DELETE_REPLACE"}
    fresh = plugin.read("Container", old)
    assert fresh is not None
    assert "__failed" not in plugin.diff("Container", fresh, news), "a refresh clears the mark"
    plugin.delete("Container", old)


def test_a_cancel_ends_the_wait_and_keeps_the_container(docker: Docker, box: str) -> None:
    del box
    check = {"tests": ["CMD", "/bin/busybox", "false"], "interval": "30s"}
    more = {"networkMode": "none", "wait": True, "waitTimeout": 600, "healthcheck": check}
    host = {"host": docker.host}
    with asked("docker", host) as stub, ThreadPoolExecutor(1) as pool:
        plugin = Plugin(stub)
        creating = pool.submit(plugin.create, "Container", container("cancelled", **more))
        until(lambda: "cancelled" in docker("ps", "--format={{.Names}}"), 30)
        plugin.stub.Cancel(empty_pb2.Empty())
        with pytest.raises(
            grpc.RpcError, match="cancelled before the container was healthy"
        ) as ended:
            creating.result(30)
    assert init_failed(ended.value).id == docker.inspect("cancelled")["Id"]
    docker("rm", "--force", "cancelled")


def init_failed(error: Any) -> proto.ErrorResourceInitFailed:  # noqa: ANN401 - a Call
    status = status_pb2.Status.FromString(
        dict(error.trailing_metadata())["grpc-status-details-bin"]
    )
    failed = proto.ErrorResourceInitFailed()
    assert status.details[0].Unpack(failed)
    return failed


def test_a_container_that_removes_itself(plugin: Plugin, docker: Docker, box: str) -> None:
    del box
    made = plugin.create("Container", container("rm", networkMode="none", rm=True))
    plugin.delete("Container", made)
    assert "rm" not in docker("ps", "--all", "--format={{.Names}}").split()


def test_a_container_by_image_id_and_by_name(plugin: Plugin, docker: Docker, box: str) -> None:
    image = docker.inspect(box)["Id"]
    news = container("by-id", networkMode="none") | {"image": image}
    made = plugin.create("Container", news)
    assert plugin.settled("Container", made, news).outputs["image"] == image
    assert "image" in plugin.diff("Container", made, news | {"image": box})
    plugin.delete("Container", made)


def test_a_network_waits_for_its_last_container(plugin: Plugin, docker: Docker, box: str) -> None:
    del box
    news = {"name": "net-b", "internal": True, "labels": [{"label": "a", "value": "b"}]}
    made = plugin.create("Network", news)
    plugin.settled("Network", made, news)
    assert plugin.diff("Network", made, news | {"internal": False}) == {
        "internal": "UPDATE_REPLACE"
    }
    found = plugin.invoke("getNetwork", {"name": "net-b"})
    assert found["id"] == made.id
    assert found["internal"] is True
    docker("run", "--detach", "--name=guest", "--network=net-b", IMAGE, *FOREVER)
    with ThreadPoolExecutor(1) as pool:
        deleting = pool.submit(plugin.delete, "Network", made)
        docker("exec", "guest", "/bin/busybox", "true")
        assert not deleting.done(), "the guest is still connected"
        docker("rm", "--force", "guest")
        deleting.result(30)
    assert plugin.read("Network", made) is None
    with pytest.raises(grpc.RpcError, match="no network net-b"):
        plugin.invoke("getNetwork", {"name": "net-b"})


def test_a_container_in_two_networks(
    plugin: Plugin, docker: Docker, box: str, network: str
) -> None:
    del box
    second = plugin.create("Network", {"name": "net-c"})
    joined = [{"name": network, "aliases": ["one"]}, {"name": second.id, "aliases": ["two"]}]
    news = container("both", networkMode="bridge", networksAdvanced=joined)
    made = plugin.create("Container", news)
    assert [data["networkName"] for data in made.outputs["networkDatas"]] == [network, "net-c"]
    networks = docker.inspect("both")["NetworkSettings"]["Networks"]
    assert "one" in networks[network]["Aliases"]
    assert "two" in networks["net-c"]["Aliases"]
    plugin.delete("Container", plugin.settled("Container", made, news))
    plugin.delete("Network", second)


def test_two_networks_of_one_name_are_refused(plugin: Plugin, network: str) -> None:
    with pytest.raises(grpc.RpcError, match=f"network {network} cannot be created"):
        plugin.create("Network", {"name": network})


def test_a_volume_of_that_name_is_taken_as_it_is(plugin: Plugin, docker: Docker) -> None:
    docker("volume", "create", "--label=old=1", "vol-b")
    made = plugin.create("Volume", {"name": "vol-b"})
    assert made.id == "vol-b"
    assert made.outputs["mountpoint"].endswith("/vol-b/_data")
    plugin.settled("Volume", made, {"name": "vol-b"})
    imported_one = plugin.read("Volume", Resource("vol-b", {}, {}))
    assert imported_one is not None
    assert imported_one.inputs["labels"] == [{"label": "old", "value": "1"}]
    plugin.delete("Volume", made)
    assert plugin.read("Volume", made) is None


def test_an_image_that_is_there_is_not_pulled(plugin: Plugin, docker: Docker, box: str) -> None:
    news = {"name": box, "keepLocally": True, "pullTriggers": ["any"]}
    made = plugin.create("RemoteImage", news)
    assert made.outputs["imageId"] == docker.inspect(box)["Id"]
    assert made.outputs["repoDigest"] == "", "it came from no registry"
    plugin.settled("RemoteImage", made, news)
    assert plugin.diff("RemoteImage", made, news | {"keepLocally": False}) == {
        "keepLocally": "UPDATE"
    }
    plugin.delete("RemoteImage", made)
    assert docker.inspect(box), "kept"
    docker("tag", box, "local/other:1")
    made = plugin.create("RemoteImage", {"name": "local/other:1"})
    plugin.delete("RemoteImage", made)
    assert plugin.read("RemoteImage", made) is None


def test_an_image_that_no_registry_gives(plugin: Plugin) -> None:
    name = "127.0.0.1:9/none/such:1"
    with pytest.raises(grpc.RpcError, match=r"image 127\.0\.0\.1:9/none/such:1 .* 127\.0\.0\.1:9"):
        plugin.create("RemoteImage", {"name": name})
    with pytest.raises(grpc.RpcError, match="did not say its digest"):
        plugin.invoke("getRegistryImage", {"name": name})


def test_a_preview_asks_the_daemon_nothing(plugin: Plugin) -> None:
    plugin.stub.GetPluginInfo(empty_pb2.Empty())
    properties = encode({"name": "preview", "image": "not/there:1"})
    request = proto.CreateRequest(urn=urn("Container"), properties=properties, preview=True)
    answer = plugin.stub.Create(request)
    assert answer.id == ""
    assert repr(decode(answer.properties)["networkDatas"]) == "UNKNOWN"
