"""The official docker and command SDKs on the real engine, with our plugins and a real daemon."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.box import import_box
from tests.docker.daemon import Docker, running_docker
from tests.offline_plugins import Project

SECRET = "correct-horse-battery"  # noqa: S105 - made up

PROGRAM = """
import pulumi
import pulumi_command as command
import pulumi_docker as docker

config = pulumi.Config()
opts = pulumi.ResourceOptions(
    provider=docker.Provider("nas", host=config.require("host")),
)
network = docker.Network("net", name="net", driver="bridge", opts=opts)
volume = docker.Volume("data", name="data", opts=opts)
image = docker.RemoteImage("box", name="local/box:1", keep_locally=True, opts=opts)
script = "trap 'echo $TOKEN > /data/bye; exit 0' TERM; while :; do /bin/busybox sleep 0.1; done"
service = docker.Container(
    "service",
    name="service",
    image=image.image_id,
    command=["/bin/sh", "-c", script],
    envs=["B=2", pulumi.Output.concat("TOKEN=", config.require_secret("token"))],
    labels=[docker.ContainerLabelArgs(label="round", value=config.require("round"))],
    hostname="service",
    network_mode="bridge",
    networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=network.name, aliases=["svc"])],
    ports=[docker.ContainerPortArgs(internal=80, external=18090, ip="127.0.0.1")],
    mounts=[docker.ContainerMountArgs(target="/data", type="volume", source=volume.name)],
    healthcheck=docker.ContainerHealthcheckArgs(
        tests=["CMD", "/bin/busybox", "true"], interval="1s", timeout="5s", retries=3
    ),
    memory=64,
    memory_swap=64,
    shm_size=64,
    log_driver="json-file",
    log_opts={"max-size": "10m", "max-file": "3"},
    restart="unless-stopped",
    security_opts=["no-new-privileges:true"],
    read_only=True,
    wait=True,
    wait_timeout=60,
    destroy_grace_seconds=10,
    opts=pulumi.ResourceOptions.merge(
        opts, pulumi.ResourceOptions(replace_on_changes=["healthcheck", "tmpfs", "init"])
    ),
)
ready = command.local.Command(
    "ready",
    create="cat > $FOLDER/made; echo made",
    delete="cp $FOLDER/made $FOLDER/gone",
    stdin=config.require_secret("token"),
    environment={"FOLDER": config.require("folder")},
    triggers=[service.id],
    logging=command.local.Logging.NONE,
)
pulumi.export("stdout", ready.stdout)
pulumi.export("digest", image.repo_digest)
"""

COMMANDS = """
import pulumi
import pulumi_command as command

