"""The engine's questions to a resource plugin, answered from a plugin's types and functions."""

import threading
from collections.abc import Iterable
from typing import Generic, TypeVar

import grpc
from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import plugin_pb2, provider_pb2_grpc
from pulumi.runtime.proto import provider_pb2 as proto

from localcloud.plugins import diffs, names
from localcloud.plugins.config import settings
from localcloud.plugins.engine_log import EngineLog
from localcloud.plugins.errors import keeping, reported
from localcloud.plugins.model import Call, Old, Plugin, PluginError, ResourceType
from localcloud.plugins.shapes import Refusal, refusals
from localcloud.plugins.states import made_state, preview_state, refreshed
from localcloud.plugins.values import Properties, Values, decode, encode, hide

T = TypeVar("T")


class ProviderServicer(provider_pb2_grpc.ResourceProviderServicer, Generic[T]):
    """One per process; every method may run on a thread of its own.

    What it leaves out (components, schemas, parameters) the base class refuses.
    """

    def __init__(self, plugin: Plugin[T], log: EngineLog) -> None:
        self._plugin = plugin
        self._log = log
        self._types = {kind.token: kind for kind in plugin.types}
        self._functions = {function.token: function for function in plugin.functions}
        self._config = Properties()
        # In a list: None may be a client.
        self._client: list[T] = []
        self.cancelled = threading.Event()

    def Handshake(  # noqa: N802 - the protocol's name, as all below
        self, request: proto.ProviderHandshakeRequest, context: grpc.ServicerContext
    ) -> proto.ProviderHandshakeResponse:
        """Agree to see secrets marked as such: they are kept out of every message."""
        del context
        self._log.connect(request.engine_address)
        return proto.ProviderHandshakeResponse(accept_secrets=True)

    def GetPluginInfo(  # noqa: N802
        self, request: empty_pb2.Empty, context: grpc.ServicerContext
    ) -> plugin_pb2.PluginInfo:
        """Carry the version of the SDK that the plugin speaks for."""
        del request, context
        return plugin_pb2.PluginInfo(version=self._plugin.version)

    def CheckConfig(  # noqa: N802
        self, request: proto.CheckRequest, context: grpc.ServicerContext
    ) -> proto.CheckResponse:
        """Refuse settings that the official provider does not have."""
        del context
        given = settings(decode(request.news), self._plugin.config)
        owner = f"the {self._plugin.name} provider"
        found = refusals(given, self._plugin.config, owner)
        return proto.CheckResponse(inputs=request.news, failures=_failures(found))

    def DiffConfig(  # noqa: N802
        self, request: proto.DiffRequest, context: grpc.ServicerContext
    ) -> proto.DiffResponse:
        """Say which settings changed; most can without a new resource anywhere."""
        del context
        fields = self._plugin.config
        old = settings(decode(request.old_inputs), fields)
        new = settings(decode(request.news), fields)
        changed = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
        return proto.DiffResponse(
            changes=proto.DiffResponse.DIFF_SOME if changed else proto.DiffResponse.DIFF_NONE,
            diffs=changed,
            replaces=[name for name in changed if name in self._plugin.config_replaces],
        )

    def Configure(  # noqa: N802
        self, request: proto.ConfigureRequest, context: grpc.ServicerContext
    ) -> proto.ConfigureResponse:
        """Make the client."""
        self._config = settings(decode(request.args), self._plugin.config)
        with reported(context, self._config):
            self._client = [self._plugin.configure(self._config)]
        return proto.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(  # noqa: N802
        self, request: proto.CheckRequest, context: grpc.ServicerContext
    ) -> proto.CheckResponse:
        """Refuse what the official SDK does not have; fill in defaults and the name."""
        news, olds = decode(request.news), decode(request.olds)
        with reported(context, news, olds):
            kind = self._type(request.urn)
            found = refusals(news, kind.inputs, kind.token)
            filled = names.filled(kind, news, olds, request.urn, request.randomSeed)
            if not found and kind.check is not None:
                found = kind.check(filled)
        return proto.CheckResponse(
            inputs=encode(filled, filled.secret), failures=_failures(found, news.words)
        )

    def Diff(  # noqa: N802
        self, request: proto.DiffRequest, context: grpc.ServicerContext
    ) -> proto.DiffResponse:
        """Compare the state with the new inputs."""
        old = Old(request.id, decode(request.olds), decode(request.old_inputs))
        news = decode(request.news)
        with reported(context, news, old.inputs, old.outputs):
            kind = self._type(request.urn)
            return diffs.response(kind, diffs.changes(kind, old, news))

    def Create(  # noqa: N802
        self, request: proto.CreateRequest, context: grpc.ServicerContext
    ) -> proto.CreateResponse:
        """Make it; in a preview say only what its state would hold."""
        news = decode(request.properties)
        with reported(context, news, self._config):
            kind = self._type(request.urn)
            secret = kind.hidden(news)
            if request.preview:
                return proto.CreateResponse(properties=encode(preview_state(kind, news), secret))
            with keeping(news, secret):
                made = kind.create(self._call(request.urn, request.timeout), news)
        return proto.CreateResponse(
            id=made.id, properties=encode(made_state(news, made.outputs), secret)
        )

    def Read(  # noqa: N802
        self, request: proto.ReadRequest, context: grpc.ServicerContext
    ) -> proto.ReadResponse:
        """Refresh or import; an empty answer says that it is gone."""
        old = Old(request.id, decode(request.properties), decode(request.inputs))
        with reported(context, old.inputs, old.outputs, self._config):
            kind = self._type(request.urn)
            found = kind.read(self._call(request.urn, request.timeout), old)
            if found is None:
                return proto.ReadResponse()
            outputs, inputs = refreshed(kind, old, found)
            hidden = kind.hidden(old.outputs, old.inputs)
        return proto.ReadResponse(
            id=found.id,
            properties=encode(outputs, hidden),
            inputs=encode(inputs, old.inputs.secret),
        )

    def Update(  # noqa: N802
        self, request: proto.UpdateRequest, context: grpc.ServicerContext
    ) -> proto.UpdateResponse:
        """Change it in place."""
        old = Old(request.id, decode(request.olds), decode(request.old_inputs))
        news = decode(request.news)
        with reported(context, news, old.inputs, old.outputs, self._config):
            kind = self._type(request.urn)
            secret = kind.hidden(news)
            if kind.update is None:
                raise PluginError(f"{kind.token} cannot be changed in place: replace it")
            if request.preview:
                state = preview_state(kind, news, old)
                return proto.UpdateResponse(properties=encode(state, secret))
            with keeping(news, secret):
                outputs = kind.update(self._call(request.urn, request.timeout), old, news)
        return proto.UpdateResponse(properties=encode(made_state(news, outputs), secret))

    def Delete(  # noqa: N802
        self, request: proto.DeleteRequest, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        """Remove it, as the old state says."""
        old = Old(request.id, decode(request.properties), decode(request.old_inputs))
        with reported(context, old.inputs, old.outputs, self._config):
            kind = self._type(request.urn)
            kind.delete(self._call(request.urn, request.timeout), old)
        return empty_pb2.Empty()

    def Invoke(  # noqa: N802
        self, request: proto.InvokeRequest, context: grpc.ServicerContext
    ) -> proto.InvokeResponse:
        """Answer a function."""
        given = decode(request.args)
        with reported(context, given, self._config):
            function = self._functions.get(request.tok)
            if function is None:
                raise PluginError(self._unknown(f"function {request.tok}", self._functions))
            found = refusals(given, function.inputs, function.token)
            if found:
                return proto.InvokeResponse(failures=_failures(found, given.words))
            answer = function.run(self._call("", 0), given)
            secret = function.secret | (frozenset(answer) & given.secret)
        return _invoked(answer, secret)

    def Cancel(  # noqa: N802
        self, request: empty_pb2.Empty, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        """End the long waits."""
        del request, context
        self.cancelled.set()
        return empty_pb2.Empty()

    def _type(self, urn: str) -> ResourceType[T]:
        token = names.type_of(urn)
        if token not in self._types:
            raise PluginError(self._unknown(f"resource type {token}", self._types))
        return self._types[token]

    def _unknown(self, what: str, known: Iterable[str]) -> str:
        return (
            f"the offline {self._plugin.name} plugin has no {what}; it has"
            f" {', '.join(sorted(known)) or 'none'}\n"
            "hint: run with Pulumi's own plugins (without AGENT_DOCKER_OFFLINE), or add it there"
        )

    def _call(self, urn: str, timeout: float) -> Call[T]:
        if not self._client:
            raise PluginError(
                f"the {self._plugin.name} provider is not configured: one of its settings is"
                " not known yet"
            )
        return Call(
            client=self._client[0],
            urn=urn,
            name=names.name_of(urn),
            timeout=timeout,
            cancelled=self.cancelled,
            log=lambda text: self._log.info(urn, text),
        )


def _invoked(answer: Values, secret: Iterable[str]) -> proto.InvokeResponse:
    response = proto.InvokeResponse()
    # The field's name is a keyword.
    getattr(response, "return").CopyFrom(encode(answer, secret))
    return response


def _failures(found: Iterable[Refusal], words: Iterable[str] = ()) -> list[proto.CheckFailure]:
    return [proto.CheckFailure(property=one.path, reason=hide(one.reason, words)) for one in found]
