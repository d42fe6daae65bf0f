"""The entry point. Light on purpose: an interrupt is answered before anything heavy is loaded."""

import sys

from cli.ending import mistakes
from cli.signals import stop


def run() -> None:
    """Run the command in `sys.argv`; a user's mistake ends with one message and no traceback."""
    stop.install()
    with mistakes(sys.argv[1:]):
        from cli.app import app  # noqa: PLC0415 - see above

        app(prog_name="agent-docker")


if __name__ == "__main__":
    run()
