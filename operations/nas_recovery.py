"""The nas stack after an update that was cut off: no dead lock, nothing without a record."""

from datetime import datetime

from operations.daemon import Daemon
from operations.settling import Settling
from operations.stack import Stack
from operations.state import StackState


def recover(
    stack: Stack, daemon: Daemon, *, prefix: str, network: str, host: str, since: datetime | None
) -> StackState:
    """Make the next update of `stack` possible. Busy when a lock's owner is not proved dead.

    A container whose create was cut off runs under the name that the next one needs. Its data is
    in volumes, so it goes, and so does such a `network`; what is recorded stays. What is older
    than `since`, when the first update began that may have been cut off, is somebody else's:
    another backend or another copy of the program may have a stack of this name.
    """
    Settling(stack=stack, host=host).settle()
    state = stack.refresh(clear_pending=True)
    if since is not None:
        name = stack.target.stack
        daemon.remove_others(name, prefix, state.ids, since=since)
        daemon.remove_other_network(name, f"{prefix}{network}", state.ids, since=since)
    return state
