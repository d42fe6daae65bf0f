"""Lines shown beside a resource while it is worked on."""

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc


class EngineLog:
    """Speaks to the engine that started the plugin; silent when there is none."""

    def __init__(self) -> None:
        self._engine: engine_pb2_grpc.EngineStub | None = None

    def connect(self, address: str) -> None:
        """Send everything from now on to the engine at `address`."""
        if address:
            self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))

    def info(self, urn: str, text: str) -> None:
        """Show `text` with the resource of `urn`."""
        if self._engine is None:
            return
        line = engine_pb2.LogRequest(severity=engine_pb2.INFO, message=text, urn=urn)
        try:
            self._engine.Log(line)
        except grpc.RpcError:
            self._engine = None  # an engine that is leaving takes no more
