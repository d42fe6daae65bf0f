"""How the autoscaler reads the inference queue: one file per kind of queue.

A signal answers how many requests wait and how many are being served, or says why it cannot tell.
docs/signals.md says what each kind reads and how to add one.
"""

from collections.abc import Callable, Mapping
from typing import Any

from autoscaler.signals.base import Signal, SignalUnreadable, Surroundings
from autoscaler.signals.bullmq import BullmqSignal
from autoscaler.signals.http_json import HttpJsonSignal
from autoscaler.signals.prometheus import PrometheusSignal
from autoscaler.signals.redis_list import RedisListSignal
from autoscaler.signals.redis_stream import RedisStreamSignal
from autoscaler.signals.settings import (
    Bullmq,
    HttpJson,
    Prometheus,
    RedisList,
    RedisStream,
    SignalSettings,
)
from contracts.settings import Strict

__all__ = ["SIGNALS", "Signal", "SignalSettings", "SignalUnreadable", "make_signal"]

SIGNALS: Mapping[type[Strict], Callable[[Any, Surroundings], Signal]] = {
    Bullmq: BullmqSignal,
    HttpJson: HttpJsonSignal,
    Prometheus: PrometheusSignal,
    RedisList: RedisListSignal,
    RedisStream: RedisStreamSignal,
}


def make_signal(
    settings: SignalSettings,
    *,
    redis_url: str,
    env: Mapping[str, str],
    now: Callable[[], float],
) -> Signal:
    """The signal that `settings` describe; it has not connected yet.

    SettingsError when a URL or the variable of a token is unusable; nothing of either is quoted.
    """
    world = Surroundings(redis_url=redis_url, env=env, now=now)
    return SIGNALS[type(settings)](settings, world)
