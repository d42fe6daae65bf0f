"""Failures as the engine understands them, without a secret in their text."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager

import grpc
from pulumi.runtime.proto import provider_pb2 as proto
from pulumi.runtime.proto import status_pb2

from localcloud.plugins.model import InitFailedError, PluginError
from localcloud.plugins.states import failed_state
from localcloud.plugins.values import Properties, encode, hide

# What the engine takes as a failed operation; a number as protobuf's own Status wants it.
_CODE = grpc.StatusCode.UNKNOWN
_CODE_NUMBER = 2


class _KeptError(Exception):
    """An InitFailedError with everything that the engine is to keep."""

    def __init__(self, detail: proto.ErrorResourceInitFailed) -> None:
        super().__init__(detail.reasons[0])
        self.detail = detail


@contextmanager
def keeping(news: Properties, secret: Iterable[str]) -> Generator[None]:
    """Put what was made into the state when it fails later; goes within `reported`."""
    try:
        yield
    except InitFailedError as error:
        raise _KeptError(
            proto.ErrorResourceInitFailed(
                id=error.made.id,
                properties=encode(failed_state(news, error.made.outputs), secret),
                inputs=encode(news, news.secret),
                reasons=[hide(error.reason, news.words)],
            )
        ) from error


@contextmanager
def reported(context: grpc.ServicerContext, *sources: Properties) -> Generator[None]:
    """End the call with whatever goes wrong within; secrets of `sources` stay out of the text."""
    try:
        yield
    except _KeptError as error:
        ending = _status(error.detail)
    except PluginError as error:
        ending = _plain(str(error), sources)
    except Exception as error:  # noqa: BLE001 - a plugin must not end with a traceback
        ending = _plain(f"{type(error).__name__}: {error}", sources)
    else:
        return
    context.abort_with_status(ending)


def _plain(text: str, sources: Iterable[Properties]) -> grpc.Status:
    ending = grpc.Status()
    words = [word for source in sources for word in source.words]
    ending.code, ending.details, ending.trailing_metadata = _CODE, hide(text, words), ()
    return ending


def _status(detail: proto.ErrorResourceInitFailed) -> grpc.Status:
    reason = detail.reasons[0]
    status = status_pb2.Status(code=_CODE_NUMBER, message=reason)
    status.details.add().Pack(detail)
    ending = grpc.Status()
    ending.code, ending.details = _CODE, reason
    ending.trailing_metadata = (("grpc-status-details-bin", status.SerializeToString()),)
    return ending
