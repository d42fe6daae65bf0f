"""The emulator's small parts: faults, limits, clocks, addresses, machines' answers, options."""

import asyncio
import json

import pytest

from localcloud.vastai.__main__ import settings
from localcloud.vastai.account import Account, checked_key
from localcloud.vastai.api.limits import RateLimits
from localcloud.vastai.clock import ManualClock, ScaledClock
from localcloud.vastai.faults import FaultQueue
from localcloud.vastai.machines.addresses import Addresses, available_addresses, octets
from localcloud.vastai.machines.http import serve_connection
from localcloud.vastai.machines.ollama import Ollama, models_to_pull
from localcloud.vastai.settings import FIRST_ID_RANGE
from localcloud.vastai.wire import ApiError, Json


def test_faults_are_taken_in_order_skip_some_and_run_out() -> None:
    queue = FaultQueue()
    queue.order({"kind": "server_error", "on": "list"})
    queue.order({"kind": "lost_reply", "on": "create", "skip": 1, "times": 2})
    kinds, names = {"server_error", "lost_reply"}, {"create", "any"}
    taken = [queue.take(kinds, names) for _ in range(4)]
    assert [fault.kind if fault else None for fault in taken] == [
        None,
        "lost_reply",
        "lost_reply",
        None,
    ]
    assert [fault.kind for fault in queue.waiting] == ["server_error"]
    queue.clear()
    assert queue.take(kinds, {"list"}) is None


def test_faults_about_rentals_are_about_creates() -> None:
    queue = FaultQueue()
    assert queue.order({"kind": "stuck_loading"}).on == "create"
    assert queue.order({"kind": "slow", "seconds": 2}).as_json() == {
        "kind": "slow",
        "on": "any",
        "times": 1,
        "skip": 0,
        "seconds": 2,
    }


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "gremlins"},
        {},
        {"kind": "slow", "on": 3},
        {"kind": "slow", "times": "x"},
        {"kind": "server_error", "status": 418},
        {"kind": "rate_limited", "form": "smoke"},
        {"kind": "offer_vanishes", "form": "500"},
    ],
)
def test_bad_faults_are_refused(body: Json) -> None:
    with pytest.raises(ApiError, match="invalid_args"):
        FaultQueue().order(body)


def test_limits_are_intervals_per_endpoint_and_identity() -> None:
    limits = RateLimits(enabled=True)
    assert limits.wait("list", 1.0, "me", 100.0) == 0
    assert limits.wait("list", 1.0, "you", 100.0) == 0
    assert limits.wait("show", 2.0, "me", 100.0) == 0
    assert limits.wait("list", 1.0, "me", 100.5) == pytest.approx(0.4)
    assert limits.wait("list", 1.0, "me", 100.91) == 0
    assert limits.wait("logs", 0.0, "me", 100.91) == 0
    limits.clear()
    assert limits.wait("list", 1.0, "me", 100.92) == 0


def test_a_refused_create_is_punished_once() -> None:
    limits = RateLimits(enabled=True)
    assert limits.wait("create", 4.5, "me", 100.0) == 0
    assert limits.wait("create", 4.5, "me", 101.0) == 12
    assert limits.wait("create", 4.5, "me", 108.0) == 5
    assert limits.wait("create", 4.5, "me", 113.0) == 0


def test_limits_can_be_off() -> None:
    limits = RateLimits()
    assert [limits.wait("create", 4.5, "me", 1.0) for _ in range(3)] == [0, 0, 0]


def test_clocks() -> None:
    clock = ScaledClock(1000.0)
    before = clock.now()
    clock.advance(3600)
    assert clock.now() >= before + 3600
    assert clock.until(clock.now() - 5) == 0
    assert 0 < clock.until(clock.now() + 5000) <= 5
    assert clock.real() <= clock.real()
    with pytest.raises(ValueError, match="must be positive, got 0"):
        ScaledClock(0)
    manual = ManualClock(10.0)
    manual.advance(2)
    assert (manual.now(), manual.real(), manual.until(15), manual.until(0)) == (12, 12, 3, 0)


def test_addresses() -> None:
    assert octets(80_885_195) == "53.203"
    by_address, by_port = Addresses(by_port=False), Addresses(by_port=True)
    assert by_address.of(257) == ("127.64.1.1", 11434)
    assert by_address.url(257) == by_address.template.format(id=257, octets=octets(257), port=0)
    assert by_port.of(12_005) == ("127.0.0.1", 20_005)
    assert by_port.url(12_005) == by_port.template.format(id=0, octets="", port=20_005)
    assert [by_address.kind, by_port.kind] == ["addresses", "ports"]


