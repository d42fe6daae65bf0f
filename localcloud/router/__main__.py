"""`python -m localcloud.router`: the router alone, until it is told to stop."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

from localcloud.router.server import RouterServer, start_line
from localcloud.router.settings import DEFAULT_QUEUE, Settings
from localcloud.serving import listen, serve_until_signal

URL_VARIABLE = "REDIS_URL"


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    commands = argparse.ArgumentParser(
        prog="python -m localcloud.router",
        description="Stand in for agent-router on 127.0.0.1. Prints one JSON line when ready.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = commands.add_argument
    add("--port", type=int, default=0, help="TCP port; 0 takes a free one")
    add("--redis", help=f"URL of the Redis with the queue, better given as {URL_VARIABLE}")
    add("--queue", default=DEFAULT_QUEUE, help="the Redis list with the jobs")
    add("--parallel", type=int, default=4, help="requests that one provider gets at a time")
    add("--request-seconds", type=float, default=120.0, help="after which a request has failed")
    return commands


def settings(arguments: Sequence[str]) -> Settings:
    """Return the settings that a command line and the environment ask for."""
    commands = parser()
    values = vars(commands.parse_args(arguments))
    url = values.pop("redis") or os.environ.get(URL_VARIABLE)
    if not url:
        commands.error(f"--redis or {URL_VARIABLE} is required")
    return Settings(redis_url=url, **values)


async def serve(chosen: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    sock, url = listen(chosen.port)
    with sock:
        await serve_until_signal(RouterServer(chosen, sock), start_line(url))


if __name__ == "__main__":
    asyncio.run(serve(settings(sys.argv[1:])))
