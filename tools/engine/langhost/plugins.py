"""Policy packs and plugins written in Python: run with their output streamed to the engine."""

import os
import queue
import threading
from collections.abc import Iterator, Sequence
from typing import IO, Literal

import grpc
from pulumi.runtime.proto import language_pb2 as proto

from .children import Children
from .interpreters import interpreter_of

CHUNK_BYTES = 65536
POLICY_PACK = "analyzer"
Stream = Literal["stdout", "stderr"]


def run(
    request: proto.RunPluginRequest, context: grpc.ServicerContext, children: Children
) -> Iterator[proto.RunPluginResponse]:
    """Yield the plugin's output as it comes and its exit code last.

    Raises NoInterpreterError or OSError if it cannot start. A policy pack ends with the host. A
    provider does not: it may be creating something.
    """
    python = interpreter_of(request.info)
    is_pack = request.kind == POLICY_PACK
    child = children.start(
        python.executable,
        launch_arguments(request),
        cwd=request.info.program_directory if is_pack else request.pwd,
        env=python.activated(dict(pair.split("=", 1) for pair in request.env if "=" in pair)),
        piped=True,
        lifeline=is_pack,
    )
    # The engine takes its leave of a plugin by cancelling this call.
    if not context.add_callback(child.terminate):
        child.terminate()
    if child.stdout is None or child.stderr is None:
        raise AssertionError("children started with `piped` have pipes")
    for name, chunk in merged(child.stdout, child.stderr):
        if name == "stdout":
            yield proto.RunPluginResponse(stdout=chunk)
        else:
            yield proto.RunPluginResponse(stderr=chunk)
    yield proto.RunPluginResponse(exitcode=children.wait(child))


def launch_arguments(request: proto.RunPluginRequest) -> Sequence[str]:
    """What `child.py` runs: the SDK's policy server for a pack, else the plugin's own program."""
    folder = request.info.program_directory
    if request.kind == POLICY_PACK:
        return ["module", "pulumi.policy", *request.args, folder]
    return ["path", f"{folder}/{request.info.entry_point}", *request.args]


def merged(stdout: IO[bytes], stderr: IO[bytes]) -> Iterator[tuple[Stream, bytes]]:
    """Yield what either stream brings, in order of arrival, until both have ended."""
    arrived: queue.SimpleQueue[tuple[Stream, bytes]] = queue.SimpleQueue()

    def pump(name: Stream, stream: IO[bytes]) -> None:
        with stream:
            while chunk := os.read(stream.fileno(), CHUNK_BYTES):
                arrived.put((name, chunk))
        arrived.put((name, b""))

    sources: tuple[tuple[Stream, IO[bytes]], ...] = (("stdout", stdout), ("stderr", stderr))
    for source in sources:
        threading.Thread(target=pump, args=source, daemon=True).start()
    open_streams = len(sources)
    while open_streams:
        name, chunk = arrived.get()
        if chunk:
            yield name, chunk
        else:
            open_streams -= 1
