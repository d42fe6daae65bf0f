"""The start script as it is sent, run by bash among stand-ins for what the machine would have.

The stand-ins (STAND_IN below, one program under several names) write down how they were called.
Everything else the script may use is linked into the only folder of its PATH, so a tool that the
image lacks cannot creep in. bash, perl and the kernel's sockets are real.
"""

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from providers.vastai.start_script import start_command
from tests.ports import free_port

T = TypeVar("T")
DEADLINE = 20.0
# All of them are in Ubuntu's essential packages.
TOOLS = ("bash", "cut", "gzip", "mkdir", "mv", "perl", "rm", "sha256sum", "sleep", "tail", "tar")
TOOLS += ("timeout",)
STAND_INS = ("apt-get", "curl", "dpkg", "ollama")
FOLDER = "tailscale_1.102.4_amd64"

STAND_IN = r'''#!@PYTHON@ -IS
import http.server, json, os, pathlib, shutil, signal, socket, sys, threading, time, urllib.parse

name, args = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
world = pathlib.Path(os.environ["WORLD"])
key = (world / "key").read_text()


def note(event, **more):
    line = json.dumps({"name": name, "event": event, "args": args, "pid": os.getpid(), **more})
    with (world / "journal").open("a") as journal:
        journal.write(line + "\n")


def times(event):
    lines = [json.loads(line) for line in (world / "journal").read_text().splitlines()]
    return sum(line["event"] == event and line["args"] == args for line in lines)


def fails(setting, event):
    return times(event) <= int(os.environ.get(setting, 0))


def seen_in_proc(part):
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/" + part):
        try:
            if key.encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            pass
    return found


def end(*_):
    note("terminated")
    os._exit(0)


def option(prefix):
    return next(arg.removeprefix(prefix) for arg in args if arg.startswith(prefix))


def relay(source, target):
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


def tailnet(address):
    """What tailscaled does in userspace mode: pass connections on to 127.0.0.1, same port."""
    host, port = address.rsplit(":", 1)
    with socket.create_server((host, int(port))) as server:
        while True:
            peer, _ = server.accept()
            local = socket.create_connection(("127.0.0.1", int(port)))
            for pair in ((peer, local), (local, peer)):
                threading.Thread(target=relay, args=pair, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        host = self.headers["Host"].rsplit(":", 1)[0]
        if host not in ("localhost", "127.0.0.1", "127.0.0.2") and not os.environ.get("OPEN"):
            return self.answer(403, b"")  # As Ollama does when it is bound to loopback.
        if self.path == "/stream":
            return self.stream()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/echo":
            return self.answer(200, body)
        self.answer(200, json.dumps({"version": "0", "host": self.headers["Host"]}).encode())

    do_POST = do_GET

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:  # As Go's server does.
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def stream(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\nfirst\r\n")
        while not (world / "go").exists():
            self.connection.settimeout(0.05)
            try:
                if not self.connection.recv(1, socket.MSG_PEEK):
                    note("hung up")
                    return
            except TimeoutError:
                pass
        self.wfile.write(b"6\r\nsecond\r\n0\r\n\r\n")

    def log_message(self, *_):
        pass


def ollama_address():
    host, port = os.environ["OLLAMA_HOST"].rsplit(":", 1)
    return host, int(port)


if name == "dpkg":
    print("amd64")
elif name in ("curl", "wget"):
    note("fetch")
    if os.environ.get("HANG") == "fetch":
        time.sleep(60)
    if fails("FETCH_FAILURES", "fetch"):
        sys.exit("no route to host")
    page = urllib.parse.urlsplit(args[-1]).path.removeprefix("/stable/")
    shutil.copy(world / "site" / page, args[-2])
elif name == "apt-get":
    note(args[1] if args[0] == "-qq" else "install")
    if args[1] == "install" or args[0] == "-qqy":
        (world / "bin" / "curl").symlink_to(world / "stand-in")
elif name == "tailscaled":
    signal.signal(signal.SIGTERM, end)
    with socket.socket(socket.AF_UNIX) as control:
        control.bind(option("--socket="))
        control.listen()
        note("started")
        print("a line of the daemon's log", flush=True)
        if os.environ.get("DAEMON") == "crash":
            sys.exit(1)
        if address := os.environ.get("TAILNET"):
            threading.Thread(target=tailnet, args=(address,), daemon=True).start()
        while True:
            signal.pause()
elif name == "tailscale":
    verb = args[1]
    if verb == "up":
        given = pathlib.Path(option("--auth-key=file:")).read_text()
        args = [arg.split("file:")[0] for arg in args]  # The number of the pipe is chance.
        note("up", key_is_right=given == key, key_in_argv_of=seen_in_proc("cmdline"))
        if os.environ.get("HANG") == "up":
            time.sleep(60)
        if fails("UP_FAILURES", "up"):
            sys.exit("backend error: invalid key: " + given)
    else:
        note(verb)
elif args[0] == "serve":
    signal.signal(signal.SIGTERM, end)
    note("serve", env=dict(os.environ), key_in_argv_of=seen_in_proc("cmdline"),
         key_in_env_of=seen_in_proc("environ"))
    server = http.server.ThreadingHTTPServer(ollama_address(), Handler)
    server.daemon_threads = True
    server.serve_forever()
elif args[0] == "list":
    try:
        socket.create_connection(ollama_address(), 1).close()
    except OSError:
        sys.exit("Error: could not connect to ollama server")
elif args[0] == "show":
    note("show")
    if not (world / "models" / args[1]).exists():
        sys.exit("Error: model not found")
elif args[0] == "pull":
    note("pull")
    if args[1] == os.environ.get("PULL_FAILS") or fails("PULL_FAILURES", "pull"):
        sys.exit("Error: pull model manifest: no such model")
    (world / "models" / args[1]).touch()
'''