def test_an_address_that_cannot_be_bound_means_ports() -> None:
    assert available_addresses("198.51.100.1").by_port


def test_models_come_from_the_environment() -> None:
    env = [
        ("OLLAMA_MODELS_PULL", "llama3, qwen3:8b,"),
        ("AGENT_DOCKER_MODELS", "llama3"),
        ("A", "b"),
    ]
    assert models_to_pull(env) == ["llama3:latest", "qwen3:8b"]
    assert models_to_pull([]) == []


def answered(ollama: Ollama, method: str, path: str, body: bytes = b"") -> tuple[int, object]:
    answer = ollama.answer(method, path, body)
    return answer.status, answer.body


def test_a_machine_answers_as_ollama() -> None:
    ollama = Ollama(["llama3:latest"])
    assert answered(ollama, "GET", "/") == (200, "Ollama is running")
    assert answered(ollama, "HEAD", "/") == (200, "")
    assert answered(ollama, "POST", "/")[0] == 405
    assert answered(ollama, "GET", "/api/generate")[0] == 405
    assert answered(ollama, "GET", "/nowhere")[0] == 404
    assert answered(ollama, "POST", "/api/generate", b"{")[0] == 400
    assert answered(ollama, "POST", "/api/generate", b'{"model": 3}')[0] == 400
    assert answered(ollama, "POST", "/api/generate", b'{"model": "phi"}')[0] == 404
    assert answered(ollama, "GET", "/api/ps") == (200, {"models": []})
    for _ in range(2):
        assert answered(ollama, "POST", "/api/generate", b'{"model": "llama3"}')[0] == 200
    assert ollama.loaded == ["llama3:latest"]
    for _ in range(2):
        assert answered(ollama, "POST", "/api/pull", b'{"model": "phi"}')[0] == 200
    assert ollama.models == ["llama3:latest", "phi:latest"]


def converse(request: bytes) -> bytes:
    """Send bytes to a machine and return all it answers."""

    async def main() -> bytes:
        ollama = Ollama(["m:latest"])

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await serve_connection(reader, writer, ollama)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
        return answer

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b"411"),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000, b"400"),
        (b"GET /?a=b HTTP/1.1\r\nConnection: close\r\n\r\n", b"200"),
    ],
)
def test_machines_speak_enough_http(request_bytes: bytes, status: bytes) -> None:
    assert converse(request_bytes).split(b" ")[1] == status


def test_one_connection_carries_several_requests_and_may_end_early() -> None:
    get = b"GET / HTTP/1.1\r\n\r\n"
    assert converse(get * 3).count(b"HTTP/1.1 200 OK") == 3
    assert converse(b"GET / HT") == b""


def test_generated_text_is_streamed_unless_refused() -> None:
    ollama = Ollama(["m:latest"])
    whole = ollama.answer("POST", "/api/generate", b'{"model": "m", "stream": false}')
    parts = ollama.answer("POST", "/api/generate", b'{"model": "m"}').lines
    assert whole.lines is None
    assert parts is not None
    text = json.loads(json.dumps(whole.body))["response"]
    assert "".join(str(part["response"]) for part in parts) == text
    assert [part["done"] for part in parts] == [False] * (len(parts) - 1) + [True]


def test_ssh_keys() -> None:
    account = Account(credit=0)
    assert account.add_key(" ssh-ed25519 AAAA me ", 1.0)["public_key"] == "ssh-ed25519 AAAA me"
    assert account.key(1)["id"] == 1
    with pytest.raises(ApiError, match="no_such_key"):
        account.key(2)
    with pytest.raises(ApiError, match="OpenSSH"):
        checked_key("-----BEGIN PRIVATE KEY-----")


def test_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCALCLOUD_VAST_KEY", raising=False)
    chosen = settings(["--seed", "3", "--rate-limits", "--first-id", "77", "--time-scale", "60"])
    assert (chosen.seed, chosen.rate_limits, chosen.first_id) == (3, True, 77)
    assert (chosen.time_scale, chosen.key) == (60, None)
    low, high = FIRST_ID_RANGE
    assert low <= settings([]).first_id < high
    monkeypatch.setenv("LOCALCLOUD_VAST_KEY", "local-secret")
    assert settings([]).key == "local-secret"
    assert settings(["--key", "local-other"]).key == "local-other"
