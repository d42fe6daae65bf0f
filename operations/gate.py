"""Whether a deployed service works: by checks made now, never by what was true before."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from contracts.outputs import ServiceOutput
from operations.daemon import Daemon, Probe, Seen, answers

_POLL_SECONDS = 0.5
# A container that came up so often will not stay up.
_RESTARTS = 3
_LOG_LINES = 5
# How long what has just started must stay up.
_SETTLE_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One service: well, or why not. `hopeless` when waiting would not help."""

    service: str
    reason: str = ""
    hopeless: bool = False

    @property
    def well(self) -> bool:
        """Whether it passed."""
        return not self.reason


def judge(
    service: ServiceOutput, seen: Seen | None, probe: Probe | None, *, restarts: int = 0
) -> Verdict:
    """What the daemon and a fresh `probe` say of `service`; `restarts` it had at the start."""
    name = service.name
    if seen is None:
        return Verdict(service=name, reason="it has no container", hopeless=True)
    if seen.restarts - restarts >= _RESTARTS:
        ended = f"it ended {seen.restarts - restarts} times, last with {_end(seen)}"
        return Verdict(service=name, reason=ended, hopeless=True)
    if not seen.runs:
        told = f": {seen.error}" if seen.error else f" with {_end(seen)}"
        return Verdict(service=name, reason=f"it is {seen.status}{told}")
    if not seen.networks:
        # A failed bind at boot leaves such a one; only making it anew helps.
        return Verdict(service=name, reason="it has no network", hopeless=True)
    if probe is None or not probe.healthy:
        return Verdict(service=name, reason=probe.said if probe else "it was not asked")
    return Verdict(service=name)


def _end(seen: Seen) -> str:
    return f"{seen.exit_code}{' (out of memory)' if seen.out_of_memory else ''}"


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Asks every service until it is well, or until `deadline` seconds have passed."""

    daemon: Daemon
    stack: str
    deadline: float = 120.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    on_progress: Callable[[int, int], None] = field(default=lambda _well, _all: None)

    def wait(
        self, services: Sequence[ServiceOutput], *, settle: bool = False
    ) -> dict[str, Verdict]:
        """The verdict of each, by name; what is not well has its last log lines in its reason.

        With `settle`, for containers that have just started, all must stay up a while longer: one
        that ends again and again may well answer in between.
        """
        end = self.clock() + self.deadline
        first: Mapping[str, Seen] = self.daemon.look(self.stack)
        begun = {name: seen.restarts for name, seen in first.items()}
        done: dict[str, Verdict] = {}
        while True:
            left = [service for service in services if service.name not in done]
            now = self._look(left, begun)
            done |= {n: verdict for n, verdict in now.items() if verdict.well or verdict.hopeless}
            self.on_progress(sum(v.well for v in done.values()), len(services))
            late = {n: verdict for n, verdict in now.items() if n not in done}
            if not late and settle and all(verdict.well for verdict in done.values()):
                settle = False
                self.sleep(_SETTLE_SECONDS)
                done = {name: done[name] for name in self._stayed(services, begun)}
                if len(done) < len(services):
                    continue
            if not late or self.clock() >= end:
                verdicts = done | late
                return {s.name: self._explained(s, verdicts[s.name]) for s in services}
            self.sleep(_POLL_SECONDS)

    def _stayed(self, services: Sequence[ServiceOutput], begun: Mapping[str, int]) -> list[str]:
        """Those that run, and have not ended since the start."""
        seen = self.daemon.look(self.stack)
        return [
            one.name
            for one in services
            if (now := seen.get(one.container)) is not None
            and now.runs
            and now.restarts == begun.get(one.container, 0)
        ]

    def once(
        self, services: Sequence[ServiceOutput], seen: Mapping[str, Seen] | None = None
    ) -> dict[str, Verdict]:
        """How each is at this moment; `seen` is what the daemon reported just now, if it was."""
        return self._look(services, {}, seen)

    def _look(
        self,
        services: Sequence[ServiceOutput],
        begun: Mapping[str, int],
        seen: Mapping[str, Seen] | None = None,
    ) -> dict[str, Verdict]:
        seen = self.daemon.look(self.stack) if seen is None else seen
        return {
            service.name: self._judge(service, seen.get(service.container), begun)
            for service in services
        }

    def _judge(
        self, service: ServiceOutput, seen: Seen | None, begun: Mapping[str, int]
    ) -> Verdict:
        probe = self.daemon.probe(seen) if seen is not None and seen.runs else None
        # How often it ended before anybody waited for it says nothing.
        before = begun.get(service.container, seen.restarts if seen else 0)
        verdict = judge(service, seen, probe, restarts=before)
        port, address = service.port, service.address
        if port is None or address is None or not (verdict.well and self.daemon.is_local):
            return verdict
        if answers(address, port):
            return verdict
        return Verdict(service=service.name, reason=f"nothing answers on {address}:{port}")

    def _explained(self, service: ServiceOutput, verdict: Verdict) -> Verdict:
        if verdict.well or verdict.reason == "it has no container":
            return verdict
        said = self.daemon.logs(service.container, tail=_LOG_LINES)
        lines = "".join(f"\n    {line}" for line in said.splitlines())
        return Verdict(
            service=verdict.service, reason=verdict.reason + lines, hopeless=verdict.hopeless
        )
