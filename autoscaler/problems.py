"""What keeps the autoscaler from doing its work: one line a topic."""

from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum

from redis.exceptions import RedisError

from autoscaler.backoff import as_failure
from contracts.errors import AgentDockerError


class Topic(StrEnum):
    """What a problem is about."""

    SIGNAL = "signal"
    REDIS = "redis"
    STACK = "stack"
    CLOUD = "cloud"
    ROUTER = "router"
    HEALTH = "health"
    OPERATION = "operation"
    CLOCK = "clock"
    BUDGET = "budget"


class Problems:
    """The problems of one tick; a later one on the same topic does not hide the first."""

    def __init__(self) -> None:
        self._found: dict[Topic, str] = {}

    def add(self, topic: Topic, text: str) -> None:
        """Note a problem."""
        self._found.setdefault(topic, text)

    def merge(self, other: "Problems") -> None:
        """Note those of `other` too."""
        for topic, text in other.as_dict().items():
            self.add(Topic(topic), text)

    @contextmanager
    def caught(self, topic: Topic) -> Generator[None]:
        """Note what goes wrong here instead of raising it; bugs are still raised."""
        try:
            yield
        except (AgentDockerError, OSError) as error:
            self.add(topic, as_failure(error).message)
        except RedisError as error:
            # Its text may hold the address, and an address may hold a password.
            self.add(Topic.REDIS, f"Redis does not answer ({type(error).__name__})")

    def __bool__(self) -> bool:
        return bool(self._found)

    def as_dict(self) -> dict[str, str]:
        """Topic and text, in order of appearance."""
        return {topic.value: text for topic, text in self._found.items()}
