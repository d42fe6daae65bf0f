"""Just enough HTTP/1.1 for a machine; a full server for each of a hundred would cost too much."""

import asyncio
import contextlib
import json
from http import HTTPStatus

from localcloud.vastai.machines.ollama import Answer, Ollama
from localcloud.vastai.machines.work import Work

MAX_BODY = 10_000_000


async def serve_connection(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    ollama: Ollama,
    work: Work | None = None,
) -> None:
    """Answer the requests of one connection until either side closes it."""
    work = Work() if work is None else work
    # A client that goes away, or a machine that is destroyed, ends the connection: no error.
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
        while await _serve_one(reader, writer, ollama, work):
            pass
    writer.close()
    with contextlib.suppress(ConnectionError, asyncio.CancelledError):
        await writer.wait_closed()


async def _serve_one(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ollama: Ollama, work: Work
) -> bool:
    """Answer one request; return whether the connection stays open."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = dict(line.lower().split(":", 1) for line in head[1:] if line)
        length = int(headers.get("content-length", 0))
    except (ValueError, asyncio.LimitOverrunError):
        _send_head(writer, 400, "text/plain", length=0)
        return False
    if length > MAX_BODY or "transfer-encoding" in headers:
        _send_head(writer, 411, "text/plain", length=0)
        return False
    body = await reader.readexactly(length)
    answer = ollama.answer(method, target.split("?", 1)[0], body)
    if answer.generated and not await work.done(reader.at_eof):
        return False
    await _send(writer, answer)
    return headers.get("connection", "").strip() != "close"


async def _send(writer: asyncio.StreamWriter, answer: Answer) -> None:
    """Write an answer: text, one JSON value, or a stream of JSON lines."""
    if answer.lines is None:
        is_text = isinstance(answer.body, str)
        data = str(answer.body).encode() if is_text else json.dumps(answer.body).encode()
        kind = "text/plain; charset=utf-8" if is_text else "application/json; charset=utf-8"
        _send_head(writer, answer.status, kind, length=len(data))
        writer.write(data)
        await writer.drain()
        return
    _send_head(writer, answer.status, "application/x-ndjson", length=None)
    for line in answer.lines:
        data = json.dumps(line).encode() + b"\n"
        writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def _send_head(writer: asyncio.StreamWriter, status: int, kind: str, *, length: int | None) -> None:
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    phrase = HTTPStatus(status).phrase
    writer.write(f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {kind}\r\n{size}\r\n\r\n".encode())
