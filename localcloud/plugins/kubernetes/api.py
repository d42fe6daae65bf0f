"""Requests to the API server over one pool of connections, repeated while that may help.

urllib3 alone, which is also what the Python client of Kubernetes speaks through: importing that
one takes 0.36 s of processor time for classes of every type, and paths are known here.
"""

import json
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError, SSLError

from localcloud.plugins.kubernetes.kubeconfig import Access
from localcloud.plugins.kubernetes.refusals import ApiError
from localcloud.plugins.model import PluginError
from localcloud.plugins.values import Values

MANAGER = "agent-docker"
# The base's 64 threads, and watches beside them.
CONNECTIONS = 80
_TIMEOUT = urllib3.Timeout(connect=5, read=60)
_PAUSES = (0.2, 0.5, 1.0, 2.0)
_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"


class Api:
    """One API server. Threads share it."""

    def __init__(self, access: Access) -> None:
        self.server = access.server
        self.namespace = access.namespace
        """Where namespaced objects go that name no namespace; may be empty."""
        self._access = access
        tls: dict[str, Any] = {}
        if access.tls is not None:
            tls["ssl_context"] = access.tls
            if access.tls_name:
                tls |= {"server_hostname": access.tls_name, "assert_hostname": access.tls_name}
        self._pool = urllib3.PoolManager(
            num_pools=1, maxsize=CONNECTIONS, retries=False, timeout=_TIMEOUT, **tls
        )

    def close(self) -> None:
        """Close the connections that are kept."""
        self._pool.clear()

    def get(self, what: str, path: str, **query: str) -> Values:
        """Read one object or a list."""
        return self._asked(what, "GET", path, query)

    def find(self, what: str, path: str) -> Values | None:
        """Read one object; None only if the server itself says that there is none."""
        try:
            return self.get(what, path)
        except ApiError as error:
            if error.says_gone(path):
                return None
            raise

    def apply(
        self, what: str, path: str, body: Values, *, force: bool, manager: str = MANAGER
    ) -> Values:
        """Create or change by server-side apply; fields that the schema has not are refused."""
        query = {
            "fieldManager": manager,
            "fieldValidation": "Strict",
            "force": "true" if force else "false",
        }
        return self._asked(what, "PATCH", path, query, body)

    def delete(self, what: str, path: str, options: Values) -> Values:
        """Begin the deletion; the answer is the object if it takes time."""
        return self._asked(what, "DELETE", path, {}, options)

    @contextmanager
    def watch(self, path: str, **query: str) -> Generator[Iterator[bytes]]:
        """The lines of a watch, each one event; they end when the server ends it."""
        url = f"{self.server}{path}?{urlencode({'watch': '1', **query})}"
        headers = self._access.headers()
        try:
            answer = self._pool.request("GET", url, headers=headers, preload_content=False)
        except HTTPError as error:
            raise self._unreachable("watch", error) from error
        try:
            if answer.status >= 300:  # noqa: PLR2004 - everything but success
                raise ApiError("watch", self.server, answer.status, {})
            yield _lines(answer)
        except (HTTPError, OSError) as error:
            raise self._unreachable("watch", error) from error
        finally:
            answer.close()

    def _asked(
        self,
        what: str,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Values | None = None,
    ) -> Values:
        # All of them may be repeated: an apply says the same twice, a deletion names its uid.
        for pause in _PAUSES:
            try:
                return self._once(what, method, path, query, body)
            except ApiError as error:
                if not error.transient:
                    raise
            except _UnreachableError as error:
                if not error.transient:
                    raise
            time.sleep(pause)
        return self._once(what, method, path, query, body)

    def _once(
        self, what: str, method: str, path: str, query: Mapping[str, str], body: Values | None
    ) -> Values:
        url = f"{self.server}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {**self._access.headers(), "Accept": _JSON}
        headers["Content-Type"] = _APPLY if method == "PATCH" else _JSON
        text = None if body is None else json.dumps(body).encode()
        try:
            answer = self._pool.request(method, url, headers=headers, body=text)
        except (HTTPError, OSError) as error:
            raise self._unreachable(what, error) from error
        parsed = _parsed(answer.data)
        if answer.status >= 300:  # noqa: PLR2004 - everything but success
            raise ApiError(what, self.server, answer.status, parsed)
        return parsed

    def _unreachable(self, what: str, error: Exception) -> "_UnreachableError":
        if isinstance(error, SSLError):
            return _UnreachableError(
                f"{what}: no trust in the API server at {self.server}: {error}\n"
                "hint: the kubeconfig's certificate-authority must be that of this server",
                transient=False,
            )
        return _UnreachableError(
            f"{what}: the API server at {self.server} cannot be reached: {error}\n"
            "hint: start the cluster, or name another in the provider's kubeconfig",
            transient=True,
        )


class _UnreachableError(PluginError):
    def __init__(self, text: str, *, transient: bool) -> None:
        super().__init__(text)
        self.transient = transient


def _parsed(data: bytes) -> Values:
    try:
        parsed: Any = json.loads(data)
    except ValueError:
        return {}  # a proxy's page, a cut answer
    return cast("Values", parsed) if isinstance(parsed, dict) else {}


def _lines(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    for chunk in answer.stream(65536):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line for line in lines if line)
