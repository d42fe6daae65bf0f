"""The autoscaler as a service: put together from its environment, run until it is told to stop."""

import contextlib
import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from pydantic import ValidationError
from redis import Redis

from autoscaler import settings as settings_module
from autoscaler.actuator import Actuator
from autoscaler.backoff import Retry, after, as_failure
from autoscaler.eyes import READING, Eyes
from autoscaler.hands import Hands
from autoscaler.ledger import Ledger
from autoscaler.loop import Autoscaler
from autoscaler.problems import Problems, Topic
from autoscaler.records import Reports
from autoscaler.registrar import HttpRouter
from autoscaler.server import StatusServer
from autoscaler.settings import AutoscalerSettings
from autoscaler.signals import make_signal
from autoscaler.store import Store, connect, key_prefix
from autoscaler.world import Clock, HttpProbe
from contracts.errors import AgentDockerError
from operations.fleet import Fleet
from operations.known import Known
from operations.leadership import Leadership, Renewal
from operations.process import LONGEST_CREATE, Limits
from operations.shell import shell_target
from operations.stack import Stack
from providers.vastai.client import VastClient
from providers.vastai.credentials import Credentials

# A tick may wait for machines, router and account; beyond this it hangs.
SILENCE = 120.0
# And beyond this another one shall lead. The longest tick that still comes to an end is half of it:
# a minute for the stack, three for an account that answers at the last attempt, one for machines
# and queue, the rest for the router. Losing the lease in such a tick would only delay what is due.
HUNG = 600.0


@dataclass(frozen=True)
class Book:
    """The ledger's file: beside the intents, on the volume that outlives the container."""

    path: Path

    def read(self) -> Ledger | None:
        """The ledger of before; None when there is none that can be read."""
        try:
            return Ledger.model_validate_json(self.path.read_text())
        except (OSError, ValidationError):
            return None

    def write(self, ledger: Ledger) -> None:
        """Keep `ledger`; a full disk must not stop the autoscaler, the next tick tries again."""
        fresh = self.path.with_suffix(".new")
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.write_text(ledger.model_dump_json())
            fresh.replace(self.path)


