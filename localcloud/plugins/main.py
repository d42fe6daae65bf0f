"""Start and end of a plugin's process: one port printed, quiet whatever ends it."""

import importlib.util
import os
import signal
import stat
import sys
import threading
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from localcloud.plugins.model import Plugin

# The engine kills what has not ended 5 s after its SIGINT (sdk/go/common/resource/plugin).
GRACE_SECONDS = 3.0
# A thread per resource that is being worked on; they start on demand.
WORKERS = 64
# The engine's own limit.
MAX_MESSAGE_BYTES = 400 * 1024 * 1024


def serve(load: "Callable[[], Plugin[Any]]") -> NoReturn:
    """Serve the plugin that `load` returns until the engine has gone; never returns.

    `load` imports the plugin's own modules: only after the SDK was set aside.
    """
    ended = threading.Event()

    def end(number: int, frame: types.FrameType | None) -> None:
        del number, frame
        ended.set()

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    import_protocol_only()
    import grpc  # noqa: PLC0415 - after the signals are heeded
    from pulumi.runtime.proto import provider_pb2_grpc  # noqa: PLC0415 - after the SDK's absence

    from localcloud.plugins.engine_log import EngineLog  # noqa: PLC0415 - likewise
    from localcloud.plugins.servicer import ProviderServicer  # noqa: PLC0415 - likewise

    servicer = ProviderServicer(load(), EngineLog())
    options = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)]
    server = grpc.server(ThreadPoolExecutor(WORKERS), options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)  # noqa: T201 - the plugin protocol
    threading.Thread(target=_watch_engine, args=(ended,), daemon=True).start()
    ended.wait()
    servicer.cancelled.set()
    server.stop(GRACE_SECONDS).wait()
    os._exit(0)  # nothing of this process is worth an orderly teardown


def import_protocol_only() -> None:
    """Make `pulumi.runtime.proto` importable without running the SDK's own `__init__`s.

    A plugin needs the message classes only; the whole SDK would double its time to start.
    """
    spec = importlib.util.find_spec("pulumi")
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"{sys.executable} has no pulumi package, expected the project's environment")
    folder = Path(next(iter(spec.submodule_search_locations)))
    for name in ("pulumi", "pulumi.runtime", "pulumi.runtime.proto"):
        package = types.ModuleType(name)
        package.__path__ = [str(folder.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package


def _watch_engine(ended: threading.Event) -> None:
    """Notice the end of the engine's process: it holds the other end of our stdin."""
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        while os.read(0, 4096):
            pass
        ended.set()
