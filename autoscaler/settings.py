"""The autoscaler's settings: a file, then the environment names of the platform's plan."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from autoscaler.model import Limits
from autoscaler.policies import POLICIES
from autoscaler.signals.redis_link import client_of
from autoscaler.signals.settings import RedisList, SignalSettings
from contracts.errors import SettingsError
from contracts.fleet import FleetSettings
from contracts.narrowing import is_object
from contracts.settings import Strict, parse

FILE_VARIABLE = "AGENT_DOCKER_AUTOSCALER_FILE"
REDIS_VARIABLE = "REDIS_URL"
# The plan's names, and the setting that each of them is.
ENVIRONMENT = {
    "SCALING_CHECK_INTERVAL": "checkIntervalMs",
    "MIN_INSTANCES": "minInstances",
    "MAX_INSTANCES": "maxInstances",
    "SCALE_UP_THRESHOLD": "scaleUpThreshold",
    "SCALE_DOWN_THRESHOLD": "scaleDownThreshold",
}


class AutoscalerSettings(Strict):
    """What the autoscaler goes by; the stack's own `fleet.min` and `fleet.max` bound it too."""

    stack: str = Field(default="gpu", description="The gpu stack that is kept in step.")
    policy: str = Field(default="threshold", description="How the count is decided.")
    signal: SignalSettings = Field(
        default_factory=lambda: RedisList(kind="redis-list", queue="inference"),
        description="Where queue depth is read.",
    )
    min_instances: int = Field(default=1, ge=0, description="Fewest slots.")
    max_instances: int = Field(default=5, ge=1, le=500, description="Most slots.")
    scale_up_threshold: int = Field(
        default=100, ge=1, description="Queue depth above which slots are added."
    )
    scale_down_threshold: int = Field(
        default=10, ge=0, description="Queue depth below which slots are given up."
    )
    step: Literal[1, "auto"] = Field(
        default="auto",
        description="Slots added per decision: `1`, or `auto`, as many as the queue asks for.",
    )
    check_interval_ms: int = Field(
        default=60_000, ge=100, description="Milliseconds between two decisions."
    )
    health_interval_seconds: float = Field(
        default=10, ge=0.1, description="Seconds between two looks at machines and router."
    )
    stabilization_seconds: float = Field(
        default=300, ge=0, description="How long the queue must be quiet before a slot is given up."
    )
    boot_deadline_seconds: float = Field(
        default=300, gt=0, description="A machine that never answered by then is replaced."
    )
    unhealthy_deadline_seconds: float = Field(
        default=60, gt=0, description="A machine that stopped answering so long ago is replaced."
    )
    drain_deadline_seconds: float = Field(
        default=120, ge=0, description="What requests in flight are given to end."
    )
    orphan_grace_seconds: float = Field(
        default=30, ge=1, description="A machine in no slot is left alone so long: it may be new."
    )
    orphan_budget: int = Field(
        default=3, ge=0, description="Most machines that one recovery may end unseen."
    )
    hourly_budget: float | None = Field(
        default=None, gt=0, description="Most that the fleet may cost, $/h."
    )
    daily_budget: float | None = Field(
        default=None, gt=0, description="Most that the fleet may cost in a day (UTC), $."
    )
    router: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="agent-router's URL; none means the stack's `fleet.router`.",
    )
    listen: str = Field(
        default="127.0.0.1:9464",
        pattern=r"^[\w.:\[\]-]+:\d{1,5}$",
        description="Address of `/metrics`, `/healthz` and `/status`; port 0 takes any.",
    )

    @field_validator("policy")
    @classmethod
    def _policy_exists(cls, policy: str) -> str:
        if policy not in POLICIES:
            raise ValueError(f"must be one of {', '.join(sorted(POLICIES))}, got {policy!r}")
        return policy

    @model_validator(mode="after")
    def _ranges_are_sound(self) -> Self:
        if self.min_instances > self.max_instances:
            raise ValueError(
                f"minInstances must not be above maxInstances, got {self.min_instances} and "
                f"{self.max_instances}"
            )
        if self.scale_down_threshold > self.scale_up_threshold:
            raise ValueError(
                "scaleDownThreshold must not be above scaleUpThreshold, got "
                f"{self.scale_down_threshold} and {self.scale_up_threshold}"
            )
        return self

    @property
    def check_interval(self) -> float:
        """Seconds between two decisions."""
        return self.check_interval_ms / 1000

    def limits(self, fleet: FleetSettings) -> Limits:
        """What a decision must stay within: these settings and the stack's own range."""
        # Never above the stack's own maximum: its program would refuse that, again and again.
        minimum = min(max(self.min_instances, fleet.min), fleet.max)
        return Limits(
            minimum=minimum,
            maximum=max(minimum, min(self.max_instances, fleet.max)),
            scale_up=self.scale_up_threshold,
            scale_down=self.scale_down_threshold,
            step="one" if self.step == 1 else "auto",
            stabilization=self.stabilization_seconds,
            stale=max(2 * self.check_interval, 30.0),
            price=fleet.selection.max_price_per_hour,
            hourly_budget=self.hourly_budget,
            daily_budget=self.daily_budget,
        )


def load(env: Mapping[str, str]) -> AutoscalerSettings:
    """The settings in `AGENT_DOCKER_AUTOSCALER_FILE`, if it is named, and in the environment.

    SettingsError names every mistake at once, a variable by its own name.
    """
    named = env.get(FILE_VARIABLE)
    document = _read(Path(named)) if named else {}
    where = named or "the environment"
    given = {key: _number(name, env[name]) for name, key in ENVIRONMENT.items() if env.get(name)}
    try:
        return parse(AutoscalerSettings, {**document, **given}, where=where, key="autoscaler")
    except SettingsError as error:
        text = error.message
        for name, key in ENVIRONMENT.items():
            if key in given:
                text = text.replace(f"autoscaler.{key}: ", f"{name}: ")
        raise SettingsError(text) from None


def redis_url(env: Mapping[str, str]) -> str:
    """Where Redis is; it may hold a password, so it is never a setting and never printed."""
    url = env.get(REDIS_VARIABLE, "")
    if not url.startswith(("redis://", "rediss://", "unix://")):
        problem = "is not set" if not url else "must begin with redis://, rediss:// or unix://"
        raise SettingsError(
            f"{REDIS_VARIABLE} {problem}: the autoscaler keeps its lease and its drains there",
            hint=f"export {REDIS_VARIABLE}=redis://HOST:6379/0",
        )
    client_of(url, REDIS_VARIABLE).close()
    return url


def _read(path: Path) -> dict[str, Any]:
    try:
        document: Any = YAML(typ="safe").load(path)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except (YAMLError, ValueError) as error:
        raise SettingsError(f"{path} is not YAML: {_place(error)}") from None
    if document is None:
        return {}
    if not is_object(document):
        kind = type(document).__name__
        raise SettingsError(f"{path} must be a mapping of settings, got a {kind}")
    return document


def _place(error: Exception) -> str:
    """What is wrong and where; never the text itself, which may hold a password."""
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "its text"
    return f"{type(error).__name__} at {where}"


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"{name} must be a whole number, got {text!r}") from None
