"""The engine's questions to a language host, answered for Python (pulumi/language.proto)."""

from collections.abc import Iterator
from typing import NoReturn

import grpc
from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import language_pb2 as proto
from pulumi.runtime.proto import language_pb2_grpc, plugin_pb2

from . import packages, plugins, programs
from .children import Children
from .interpreters import NoInterpreterError, interpreter_of

INSTALL_NOTE = b"The offline language host installs nothing: prepare the environment beforehand.\n"


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """One per engine process; every method may run on a thread of its own.

    What it leaves out (code generation, packing, linking) the base class refuses.
    """

    def __init__(self, engine: str, children: Children) -> None:
        self._engine = engine
        self._children = children

    def Handshake(  # noqa: N802 - the protocol's name, as all below
        self, request: proto.LanguageHandshakeRequest, context: grpc.ServicerContext
    ) -> proto.LanguageHandshakeResponse:
        """Accept the engine; its address came with the arguments already."""
        del request, context
        return proto.LanguageHandshakeResponse()

    def GetPluginInfo(  # noqa: N802
        self, request: empty_pb2.Empty, context: grpc.ServicerContext
    ) -> plugin_pb2.PluginInfo:
        """Carry the version of the SDK that the host speaks for."""
        del request, context
        return plugin_pb2.PluginInfo(version=packages.version("pulumi"))

    def GetRequiredPackages(  # noqa: N802
        self, request: proto.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> proto.GetRequiredPackagesResponse:
        """Ask for none: offline plugins are found on the PATH, nothing can be downloaded."""
        del request, context
        return proto.GetRequiredPackagesResponse()

    def GetRequiredPlugins(  # noqa: N802
        self, request: proto.GetRequiredPluginsRequest, context: grpc.ServicerContext
    ) -> proto.GetRequiredPluginsResponse:
        """Ask for none, as GetRequiredPackages."""
        del request, context
        return proto.GetRequiredPluginsResponse()

    def InstallDependencies(  # noqa: N802
        self, request: proto.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[proto.InstallDependenciesResponse]:
        """Check the interpreter and say that nothing is installed."""
        try:
            interpreter_of(request.info)
        except NoInterpreterError as error:
            refuse(context, error)
        yield proto.InstallDependenciesResponse(stdout=INSTALL_NOTE)

    def RuntimeOptionsPrompts(  # noqa: N802
        self, request: proto.RuntimeOptionsRequest, context: grpc.ServicerContext
    ) -> proto.RuntimeOptionsResponse:
        """Ask a new project's author nothing."""
        del request, context
        return proto.RuntimeOptionsResponse()

    def About(  # noqa: N802
        self, request: proto.AboutRequest, context: grpc.ServicerContext
    ) -> proto.AboutResponse:
        """Name the Python that programs run with."""
        try:
            python = interpreter_of(request.info)
        except NoInterpreterError as error:
            refuse(context, error)
        return proto.AboutResponse(
            executable=python.executable, version=packages.python_version(python)
        )

    def GetProgramDependencies(  # noqa: N802
        self, request: proto.GetProgramDependenciesRequest, context: grpc.ServicerContext
    ) -> proto.GetProgramDependenciesResponse:
        """List what is installed beside the program; by default what nothing else requires."""
        try:
            python = interpreter_of(request.info)
        except NoInterpreterError as error:
            refuse(context, error)
        listed = packages.installed(python, everything=request.transitiveDependencies)
        return proto.GetProgramDependenciesResponse(
            dependencies=[proto.DependencyInfo(name=n, version=v) for n, v in listed]
        )

    def Run(  # noqa: N802
        self, request: proto.RunRequest, context: grpc.ServicerContext
    ) -> proto.RunResponse:
        """Run the program to its end; its output goes straight to the engine."""
        try:
            return programs.run(request, self._engine, self._children)
        except (NoInterpreterError, OSError) as error:
            refuse(context, error)

    def RunPlugin(  # noqa: N802
        self, request: proto.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[proto.RunPluginResponse]:
        """Run a policy pack or a plugin written in Python, streaming its output and exit code."""
        try:
            yield from plugins.run(request, context, self._children)
        except (NoInterpreterError, OSError) as error:
            refuse(context, error)

    def Cancel(  # noqa: N802
        self, request: empty_pb2.Empty, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        """Do nothing: a cancelled program sees its resource monitor refuse and ends by itself."""
        del request, context
        return empty_pb2.Empty()


def refuse(context: grpc.ServicerContext, error: Exception) -> NoReturn:
    """End the call with what stood in the way as its message."""
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
    raise error  # not reached: abort raises
