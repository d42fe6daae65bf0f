"""What every tier shares."""

import signal

from hypothesis import settings

# Timings are never assertions: a loaded machine must not fail a property.
settings.register_profile("agent-docker", deadline=None)
settings.load_profile("agent-docker")

# A runner in the background may have started us with these ignored. Children inherit that, and a
# shell cannot even trap what was ignored when it began.
for _number, _usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGTERM, signal.SIG_DFL),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)
