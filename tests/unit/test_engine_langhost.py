"""The language host's answers over a real connection, without an engine."""

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import language_pb2 as proto
from pulumi.runtime.proto import language_pb2_grpc

from tools.engine.langhost import child, packages, programs
from tools.engine.langhost.children import Children
from tools.engine.langhost.interpreters import Interpreter
from tools.engine.langhost.servicer import LanguageHost
from tools.engine.model import PINNED

Host = language_pb2_grpc.LanguageRuntimeStub


@pytest.fixture
def children() -> Iterator[Children]:
    started = Children()
    yield started
    started.kill()


@pytest.fixture
def host(children: Children) -> Iterator[Host]:
    server = grpc.server(ThreadPoolExecutor(8))
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(
        LanguageHost("127.0.0.1:1", children), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Host(channel)
    server.stop(None).wait()


def info(folder: Path, **options: str) -> proto.ProgramInfo:
    struct = struct_pb2.Struct()
    struct.update(options)
    return proto.ProgramInfo(
        root_directory=str(folder), program_directory=str(folder), entry_point=".", options=struct
    )


def plugin(folder: Path, source: str, *arguments: str, kind: str) -> proto.RunPluginRequest:
    (folder / "__main__.py").write_text(source)
    return proto.RunPluginRequest(
        pwd=str(folder), args=arguments, info=info(folder), kind=kind, env=["GREETING=hello=you"]
    )


def test_the_host_introduces_itself(host: Host) -> None:
    assert host.Handshake(proto.LanguageHandshakeRequest()) == proto.LanguageHandshakeResponse()
    assert host.GetPluginInfo(empty_pb2.Empty()).version == PINNED
    assert host.Cancel(empty_pb2.Empty()) == empty_pb2.Empty()


def test_it_asks_for_no_plugins(host: Host, tmp_path: Path) -> None:
    assert not host.GetRequiredPackages(
        proto.GetRequiredPackagesRequest(info=info(tmp_path))
    ).packages
    assert not host.GetRequiredPlugins(proto.GetRequiredPluginsRequest()).plugins
    assert not host.RuntimeOptionsPrompts(proto.RuntimeOptionsRequest()).prompts


def test_it_installs_nothing_and_says_so(host: Host, tmp_path: Path) -> None:
    request = proto.InstallDependenciesRequest(info=info(tmp_path))
    (answer,) = host.InstallDependencies(request)
    assert b"installs nothing" in answer.stdout


@pytest.mark.parametrize("method", ["About", "GetProgramDependencies", "Run"])
def test_a_virtualenv_that_is_none_is_the_callers_mistake(
    host: Host, tmp_path: Path, method: str
) -> None:
    request = getattr(proto, f"{method}Request")(info=info(tmp_path, virtualenv="nowhere"))
    with pytest.raises(grpc.RpcError) as raised:
        getattr(host, method)(request)
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert f"hint: create it with: python3 -m venv {tmp_path}/nowhere" in raised.value.details()


def test_packages_are_all_or_those_that_nothing_requires(host: Host, tmp_path: Path) -> None:
    def names(*, transitive: bool) -> set[str]:
        request = proto.GetProgramDependenciesRequest(
            info=info(tmp_path), transitiveDependencies=transitive
        )
        return {found.name for found in host.GetProgramDependencies(request).dependencies}

    assert {"agent-docker", "pulumi", "grpcio"} <= names(transitive=True)
    assert "agent-docker" in names(transitive=False)
    assert "grpcio" not in names(transitive=False)


def test_a_plugin_in_python_is_run_with_its_arguments_and_environment(
    host: Host, tmp_path: Path
) -> None:
    source = """
import os, sys
print(sys.argv[1:], os.environ["GREETING"], "PATH" in os.environ)
print("and an error", file=sys.stderr)
sys.exit(5)
"""
    answers = list(host.RunPlugin(plugin(tmp_path, source, "a", "b c", kind="resource")))
    assert b"".join(a.stdout for a in answers) == b"['a', 'b c'] hello=you False\n"
    assert b"".join(a.stderr for a in answers) == b"and an error\n"
    assert answers[-1].exitcode == 5


def test_a_policy_pack_is_run_by_the_sdk_in_its_own_folder(host: Host, tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("NAME = 'found'")
    source = "import os, neighbour; print(os.getcwd(), neighbour.NAME, flush=True)"
    answers = list(host.RunPlugin(plugin(tmp_path, source, "127.0.0.1:1", kind="analyzer")))
    assert b"".join(a.stdout for a in answers) == f"{tmp_path} found\n".encode()
    assert answers[-1].exitcode == 0


def test_a_plugin_that_is_let_go_ends(host: Host, children: Children, tmp_path: Path) -> None:
    source = "import threading; print('ready', flush=True); threading.Event().wait(60)"
    call = host.RunPlugin(plugin(tmp_path, source, "127.0.0.1:1", kind="analyzer"))
    assert next(call).stdout.startswith(b"ready")
    (running,) = children._running
    call.cancel()
    assert running.wait(10) != 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_child_heeds_a_signal_that_its_parent_ignores(
    children: Children, tmp_path: Path, number: signal.Signals
) -> None:
    program = tmp_path / "wait.py"
    program.write_text("import threading; print('ready', flush=True); threading.Event().wait(60)")
    usual = signal.signal(number, signal.SIG_IGN)
    try:
        started = children.start(
            sys.executable, ["path", str(program)], cwd=str(tmp_path), env={}, piped=True
        )
    finally:
        signal.signal(number, usual)
    assert started.stdout is not None
    assert started.stdout.readline() == b"ready\n"
    started.send_signal(number)
    assert started.wait(10) in {-number, child.BAIL}
    started.communicate()


def test_a_plugin_that_cannot_start_is_named(host: Host, tmp_path: Path) -> None:
    request = plugin(tmp_path, "", kind="resource")
    request.pwd = str(tmp_path / "nowhere")
    with pytest.raises(grpc.RpcError) as raised:
        list(host.RunPlugin(request))
    assert f"{tmp_path}/nowhere" in raised.value.details()


def test_children_end_with_the_host_but_for_providers(children: Children, tmp_path: Path) -> None:
    program = tmp_path / "wait.py"
    program.write_text("import threading; print('ready', flush=True); threading.Event().wait(60)")
    pack, provider = (
        children.start(
            sys.executable,
            ["path", str(program)],
            cwd=str(tmp_path),
            env={},
            piped=True,
            lifeline=lifeline,
        )
        for lifeline in (True, False)
    )
    for started in (pack, provider):
        assert started.stdout is not None
        assert started.stdout.readline() == b"ready\n"
    os.close(children._held)  # as the kernel does when the host has died
    assert pack.wait(10) == 1
    assert provider.poll() is None
    provider.kill()
    for started in (pack, provider):
        started.communicate()


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        (0, proto.RunResponse()),
        (32, proto.RunResponse(bail=True)),
        (3, proto.RunResponse(error="program exited with non-zero exit code: 3")),
        (-9, proto.RunResponse(error="program was ended by signal 9")),
    ],
)
def test_exit_codes_mean(code: int, answer: proto.RunResponse) -> None:
    assert programs.verdict(code) == answer


def test_host_and_child_agree_on_bail() -> None:
    assert programs.BAIL == child.BAIL


def test_a_virtualenv_is_activated(tmp_path: Path) -> None:
    before = {"PATH": "/usr/bin", "PYTHONHOME": "/x", "OTHER": "1"}
    python = Interpreter(f"{tmp_path}/bin/python", tmp_path)
    assert python.activated(before) == {
        "PATH": f"{tmp_path}/bin:/usr/bin",
        "OTHER": "1",
        "VIRTUAL_ENV": str(tmp_path),
    }
    assert Interpreter(sys.executable).activated(before) == before


def test_the_python_of_the_environment_is_asked_for_its_version() -> None:
    version = packages.python_version(Interpreter(sys.executable))
    assert version == ".".join(map(str, sys.version_info[:3]))