config = pulumi.Config()
command.local.Command(
    "again",
    create="cat; echo $CODE >> $FOLDER/runs; exit $CODE",
    stdin=config.require_secret("token"),
    environment={"FOLDER": config.require("folder"), "CODE": config.require("code")},
)
"""


class Stack(Project):
    """The program above in folders of its own."""

    def __init__(self, folder: Path, docker: Docker) -> None:
        super().__init__(folder, PROGRAM)
        self.run("stack", "init", "dev")
        for name, value in {"host": docker.host, "round": "1", "folder": str(folder)}.items():
            self.run("config", "set", name, value)
        self.run("config", "set", "--secret", "token", SECRET)

    def run(self, *arguments: str, ok: bool = True) -> str:
        done = self.pulumi(*arguments)
        assert (done.returncode == 0) is ok, done.stdout
        assert SECRET not in done.stdout
        return done.stdout

    def up(self, *flags: str, ok: bool = True) -> str:
        return self.run("up", "--yes", "--skip-preview", *flags, ok=ok)

    def state(self) -> str:
        return self.run("stack", "export")


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    with running_docker() as daemon:
        import_box(daemon, tmp_path_factory.mktemp("box"))
        yield daemon


@pytest.fixture
def stack(tmp_path: Path, docker: Docker) -> Iterator[Stack]:
    made = Stack(tmp_path, docker)
    yield made
    for name in docker("ps", "--all", "--quiet").split():
        docker("rm", "--force", "--volumes", name)
    docker("network", "rm", "net", ok=False)
    docker("volume", "rm", "data", ok=False)


def test_the_life_of_a_stack(stack: Stack, docker: Docker) -> None:
    assert "7 to create" in stack.run("preview")
    assert "7 created" in stack.up()
    first = docker.inspect("service")
    assert first["State"]["Health"]["Status"] == "healthy"
    assert (stack.folder / "made").read_text() == SECRET
    outputs = json.loads(stack.run("stack", "output", "--json"))
    assert outputs == {"digest": "", "stdout": "[secret]"}

    assert " unchanged" in (again := stack.up())
    assert "updated" not in again
    assert "replaced" not in again
    refreshed = stack.run("refresh", "--yes", "--skip-preview")
    assert "updated" not in refreshed, refreshed
    assert "updated" not in (after := stack.up()), after
    assert docker.inspect("service")["Id"] == first["Id"]

    docker("stop", "--time=0", "service")
    assert "1 updated" in stack.run("refresh", "--yes", "--skip-preview")
    assert "1 updated" in stack.up()
    started = docker.inspect("service")
    assert started["Id"] == first["Id"]
    assert started["State"]["Running"]

    stack.run("config", "set", "round", "2")
    assert "2 replaced" in stack.up()
    assert docker.inspect("service")["Id"] != first["Id"]
    look = ["exec", "service", "/bin/busybox", "cat", "/data/bye"]
    assert docker(*look).strip() == SECRET, "it had its grace"
    assert (stack.folder / "gone").exists()

    docker("rm", "--force", "service")
    assert "1 deleted" in stack.run("refresh", "--yes", "--skip-preview")
    assert "1 created" in stack.up()

    stack.run("destroy", "--yes", "--skip-preview")
    assert docker("ps", "--all", "--quiet") == ""
    assert docker("volume", "ls", "--quiet") == ""
    assert "net" not in docker("network", "ls", "--format={{.Name}}").split()
    assert "local/box" in docker("image", "ls")


def test_a_container_that_fails_stays_in_the_state(stack: Stack, docker: Docker) -> None:
    program = stack.project / "__main__.py"
    program.write_text(PROGRAM.replace('"/bin/sh", "-c", script', '"/bin/busybox", "false"'))
    program.write_text(program.read_text().replace("wait=True", "wait=False"))
    program.write_text(program.read_text().replace('"unless-stopped"', '"no"'))
    assert "exited with code 1" in stack.up(ok=False)
    assert docker.inspect("service")["Id"] in stack.state()
    program.write_text(PROGRAM)
    assert "1 replaced" in stack.up()
    assert "updated" not in stack.up()
    stack.run("destroy", "--yes", "--skip-preview")
    assert docker("ps", "--all", "--quiet") == ""


def test_a_type_that_is_not_there_is_refused(stack: Stack) -> None:
    program = stack.project / "__main__.py"
    program.write_text(
        PROGRAM
        + '\npulumi.CustomResource("docker:index/secret:Secret", "other", {"name": "s"}, opts)\n'
    )
    text = stack.run("preview", ok=False)
    assert "the offline docker plugin has no resource type docker:index/secret:Secret" in text


def test_a_daemon_that_nobody_runs_is_named(stack: Stack) -> None:
    stack.run("config", "set", "host", "unix:///nonexistent/docker.sock")
    stack.run("preview")
    text = stack.up(ok=False)
    assert "the Docker daemon at unix:///nonexistent/docker.sock cannot be reached" in text


def test_a_command_that_fails_leaves_nothing(stack: Stack) -> None:
    (stack.project / "__main__.py").write_text(COMMANDS)
    stack.run("config", "set", "code", "3")
    text = stack.up(ok=False)
    assert "exit status 3: running" in text
    assert "[secret]" in text
    assert '"command:local:Command"' not in stack.state()
    stack.run("config", "set", "code", "0")
    assert "1 created" in stack.up()
    stack.run("config", "set", "code", "00")
    assert "1 updated" in stack.up()
    assert (stack.folder / "runs").read_text() == "3\n0\n00\n"
    assert "updated" not in stack.up()
