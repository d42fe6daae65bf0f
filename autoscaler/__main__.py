"""`python -m autoscaler`: the container's command. Settings come from the environment alone.

One JSON line on standard output when it serves, JSON lines on standard error from then on.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

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

    def stop(number: int, _frame: Any) -> None:  # noqa: ANN401 - a signal handler's
        reports.log.info("stopping", signal=signal.Signals(number).name)
        service.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    sys.stdout.write(json.dumps({"url": server.url}) + "\n")
    sys.stdout.flush()
    service.run(server)
    return 0


if __name__ == "__main__":
    sys.exit(run(os.environ))
