"""What every tier shares."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Timings are never assertions: a loaded machine must not fail a property.
settings.register_profile("agent-docker", deadline=None)
settings.load_profile("agent-docker")

_USUAL = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
    signal.SIGQUIT: signal.SIG_DFL,
}

# A runner in the background may have started us with these ignored. Children inherit that, and a
# shell cannot even trap what was ignored when it began.
for _number, _handler in _USUAL.items():
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """A command that ends turns deaf (cli.signals); the tests after it must not be."""
    before = {number: signal.getsignal(number) for number in _USUAL}
    yield
    for number, handler in before.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)
