"""What the autoscaler keeps in Redis: its memory, its mode, its decisions. Never a machine."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from redis import Redis

from autoscaler.remembered import Remembered

KEPT_DECISIONS = 1000
KEPT_BOOTS = 500
_REDIS_SECONDS = 3.0

ModeKind = Literal["auto", "paused", "fixed", "dry-run"]


class Mode(BaseModel):
    """How the autoscaler acts. `count` goes with `fixed`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: ModeKind = "auto"
    count: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _fixed_has_a_count(self) -> Self:
        if self.kind == "fixed" and self.count is None:
            raise ValueError("fixed needs a count")
        return self

    def __str__(self) -> str:
        return f"fixed at {self.count}" if self.kind == "fixed" else self.kind


def connect(url: str) -> "Redis":
    """Redis at `url`, with short waits: a tick must not hang on it."""
    return Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=_REDIS_SECONDS,
        socket_connect_timeout=_REDIS_SECONDS,
        health_check_interval=30,
    )


def key_prefix(owner: str, stack: str) -> str:
    """Where one fleet's keys begin: two fleets may share a Redis."""
    return f"agent-docker:{owner}:{stack}"


@dataclass(frozen=True, kw_only=True)
class Store:
    """Documents below `prefix`. Every call may raise RedisError."""

    redis: Redis
    prefix: str

    def remembered(self) -> Remembered:
        """What was remembered last; nothing when there is none, or none that can be read."""
        text = self._get("memory")
        try:
            return Remembered.model_validate_json(text) if text else Remembered()
        except ValidationError:
            return Remembered()

    def remember(self, remembered: Remembered) -> None:
        """Replace what is remembered."""
        self.redis.set(self._key("memory"), remembered.model_dump_json())

    def mode(self) -> Mode:
        """The mode a person has set; `auto` when none was, or none that can be read."""
        text = self._get("mode")
        try:
            return Mode.model_validate_json(text) if text else Mode()
        except ValidationError:
            return Mode()

    def set_mode(self, mode: Mode) -> None:
        """Act in this mode from the next tick on."""
        self.redis.set(self._key("mode"), mode.model_dump_json())

    def decided(self, record: Mapping[str, Any]) -> None:
        """Add a decision; the oldest beyond the last 1000 goes."""
        self._push("decisions", record, KEPT_DECISIONS)

    def decisions(self, count: int) -> list[dict[str, Any]]:
        """The last `count` decisions, the newest first."""
        return self._range("decisions", count)

    def booted(self, record: Mapping[str, Any]) -> None:
        """Add a boot: how long a machine took until it answered, or that it never did."""
        self._push("boots", record, KEPT_BOOTS)

    def boots(self, count: int) -> list[dict[str, Any]]:
        """The last `count` boots, the newest first."""
        return self._range("boots", count)

    def report(self, status: Mapping[str, Any], *, seconds: float) -> None:
        """Leave the present status where `agent-docker autoscaler status` finds it."""
        self.redis.set(self._key("status"), json.dumps(status), px=int(seconds * 1000))

    def status(self) -> dict[str, Any] | None:
        """The last status that was reported; None when none was lately."""
        text = self._get("status")
        found: dict[str, Any] | None = json.loads(text) if text else None
        return found

    def _key(self, name: str) -> str:
        return f"{self.prefix}:{name}"

    def _get(self, name: str) -> str | None:
        value: Any = self.redis.get(self._key(name))
        return value.decode() if isinstance(value, bytes) else value

    def _push(self, name: str, record: Mapping[str, Any], kept: int) -> None:
        with self.redis.pipeline() as pipe:
            pipe.lpush(self._key(name), json.dumps(record))
            pipe.ltrim(self._key(name), 0, kept - 1)
            pipe.execute()

    def _range(self, name: str, count: int) -> list[dict[str, Any]]:
        rows: Sequence[Any] = self.redis.lrange(self._key(name), 0, count - 1)
        return [json.loads(row) for row in rows]
