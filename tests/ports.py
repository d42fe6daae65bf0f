"""A port for something that listens later, or not at all."""

import random
import socket

# Below those that the system gives to outgoing connections: one of these, made again and again to
# a port that nobody listens on yet, may sooner or later come from that very port.
_FIRST, _LAST = 12_000, 19_999
_TRIES = 100


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nothing listens."""
    for _ in range(_TRIES):
        port = random.randint(_FIRST, _LAST)  # noqa: S311 - any will do
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"none of {_TRIES} ports is free")
