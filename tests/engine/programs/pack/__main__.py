# ruff: noqa: N802 - the protocol's names
"""A policy pack at the level of the protocol, so that the test needs no policy SDK."""

from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import analyzer_pb2 as proto
from pulumi.runtime.proto import analyzer_pb2_grpc, plugin_pb2

RULE = {"policyName": "no-forbidden", "policyPackName": "tests", "policyPackVersion": "0.0.1"}


class Pack(analyzer_pb2_grpc.AnalyzerServicer):
    """One mandatory rule: no resource is named `forbidden`."""

    def GetAnalyzerInfo(self, request: object, context: object) -> proto.AnalyzerInfo:
        del request, context
        rule = proto.PolicyInfo(name="no-forbidden", enforcementLevel=proto.MANDATORY)
        return proto.AnalyzerInfo(name="tests", version="0.0.1", policies=[rule])

    def GetPluginInfo(self, request: object, context: object) -> plugin_pb2.PluginInfo:
        del request, context
        return plugin_pb2.PluginInfo(version="0.0.1")

    def Configure(self, request: object, context: object) -> empty_pb2.Empty:
        del request, context
        return empty_pb2.Empty()

    def Analyze(self, request: proto.AnalyzeRequest, context: object) -> proto.AnalyzeResponse:
        del context
        if request.name != "forbidden":
            return proto.AnalyzeResponse()
        found = proto.AnalyzeDiagnostic(
            **RULE, message="it is", enforcementLevel=proto.MANDATORY, urn=request.urn
        )
        return proto.AnalyzeResponse(diagnostics=[found])

    def AnalyzeStack(self, request: object, context: object) -> proto.AnalyzeResponse:
        del request, context
        return proto.AnalyzeResponse()

    def Remediate(self, request: object, context: object) -> proto.RemediateResponse:
        del request, context
        return proto.RemediateResponse()


server = grpc.server(ThreadPoolExecutor(4))
analyzer_pb2_grpc.add_AnalyzerServicer_to_server(Pack(), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)  # noqa: T201 - the plugin protocol
server.start()
server.wait_for_termination()