@dataclass(kw_only=True)
class Service:
    """One autoscaler with everything around it. `run` returns once `stop` was called."""

    settings: AutoscalerSettings
    env: Mapping[str, str]
    fleet: Fleet
    # The same fleet, whose reads end in time for a tick.
    reader: Fleet
    redis: Redis
    reports: Reports
    clock: Clock = field(default_factory=Clock)
    limits: Limits = field(default_factory=Limits)
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)
    _wake: threading.Event = field(default_factory=threading.Event, init=False)
    # When the last tick began, and when the end was asked for.
    _began: float = field(default=0.0, init=False)
    _ending: float = field(default=0.0, init=False)

    @classmethod
    def of(cls, env: Mapping[str, str], reports: Reports) -> "Service":
        """The service that `env` describes; SettingsError names what is wrong or missing."""
        settings = settings_module.load(env)
        url = settings_module.redis_url(env)
        # What it lacks, e.g. its token, is said before anything serves.
        make_signal(settings.signal, redis_url=url, env=env, now=Clock().wall).close()
        redis = connect(url)
        target = shell_target(settings.stack, env)
        stack = Stack(target=target)
        fleet = Fleet(stack=stack, cloud=lambda: VastClient(Credentials.read(target.env)))
        return cls(
            settings=settings,
            env=env,
            fleet=fleet,
            reader=replace(fleet, stack=replace(stack, limits=READING)),
            redis=redis,
            reports=reports,
        )

    def stop(self) -> None:
        """End soon: what runs is asked to, once, and waited for.

        From any thread, but not from a signal handler: what it interrupts may hold a lock of this.
        """
        if not self._stopping.is_set():
            self._ending = self.clock.mono()
            self._stopping.set()
            # Not only after the tick, which may take its time.
            self.fleet.stop()
        self._wake.set()

    def run(self, server: StatusServer) -> None:
        """Serve and tick until `stop`."""
        server.start()
        try:
            known = self._first_look()
            if known is not None:
                self._lead(known)
        finally:
            server.stop()
            self.redis.close()

    def _first_look(self) -> Known | None:
        """The stack names its owner, and so everything in Redis; None when stopped before."""
        retry = Retry()
        while not self._stopping.is_set():
            problems = Problems()
            try:
                # Nobody waits for it yet, and what just starts may be slow.
                return self.fleet.known(verify=True)
            except (AgentDockerError, OSError) as found:
                error = as_failure(found)
                problems.add(Topic.STACK, error.message)
                retry = after(error, retry, self.clock.mono(), spread=random.random())  # noqa: S311 - spreads load
            self.reports.problems(self.clock.wall(), problems)
            self._stopping.wait(max(0.0, retry.at - self.clock.mono()))
        return None

    def _lead(self, known: Known) -> None:
        prefix = key_prefix(known.namer.owner, known.namer.stack)
        leadership = Leadership(self.redis, prefix)
        book = Book(self.fleet.stack.target.state / f"ledger-{known.namer.stack}.json")
        signal = make_signal(
            self.settings.signal,
            redis_url=settings_module.redis_url(self.env),
            env=self.env,
            now=self.clock.wall,
        )

        @cache
        def router(url: str) -> HttpRouter:
            return HttpRouter(url=url)

        with self.fleet.cloud() as cloud, contextlib.closing(HttpProbe()) as probe:
            eyes = Eyes(
                fleet=self.reader,
                cloud=cloud,
                probe=probe,
                router=router,
                router_url=self.settings.router,
                clock=self.clock,
                spread=random.random,
            )
            renewal = Renewal(
                leadership,
                floor=lambda: eyes.fence,
                won=self._wake.set,
                alive=lambda: self.clock.mono() - self._began < HUNG,
            )
            autoscaler = Autoscaler(
                settings=self.settings,
                eyes=eyes,
                hands=Hands(
                    fleet=self.fleet,
                    clock=self.clock,
                    spread=random.random,
                    actuator=Actuator(done=self._wake.set),
                ),
                signal=signal,
                store=Store(redis=self.redis, prefix=prefix),
                leadership=leadership,
                reports=self.reports,
                clock=self.clock,
                ledger=book.read(),
                keep_ledger=book.write,
                lease_trouble=lambda: renewal.error,
            )
            self._began = self.clock.mono()
            renewal.start()
            try:
                self._tick_until_stopped(autoscaler)
            finally:
                self._end(autoscaler)
                renewal.stop()
                signal.close()

    def _tick_until_stopped(self, autoscaler: Autoscaler) -> None:
        while not self._stopping.is_set():
            self._began = self.clock.mono()
            try:
                autoscaler.tick()
            except Exception as error:
                # A mistake of ours must not end what watches over machines that cost money.
                self.reports.log.exception("tick failed")
                problems = Problems()
                problems.add(
                    Topic.OPERATION, f"a mistake in the autoscaler: {type(error).__name__}"
                )
                self.reports.problems(self.clock.wall(), problems)
            self._wake.wait(self.settings.health_interval_seconds)
            if not self._stopping.is_set():
                self._wake.clear()

    def _end(self, autoscaler: Autoscaler) -> None:
        """Let what runs come to its end, 130 s after that was asked for at the latest.

        What it has done is recorded then.
        """
        if autoscaler.hands.busy is None:
            return
        self.reports.log.info("stopping: waiting for the running operation")
        self.stop()
        longest = self.limits.first_wait + self.limits.second_wait + LONGEST_CREATE
        asked = self.clock.mono() - self._ending
        autoscaler.hands.actuator.wait(max(0.0, longest - asked))
        try:
            autoscaler.ended()
        except Exception:
            # The next start recovers for nothing, at worst.
            self.reports.log.exception("the end is not remembered")
