"""The nas stack after an update that was cut off: no dead lock, nothing without a record."""

from operations.daemon import Daemon
from operations.settling import Settling
from operations.stack import Stack


def recover(stack: Stack, daemon: Daemon, *, prefix: str, network: str, host: str) -> None:
    """Make the next update of `stack` possible. Busy when a lock's owner is not proved dead.

    A container whose create was cut off runs under the name that the next one needs. Its data is
    in volumes, so it goes, and so does such a `network`; what is recorded stays.
    """
    Settling(stack=stack, host=host).settle()
    state = stack.refresh(clear_pending=True)
    daemon.remove_others(stack.target.stack, prefix, state.ids)
    daemon.remove_other_network(stack.target.stack, f"{prefix}{network}", state.ids)