def wait_for(what: str, probe: Callable[[], T], context: Callable[[], str] = str) -> T:
    """Return the first truthy answer; a condition that never comes true fails the test."""
    deadline = time.monotonic() + DEADLINE
    while not (answer := probe()):
        assert time.monotonic() < deadline, f"never happened: {what}\n{context()}"
        time.sleep(0.02)
    return answer


@dataclass
class Machine:
    """One rented machine: a folder with its disk, its PATH and the journal of its stand-ins."""

    root: Path
    port: int = field(default_factory=free_port)
    key: str = field(default_factory=lambda: f"tskey-auth-{uuid.uuid4().hex}")
    prefix: tuple[str, ...] = ()
    runs: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for folder in ("bin", "site", "models", "tmp"):
            (self.root / folder).mkdir()
        (self.root / "key").write_text(self.key)
        (self.root / "journal").touch()
        program = self.root / "stand-in"
        program.write_text(STAND_IN.replace("@PYTHON@", sys.executable))
        program.chmod(0o755)
        for name in STAND_INS:
            (self.root / "bin" / name).symlink_to(program)
        for name in TOOLS:
            real = shutil.which(name)
            assert real, f"{name} is not on this machine"
            (self.root / "bin" / name).symlink_to(real)
        self.publish()

    def publish(self, *, digest: str | None = None) -> None:
        """Put tailscale on the vendor's site, by default with its true sha256."""
        archive = self.root / "site" / f"{FOLDER}.tgz"
        with tarfile.open(archive, "w:gz") as tar:
            for name in ("tailscale", "tailscaled"):
                tar.add(self.root / "stand-in", f"{FOLDER}/{name}")
        true = hashlib.sha256(archive.read_bytes()).hexdigest()
        (self.root / "site" / f"{FOLDER}.tgz.sha256").write_text(digest or true)

    @property
    def home(self) -> Path:
        return self.root / "home"

    def start(self, **env: str | None) -> "Machine":
        """Run the script; None takes a variable away."""
        default = {
            "PATH": str(self.root / "bin"),
            "HOME": str(self.root),
            "TMPDIR": str(self.root / "tmp"),
            "WORLD": str(self.root),
            "AGENT_DOCKER_HOME": str(self.home),
            "AGENT_DOCKER_RETRY_DELAY": "0",
            "AGENT_DOCKER_SLOT": "gpu-7k2",
            "AGENT_DOCKER_MODELS": "llama3.2,codellama",
            "CONTAINER_ID": "4711",
            "CONTAINER_API_KEY": "instance-key",
            "TAILSCALE_AUTH_KEY": self.key,
            "OLLAMA_HOST": f"0.0.0.0:{self.port}",
        }
        chosen = {key: value for key, value in (default | env).items() if value is not None}
        with (self.root / "output").open("ab") as output:
            run = subprocess.Popen(
                [*self.prefix, *start_command()],
                env=chosen,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.runs.append(run)
        return self

    @property
    def output(self) -> str:
        return (self.root / "output").read_text()

    def journal(self, name: str = "", event: str = "") -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in (self.root / "journal").read_text().splitlines()]
        return [ln for ln in lines if name in ("", ln["name"]) and event in ("", ln["event"])]

    def count(self, name: str, event: str) -> int:
        return len(self.journal(name, event))

    def saw(self, text: str) -> None:
        def probe() -> bool:
            over = self.runs[-1].poll() is not None
            assert text in self.output or not over, f"ended without {text!r}:\n{self.output}"
            return text in self.output

        wait_for(f"{text!r} in the output", probe, lambda: self.output)

    def ready(self) -> "Machine":
        self.saw("model llama3.2 is ready")
        self.saw("model codellama is ready")
        return self

    def ended(self) -> int:
        return self.runs[-1].wait(DEADLINE)

    def stop(self) -> int:
        self.runs[-1].terminate()
        return self.ended()

    def get(self, path: str = "/api/version", *, host: str = "gpu-7k2-4711.tail.ts.net") -> bytes:
        """Ask as a peer in the tailnet does: tailscaled connects to 127.0.0.1, same port."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        client.request("GET", path, headers={"Host": host})
        answer = client.getresponse()
        body = answer.read()
        client.close()
        assert answer.status == 200, answer.status
        return body

    def clean_up(self) -> None:
        for run in self.runs:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)
            run.wait()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.clean_up()


def test_the_steps_come_in_order(machine: Machine) -> None:
    machine.start().ready()
    steps = [f"{line['name']} {line['event']}" for line in machine.journal()]
    assert steps == [
        "curl fetch",
        "curl fetch",
        "tailscaled started",
        "tailscale up",
        "ollama serve",
        "ollama show",
        "ollama pull",
        "ollama show",
        "ollama pull",
    ]
    archive, digest = (line["args"][-1] for line in machine.journal("curl"))
    assert archive == f"https://pkgs.tailscale.com/stable/{FOLDER}.tgz"
    assert digest == f"{archive}.sha256"
    (daemon,) = machine.journal("tailscaled")
    assert "--tun=userspace-networking" in daemon["args"]
    assert f"--statedir={machine.home}" in daemon["args"]
    assert not (machine.home / "new").exists()


def test_the_hostname_is_slot_and_contract(machine: Machine) -> None:
    machine.start().ready()
    (up,) = machine.journal("tailscale", "up")
    assert "--hostname=gpu-7k2-4711" in up["args"]


def test_the_contract_id_is_also_read_from_the_label(machine: Machine) -> None:
    machine.start(CONTAINER_ID=None, VAST_CONTAINERLABEL="C.815").ready()
    (up,) = machine.journal("tailscale", "up")
    assert "--hostname=gpu-7k2-815" in up["args"]


def test_the_key_is_seen_by_tailscale_only(machine: Machine) -> None:
    machine.start().ready()
    (up,) = machine.journal("tailscale", "up")
    assert up["key_is_right"]
    assert up["key_in_argv_of"] == []
    (serve,) = machine.journal("ollama", "serve")
    assert (serve["key_in_argv_of"], serve["key_in_env_of"]) == ([], [])
    assert not {"TAILSCALE_AUTH_KEY", "CONTAINER_API_KEY", "key"} & serve["env"].keys()
    assert machine.stop() == 0
    assert machine.key not in machine.output
    left = [*machine.home.rglob("*"), *(machine.root / "tmp").rglob("*")]
    files = [path for path in left if path.is_file()]
    assert files
    assert not [path for path in files if machine.key.encode() in path.read_bytes()]
    assert machine.home.stat().st_mode & 0o077 == 0


def test_a_restarted_container_neither_downloads_nor_pulls_again(machine: Machine) -> None:
    machine.start().ready().stop()
    before = machine.count("curl", "fetch"), machine.count("ollama", "pull")
    (machine.root / "output").write_bytes(b"")
    machine.start().ready()
    assert (machine.count("curl", "fetch"), machine.count("ollama", "pull")) == before
    assert machine.count("tailscale", "up") == 2


def test_a_killed_container_starts_again(machine: Machine) -> None:
    machine.start().ready()
    os.killpg(machine.runs[-1].pid, signal.SIGKILL)
    machine.runs[-1].wait()
    assert machine.count("tailscale", "logout") == 0
    assert (machine.home / "sock").exists(), "a stale socket is part of the case"
    (machine.root / "output").write_bytes(b"")
    machine.start().ready()
    assert machine.count("curl", "fetch") == 2
    assert machine.stop() == 0


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"TAILSCALE_AUTH_KEY": None}, "TAILSCALE_AUTH_KEY is not set"),
        ({"TAILSCALE_AUTH_KEY": ""}, "TAILSCALE_AUTH_KEY is not set"),
        ({"AGENT_DOCKER_SLOT": None}, "AGENT_DOCKER_SLOT is not set"),
        ({"CONTAINER_ID": None}, "no contract id in CONTAINER_ID or VAST_CONTAINERLABEL"),
        ({"CONTAINER_ID": None, "VAST_CONTAINERLABEL": "C."}, "no contract id"),
        ({"CONTAINER_ID": "$(reboot)"}, "no contract id"),
    ],
)
def test_what_it_cannot_do_without(
    machine: Machine, env: dict[str, str | None], message: str
) -> None:
    assert machine.start(**env).ended() == 1
    assert message in machine.output
    assert machine.journal() == []


def test_a_download_that_was_tampered_with_is_never_run(machine: Machine) -> None:
    machine.publish(digest="0" * 64)
    assert machine.start().ended() == 1
    assert "tailscale is not installed" in machine.output
    assert machine.journal("tailscaled") == machine.journal("ollama") == []
    assert not (machine.home / FOLDER).exists()
    machine.publish()
    machine.start().ready()


def test_a_download_is_tried_again(machine: Machine) -> None:
    machine.start(FETCH_FAILURES="1").ready()
    assert "downloading tailscale 1.102.4: try 2 failed" in machine.output


def test_wget_serves_when_curl_is_absent(machine: Machine) -> None:
    (machine.root / "bin" / "curl").rename(machine.root / "bin" / "wget")
    machine.start().ready()
    assert machine.count("wget", "fetch") == 2
    assert machine.journal("apt-get") == []


def test_curl_is_installed_when_there_is_neither(machine: Machine) -> None:
    (machine.root / "bin" / "curl").unlink()
    machine.start().ready()
    assert [line["event"] for line in machine.journal("apt-get")] == ["update", "install"]
    assert machine.count("curl", "fetch") == 2


def test_a_refused_key_ends_the_container_without_showing_it(machine: Machine) -> None:
    assert machine.start(UP_FAILURES="99").ended() == 1
    assert machine.count("tailscale", "up") == 4
    assert "backend error: invalid key: ***" in machine.output
    assert "not in the tailnet" in machine.output
    assert machine.key not in machine.output
    assert machine.journal("ollama") == []
    assert not (machine.home / "up.log").exists()
    assert machine.count("tailscaled", "terminated") == 1


def test_joining_is_tried_again(machine: Machine) -> None:
    machine.start(UP_FAILURES="3").ready()
    assert machine.count("tailscale", "up") == 4


def test_a_pull_is_tried_again(machine: Machine) -> None:
    machine.start(PULL_FAILURES="3").ready()
    assert "pulling llama3.2: Error: pull model manifest" in machine.output


def test_a_model_that_cannot_be_pulled_stops_neither_the_others_nor_the_server(
    machine: Machine,
) -> None:
    machine.start(PULL_FAILS="llama3.2")
    machine.saw("model codellama is ready")
    assert "model llama3.2 is ready" not in machine.output
    assert "no such model: try 4 failed" in machine.output
    assert machine.count("ollama", "pull") == 5
    assert machine.get()
    assert machine.runs[-1].poll() is None


@pytest.mark.parametrize("models", ["", None])
def test_no_models_is_no_error(machine: Machine, models: str | None) -> None:
    machine.start(AGENT_DOCKER_MODELS=models).saw("ollama answers")
    assert machine.get()
    assert machine.stop() == 0
    assert machine.journal("ollama", "pull") == []


def test_sigterm_ends_everything_and_frees_the_name(machine: Machine) -> None:
    machine.start().ready()
    assert machine.stop() == 0
    assert machine.count("tailscale", "logout") == 1
    assert machine.count("ollama", "terminated") == 1
    assert machine.count("tailscaled", "terminated") == 1
    steps = [line["event"] for line in machine.journal()]
    assert steps.index("logout") < steps.index("terminated")


@pytest.mark.parametrize(("hang", "name"), [("fetch", "curl"), ("up", "tailscale")])
def test_sigterm_does_not_wait_for_a_slow_step(machine: Machine, hang: str, name: str) -> None:
    machine.start(HANG=hang)
    wait_for(f"{name} hangs", lambda: machine.count(name, hang))
    assert machine.stop() == 0
    assert machine.journal("ollama") == []


@pytest.mark.parametrize(
    ("name", "event", "message"),
    [
        ("tailscaled", "started", "tailscaled ended: a line of the daemon's log"),
        ("ollama", "serve", "ollama or its relay ended"),
    ],
)
def test_a_dead_part_ends_the_container(
    machine: Machine, name: str, event: str, message: str
) -> None:
    machine.start().ready()
    os.kill(machine.journal(name, event)[0]["pid"], signal.SIGKILL)
    assert machine.ended() == 1
    assert message in machine.output


def test_a_daemon_that_died_before_ollama_started_ends_the_container(machine: Machine) -> None:
    assert machine.start(DAEMON="crash").ended() == 1
    assert "tailscaled ended: a line of the daemon's log" in machine.output


def test_a_dead_relay_ends_the_container(machine: Machine) -> None:
    machine.start().ready()
    os.kill(relay_pid(machine), signal.SIGKILL)
    assert machine.ended() == 1
    assert "ollama or its relay ended" in machine.output


def relay_pid(machine: Machine) -> int:
    children = Path(f"/proc/{machine.runs[-1].pid}/task/{machine.runs[-1].pid}/children")
    pids = [int(pid) for pid in children.read_text().split()]
    return next(p for p in pids if Path(f"/proc/{p}/comm").read_text() == "perl\n")


def test_ollama_takes_the_tailnets_name_for_a_local_one(machine: Machine) -> None:
    machine.start().ready()
    assert json.loads(machine.get()) == {"version": "0", "host": "localhost"}
    (serve,) = machine.journal("ollama", "serve")
    assert serve["env"]["OLLAMA_HOST"] == f"127.0.0.2:{machine.port}"


def test_every_request_of_a_connection_is_taken_for_a_local_one(machine: Machine) -> None:
    machine.start().ready()
    client = http.client.HTTPConnection("127.0.0.1", machine.port, timeout=DEADLINE)
    for _ in range(2):
        client.request("GET", "/", headers={"Host": "gpu-7k2-4711", "Connection": "keep-alive"})
        answer = client.getresponse()
        assert json.loads(answer.read())["host"] == "localhost"
    client.close()


def test_a_body_passes_unchanged(machine: Machine) -> None:
    machine.start().ready()
    body = b"Host: mine\r\nConnection: mine\r\n\r\n" + os.urandom(3_000_000)
    client = http.client.HTTPConnection("127.0.0.1", machine.port, timeout=DEADLINE)
    client.request("POST", "/echo", body)
    assert client.getresponse().read() == body
    client.close()


def test_an_answer_streams_and_a_client_that_leaves_is_noticed(machine: Machine) -> None:
    machine.start().ready()
    clients = [http.client.HTTPConnection("127.0.0.1", machine.port, timeout=9) for _ in range(2)]
    answers = []
    for client in clients:
        client.request("GET", "/stream")
        answers.append(client.getresponse())
    assert [answer.read1() for answer in answers] == [b"first", b"first"]
    answers[1].close()
    clients[1].close()
    wait_for("the server sees it", lambda: machine.journal("ollama", "hung up"))
    (machine.root / "go").touch()
    assert answers[0].read() == b"second"
    clients[0].close()
    assert machine.count("ollama", "hung up") == 1


@pytest.mark.parametrize("form", [":{}", "http://0.0.0.0:{}", "http://0.0.0.0:{}/", "[::]:{}"])
def test_only_the_port_of_ollama_host_counts(machine: Machine, form: str) -> None:
    machine.start(OLLAMA_HOST=form.format(machine.port)).ready()
    assert machine.get()


def test_another_address_of_the_machine_refuses(machine: Machine) -> None:
    machine.start().ready()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.3", machine.port), 5)


def test_listening_everywhere_is_an_explicit_choice(machine: Machine) -> None:
    machine.start(AGENT_DOCKER_LISTEN_ALL="1", OPEN="1").ready()
    socket.create_connection(("127.0.0.3", machine.port), 5).close()
    (serve,) = machine.journal("ollama", "serve")
    assert serve["env"]["OLLAMA_HOST"] == f"0.0.0.0:{machine.port}"


# The machine in a network of its own: `bridge` is the stranger's host, `tail` the tailnet.
OUTSIDE, INSIDE = "10.213.77.1", "10.213.77.2"
PEER, NODE = "100.64.77.1", "100.64.77.2"


def ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True, capture_output=True, text=True)


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"ad{uuid.uuid4().hex[:8]}"
    try:
        build_network(name)
        yield name
    finally:
        for doomed in (["link", "delete", f"{name}h0"], ["link", "delete", f"{name}h1"]):
            subprocess.run(["ip", *doomed], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def build_network(name: str) -> None:
    try:
        ip("netns", "add", name)
        for number, (ours, theirs) in enumerate([(OUTSIDE, INSIDE), (PEER, NODE)]):
            here, there = f"{name}h{number}", f"{name}m{number}"
            ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
            ip("addr", "add", f"{ours}/30", "dev", here)
            ip("link", "set", here, "up")
            ip("-n", name, "addr", "add", f"{theirs}/30", "dev", there)
            ip("-n", name, "link", "set", there, "up")
        ip("-n", name, "link", "set", "lo", "up")
    except (OSError, subprocess.CalledProcessError) as error:
        why = f"no network namespaces here: {getattr(error, 'stderr', None) or error}"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)


@pytest.fixture
def remote(tmp_path: Path, namespace: str) -> Iterator[Machine]:
    made = Machine(
        tmp_path, port=11434, prefix=(shutil.which("ip") or "", "netns", "exec", namespace)
    )
    yield made
    made.clean_up()


def ask(address: str) -> int:
    client = http.client.HTTPConnection(address, 11434, timeout=DEADLINE)
    client.request("GET", "/", headers={"Host": "gpu-7k2-4711:11434"})
    status = client.getresponse().status
    client.close()
    return status


def test_only_the_tailnet_reaches_ollama(remote: Machine) -> None:
    remote.start(OLLAMA_HOST=None, TAILNET=f"{NODE}:11434").ready()
    assert ask(NODE) == 200
    with pytest.raises(ConnectionRefusedError):
        ask(INSIDE)
    assert remote.stop() == 0


def test_without_the_loopback_the_outside_would_reach_it(remote: Machine) -> None:
    """Proof that the test above can fail: the same route, with the protection switched off."""
    remote.start(OLLAMA_HOST="0.0.0.0:11434", AGENT_DOCKER_LISTEN_ALL="1", OPEN="1").ready()
    assert ask(INSIDE) == 200
