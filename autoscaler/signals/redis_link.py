"""One Redis as the signals see it: short waits, no retries, no password in any text."""

from collections.abc import Callable, Sequence
from typing import Any, cast
from urllib.parse import quote, urlsplit

from pydantic import SecretStr
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, OutOfMemoryError, RedisError, ResponseError
from redis.retry import Retry

from autoscaler.signals.base import SignalUnreadable
from contracts.errors import SettingsError

Command = tuple[str | int, ...]
# A tick must not hang on a queue: the same Redis holds the lease, which expires meanwhile.
_SECONDS = 3.0


def connect(url: str) -> Redis:
    """A client for `url` that has not connected yet; options in the URL win."""
    return Redis.from_url(
        url,
        socket_timeout=_SECONDS,
        socket_connect_timeout=_SECONDS,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
        # Keys and jobs may be any bytes; only their number matters.
        encoding_errors="replace",
        # RESP2 needs no HELLO, which a Redis before 6 would quote in an error, password included.
        protocol=2,
    )


class RedisLink:
    """Looks at one Redis; a connection that broke is made anew by the next look."""

    def __init__(self, own: SecretStr | None, default: str) -> None:
        name, url = ("REDIS_URL", default) if own is None else ("url", own.get_secret_value())
        self._client = client_of(url, f"{name} of the signal")
        given: dict[str, Any] = self._client.connection_pool.connection_kwargs
        path = given.get("path")
        where = f"{given.get('host', 'localhost')}:{given.get('port', 6379)}/{given.get('db', 0)}"
        self.name = f"unix://{path}" if path else f"redis://{where}"
        self._secret = str(given.get("password") or "")

    def look(self, *commands: Command) -> list[Any]:
        """The answers to `commands`, all of one moment; a refused one answers a ResponseError."""
        try:
            try:
                return self._ask(commands, transaction=True)
            except OutOfMemoryError:
                # A full Redis refuses even reads in a transaction, and a queue may be what fills
                # it: then a reading of almost one moment is better than none.
                return self._ask(commands, transaction=False)
        except AuthenticationError as error:
            raise SignalUnreadable(
                f"{self.name} refuses the login: {self._without_secret(error)}",
                hint="check user and password in the signal's url or in REDIS_URL",
            ) from None
        except (RedisError, OSError) as error:
            raise SignalUnreadable(
                f"{self.name} cannot be read: {self._without_secret(error)}"
            ) from None

    def checked(self, key: str, answer: object, expected: str) -> Any:  # noqa: ANN401 - as answered
        """`answer`, unless it is a refusal: then an error that names `key` and what it holds."""
        if not isinstance(answer, ResponseError):
            return answer
        if str(answer).startswith("WRONGTYPE"):
            found = self.look(("TYPE", key))[0]
            raise self.wrong_type(key, found, expected)
        raise SignalUnreadable(f"{key!r} at {self.name}: {self._without_secret(answer)}")

    def wrong_type(self, key: str, found: str, expected: str) -> SignalUnreadable:
        """The error for a key that holds something else."""
        return SignalUnreadable(f"{key!r} at {self.name} is a {found}, expected {expected}")

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def _ask(self, commands: Sequence[Command], *, transaction: bool) -> list[Any]:
        with self._client.pipeline(transaction=transaction) as pipe:
            # redis-py leaves this one untyped.
            queue = cast("Callable[..., object]", pipe.execute_command)
            for command in commands:
                queue(*command)
            return pipe.execute(raise_on_error=False)

    def _without_secret(self, error: Exception) -> str:
        text = str(error)
        for secret in filter(None, (self._secret, quote(self._secret, safe=""))):
            text = text.replace(secret, "***")
        return text


def client_of(url: str, name: str) -> Redis:
    """A client for `url` that has not connected yet; SettingsError, which calls it `name`."""
    try:
        return _checked(url)
    except (TypeError, ValueError):
        # The parser's text may quote a part of the password.
        raise SettingsError(
            f"{name} is no URL of Redis, expected redis://[user:password@]host:port/db",
            hint="special characters in a password are percent-encoded: @ is %40, / is %2F",
        ) from None


def _checked(url: str) -> Redis:
    parts = urlsplit(url)
    # An unescaped / or # in a password ends the host, and the rest of it would become a path.
    if parts.fragment or "@" in parts.path + parts.query:
        raise ValueError
    client = connect(url)
    pool = client.connection_pool
    # An option that there is not shows only when a connection is made; this one stays unused.
    pool.connection_class(**pool.connection_kwargs)
    return client
