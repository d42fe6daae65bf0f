"""`python -m localcloud.cloudflare`: the emulator alone, until it is told to stop."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from localcloud.cloudflare.app import create_app
from localcloud.cloudflare.cloud import new_cloud
from localcloud.cloudflare.server import start_line
from localcloud.cloudflare.settings import DEFAULT_ZONE, LOOPBACK, Settings
from localcloud.serving import Bound, listen, serve_until_signal


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    commands = argparse.ArgumentParser(
        prog="python -m localcloud.cloudflare",
        description=f"Stand in for Cloudflare's API v4 on {LOOPBACK}. Prints one JSON line when"
        " ready: url, admin_url, account_id, zone_id, token.",
    )
    add = commands.add_argument
    add("--host", default=LOOPBACK, help=f"address to listen on; only {LOOPBACK} is allowed")
    add("--port", type=int, default=0, help="TCP port; 0, the default, takes a free one")
    add("--account-id", help="32 hexadecimal digits; a new random one by default")
    add("--zone", default=DEFAULT_ZONE, help=f"name of the zone (default: {DEFAULT_ZONE})")
    add("--token-file", type=Path, help="read the API token from this file, do not make one")
    add("--state", type=Path, help="keep the state in this JSON file over restarts")
    return commands


def settings(arguments: Sequence[str]) -> Settings:
    """Return the settings that a command line asks for; a wrong one ends the process."""
    commands = parser()
    asked = commands.parse_args(arguments)
    token_file: Path | None = asked.token_file
    try:
        token = {} if token_file is None else {"token": token_file.read_text("utf-8").strip()}
        return Settings(
            host=asked.host,
            port=asked.port,
            account_id=asked.account_id,
            zone=asked.zone,
            state_file=asked.state,
            **token,
        )
    except (OSError, ValueError) as error:
        commands.error(str(error))


async def serve(chosen: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    cloud = new_cloud(chosen)
    sock, root = listen(chosen.port)
    with sock:
        await serve_until_signal(Bound(create_app(cloud), sock), start_line(cloud, root))


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    chosen = settings(arguments)
    try:
        asyncio.run(serve(chosen))
    except (OSError, ValueError) as error:
        where = f"port {chosen.port}, state file {chosen.state_file}"
        sys.stderr.write(f"the Cloudflare emulator did not start ({where}): {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
