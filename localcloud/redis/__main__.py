"""`python -m localcloud.redis`: the local profile's Redis, until it is told to stop."""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from localcloud.redis.choice import Plan, RedisUnusable, choose
from localcloud.redis.running import opened

URL_VARIABLE = "REDIS_URL"


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    commands = argparse.ArgumentParser(
        prog="python -m localcloud.redis",
        description="Run a Redis on 127.0.0.1: an installed redis-server, else an embedded one. "
        "Prints one JSON line when ready.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = commands.add_argument
    add("--port", type=int, default=0, help="TCP port; 0 takes a free one")
    add("--folder", type=Path, help="where an installed server logs; else a temporary folder")
    add("--url", help=f"use this one on loopback, better given as {URL_VARIABLE}")
    add("--embedded", action="store_true", help="the embedded one, whatever is installed")
    return commands


async def serve(plan: Plan, port: int, folder: Path | None) -> None:
    """Serve until SIGTERM or SIGINT; RedisUnusable when it ends before."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with opened(plan, port, folder) as server:
        sys.stdout.write(json.dumps(server.start_line()) + "\n")
        sys.stdout.flush()
        ended = asyncio.ensure_future(server.ended())
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not stopped.done():
            raise RedisUnusable(ended.result())
        ended.cancel()


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    options = parser().parse_args(arguments)
    try:
        url = options.url or os.environ.get(URL_VARIABLE)
        plan = Plan(kind="embedded") if options.embedded else choose(url)
        asyncio.run(serve(plan, options.port, options.folder))
    except RedisUnusable as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
