"""`python -m autoscaler`: the container's command. Settings come from the environment alone.

One JSON line on standard output when it serves, JSON lines on standard error from then on.
"""

import contextlib
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Mapping

import structlog

from autoscaler.records import Reports
from autoscaler.secret_files import with_secret_files
from autoscaler.server import StatusServer
from autoscaler.service import SILENCE, Service
from contracts.errors import AgentDockerError


def configure_log() -> None:
    """Log as JSON lines on standard error."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def run(env: Mapping[str, str]) -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    configure_log()
    try:
        reports = Reports()
        service = Service.of(with_secret_files(env), reports)
        server = StatusServer(reports, service.settings.listen, silence=SILENCE)
    except AgentDockerError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code

    def stop(number: int) -> None:
        # First: the log may be on a full disk.
        service.stop()
        reports.log.info("stopping", signal=signal.Signals(number).name)

    on_signals(stop)
    sys.stdout.write(json.dumps({"url": server.url}) + "\n")
    sys.stdout.flush()
    service.run(server)
    return 0


def on_signals(stop: Callable[[int], None]) -> None:
    """Call `stop` with each SIGTERM and SIGINT from now on, in a thread of its own.

    A handler runs in the midst of what the main thread does, which may hold the lock of the log or
    of an event: there, `stop` would wait for itself.
    """
    asked = queue.SimpleQueue[int]()

    def listen() -> None:
        while True:
            # Whatever becomes of one, the next is heard.
            with contextlib.suppress(Exception):
                stop(asked.get())

    threading.Thread(target=listen, name="signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        # `put` of this queue may interrupt itself.
        signal.signal(number, lambda number, _frame: asked.put(number))


if __name__ == "__main__":
    sys.exit(run(os.environ))
