"""`python -m localcloud.vastai`: the emulator alone, until it is told to stop."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

from localcloud.serving import listen, serve_until_signal
from localcloud.vastai.machines.addresses import available_addresses
from localcloud.vastai.server import Emulator, start_line
from localcloud.vastai.settings import Settings, random_first_id

KEY_VARIABLE = "LOCALCLOUD_VAST_KEY"


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    commands = argparse.ArgumentParser(
        prog="python -m localcloud.vastai",
        description="Emulate the Vast.ai API on 127.0.0.1. Prints one JSON line when ready.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = commands.add_argument
    add("--port", type=int, default=0, help="TCP port of the API; 0 takes a free one")
    add("--seed", type=int, default=1, help="the same seed gives the same offers")
    add("--boot-seconds", type=float, default=2.0, help="emulated seconds until a machine runs")
    add("--time-scale", type=float, default=1.0, help="emulated seconds per real second")
    add(
        "--rate-limits",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="enforce Vast.ai's thresholds",
    )
    add("--create-seconds", type=float, default=0.0, help="real seconds a create takes to answer")
    add("--key", help=f"the accepted API key, better given as {KEY_VARIABLE}; else any is accepted")
    add("--bad-key-status", type=int, choices=(401, 404), default=401, help="answer to a bad key")
    add(
        "--offers", type=int, default=240, help="single-GPU offers, three quarters of them RTX 4090"
    )
    add("--first-id", type=int, help="contract id of the first rental; else random")
    add("--credit", type=float, default=1000.0, help="prepaid dollars")
    add("--work-seconds", type=float, default=0.0, help="real seconds of work for one generate")
    add("--parallel", type=int, default=4, help="generates that one machine works on at a time")
    return commands


def settings(arguments: Sequence[str]) -> Settings:
    """Return the settings that a command line and the environment ask for."""
    values = vars(parser().parse_args(arguments))
    values["key"] = values["key"] or os.environ.get(KEY_VARIABLE) or None
    values["first_id"] = values["first_id"] or random_first_id()
    return Settings(**values)


async def serve(chosen: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    sock, url = listen(chosen.port)
    addresses = available_addresses()
    with sock:
        emulator = Emulator(chosen, sock, addresses)
        await serve_until_signal(emulator, start_line(url, addresses))


if __name__ == "__main__":
    asyncio.run(serve(settings(sys.argv[1:])))
