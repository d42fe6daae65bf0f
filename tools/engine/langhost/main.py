"""Start and end of the host's process: one port printed, quiet whatever ends it."""

import importlib.util
import os
import signal
import stat
import sys
import time
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# The engine kills what has not ended 5 s after its SIGINT (sdk/go/common/resource/plugin).
GRACE_SECONDS = 3.0
# Each running program or policy pack holds a worker; threads start on demand.
WORKERS = 32
# The engine's own limit: a stack's settings may be large.
MAX_MESSAGE_BYTES = 400 * 1024 * 1024


def main() -> None:
    """Serve the engine whose address is the last argument; never returns."""
    import_protocol_only()
    import grpc  # noqa: PLC0415 - after the SDK was set aside
    from pulumi.runtime.proto import language_pb2_grpc  # noqa: PLC0415 - likewise

    from .children import Children  # noqa: PLC0415 - likewise
    from .servicer import LanguageHost  # noqa: PLC0415 - likewise

    children = Children()
    server = grpc.server(
        ThreadPoolExecutor(WORKERS),
        options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)],
    )
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(
        LanguageHost(sys.argv[-1], children), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        server.start()
        print(port, flush=True)  # noqa: T201 - the plugin protocol
        wait_for_engine_to_go()
    except KeyboardInterrupt:
        # The whole group got it: the program is ending by itself and may clean up first.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        children.join(GRACE_SECONDS)
    children.kill()
    os._exit(0)  # nothing of this process is worth an orderly teardown


def import_protocol_only() -> None:
    """Make `pulumi.runtime.proto` importable without running the SDK's own `__init__`s.

    The host needs the message classes only; the whole SDK costs it 80 ms of CPU per update.
    """
    spec = importlib.util.find_spec("pulumi")
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"{sys.executable} has no pulumi package, expected the project's environment")
    folder = Path(next(iter(spec.submodule_search_locations)))
    for name in ("pulumi", "pulumi.runtime", "pulumi.runtime.proto"):
        package = types.ModuleType(name)
        package.__path__ = [str(folder.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package


def wait_for_engine_to_go() -> None:
    """Block until the engine's process has ended, however it did.

    It holds the other end of our stdin and never writes. Without a pipe (a host started by
    hand) the parent's id is watched instead.
    """
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        while os.read(0, 4096):
            pass
        return
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
