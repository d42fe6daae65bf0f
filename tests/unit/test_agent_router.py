"""What the router is told, and that it never stands in the way of a destroy."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from providers.agent_router import (
    Registration,
    RouterError,
    deregister,
    deregister_quietly,
    providers,
    register,
)

MACHINE = "http://gpu-a1-501.t.ts.net:11434"


@dataclass
class Router:
    """A router that answers as it is told to."""

    url: str = ""
    status: int = 200
    body: bytes = b"{}"
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)


@pytest.fixture
def router() -> Iterator[Router]:
    told = Router()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            told.asked.append((self.command, self.path, sent))
            self.send_response(told.status)
            self.send_header("Content-Length", str(len(told.body)))
            self.end_headers()
            self.wfile.write(told.body)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the handler's own names

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        told.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield told
        server.shutdown()
        thread.join()


def test_a_machine_is_registered_as_the_plan_says(router: Router) -> None:
    wish = Registration(
        endpoint=MACHINE, models=("llama3.2",), gpu_type="RTX 4090", cost_per_hour=0.4
    )
    register(router.url + "/", wish)
    method, path, body = router.asked[0]
    assert (method, path) == ("POST", "/api/providers")
    assert json.loads(body) == {
        "type": "ollama",
        "endpoint": MACHINE,
        "models": ["llama3.2"],
        "gpu_type": "RTX 4090",
        "cost_per_hour": 0.4,
    }


def test_it_is_taken_out_by_its_endpoint(router: Router) -> None:
    deregister(router.url, MACHINE)
    method, path, _ = router.asked[0]
    assert method == "DELETE"
    assert path == "/api/providers?endpoint=http%3A%2F%2Fgpu-a1-501.t.ts.net%3A11434"


def test_one_that_is_not_known_is_out_already(router: Router) -> None:
    router.status = 404
    deregister(router.url, MACHINE)
    assert deregister_quietly(router.url, MACHINE)


@pytest.mark.parametrize("status", [302, 400, 404, 500])
def test_a_refused_registration_is_an_error(router: Router, status: int) -> None:
    router.status = status
    wish = Registration(endpoint=MACHINE, models=(), gpu_type="x", cost_per_hour=0)
    with pytest.raises(RouterError, match=f"answered POST {status}"):
        register(router.url, wish)


@pytest.mark.parametrize(
    ("body", "rows"),
    [(b'{"providers": [{"endpoint": "a"}]}', [{"endpoint": "a"}]), (b"[]", [])],
)
def test_both_shapes_of_its_list_are_read(router: Router, body: bytes, rows: object) -> None:
    router.body = body
    assert providers(router.url) == rows


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'"x"', b'{"providers": {}}', b""])
def test_what_is_no_list_is_an_error(router: Router, body: bytes) -> None:
    router.body = body
    with pytest.raises(RouterError, match="answered no list of providers"):
        providers(router.url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9", "http://127.0.0.1:bad", "http://", "nothing"]
)
def test_a_router_that_is_not_there_never_stops_a_destroy(url: str) -> None:
    assert deregister_quietly(url, MACHINE) is False
    with pytest.raises(RouterError, match="does not answer"):
        providers(url)


def test_a_router_that_refuses_never_stops_a_destroy(router: Router) -> None:
    router.status = 500
    assert deregister_quietly(router.url, MACHINE) is False


def test_proxies_of_the_shell_are_ignored(router: Router, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    router.body = b"[]"
    assert providers(router.url) == []
