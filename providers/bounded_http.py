"""HTTP answers that end: httpx waits for each piece anew, and takes as many as come."""

from time import monotonic

from providers.vastai.lean_httpx import httpx

# More than any answer that is read here; a whole search of Vast.ai is a tenth of it.
MOST_BYTES = 32 << 20
# They speak of the body as it was sent; what comes back is unpacked and whole.
_OF_THE_WIRE = ("Content-Encoding", "Content-Length", "Transfer-Encoding")


def send(http: httpx.Client, request: httpx.Request, *, most: int = MOST_BYTES) -> httpx.Response:
    """The answer to `request`, whole within the seconds that the request grants one read.

    httpx.HTTPError when there is none, also when it drips on beyond that, or has more than `most`
    bytes.
    """
    seconds: float = request.extensions["timeout"]["read"]
    end = monotonic() + seconds
    response = http.send(request, stream=True)
    body = bytearray()
    try:
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > most:
                raise httpx.RemoteProtocolError(f"no end after {most} bytes", request=request)
            if monotonic() > end:
                raise httpx.ReadTimeout(f"no end after {seconds:g} s", request=request)
    finally:
        response.close()
    headers = response.headers.copy()
    for name in _OF_THE_WIRE:
        headers.pop(name, None)
    return httpx.Response(
        response.status_code, headers=headers, content=bytes(body), request=request
    )
