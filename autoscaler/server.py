"""`/metrics`, `/healthz` and `/status` over HTTP, for whoever watches the container."""

import json
import time
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import make_wsgi_app  # pyright: ignore[reportUnknownVariableType]

from autoscaler.records import Reports
from contracts.errors import SettingsError


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the base's
        """Say nothing: probes come every few seconds."""


class StatusServer:
    """Serves until `stop`. Not healthy: a problem, or no tick for `silence` seconds."""

    def __init__(self, reports: Reports, listen: str, *, silence: float) -> None:
        self._reports = reports
        self._silence = silence
        self._started = time.monotonic()
        host, _, port = listen.rpartition(":")
        try:
            self._server = make_server(
                host.strip("[]"), int(port), self._app, server_class=_Server, handler_class=_Quiet
            )
        except (OSError, OverflowError) as error:
            raise SettingsError(
                f"listen: {listen} cannot be used: {getattr(error, 'strerror', None) or error}",
                hint="name another address, or port 0 for any",
            ) from None
        self._metrics: Callable[..., Iterable[bytes]] = make_wsgi_app(reports.metrics.registry)

    @property
    def url(self) -> str:
        """Where it serves."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> None:
        """Serve in a thread."""
        Thread(target=self._server.serve_forever, name="status", daemon=True).start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def healthy(self) -> bool:
        """Whether it does its work."""
        last = self._reports.ticked or self._started
        fresh = time.monotonic() - last <= self._silence
        return fresh and not self._reports.status.get("problems")

    def _app(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                return self._metrics(environ, start)
            case "/healthz":
                status = "200 OK" if self.healthy else "503 Service Unavailable"
                body = {
                    "healthy": self.healthy,
                    "problems": self._reports.status.get("problems", {}),
                }
                return _json(start, status, body)
            case "/status":
                return _json(start, "200 OK", self._reports.status)
            case _:
                known = ["/metrics", "/healthz", "/status"]
                return _json(start, "404 Not Found", {"error": "no such page", "pages": known})


def _json(start: StartResponse, status: str, body: object) -> Iterable[bytes]:
    data = json.dumps(body).encode() + b"\n"
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(data)))]
    start(status, headers)
    return [data]
