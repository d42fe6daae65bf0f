"""`agent-docker demo`: a burst of jobs on the local profile, and what the fleet made of it."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from statistics import quantiles
from typing import Any
from uuid import uuid4

import httpx
from redis import Redis
from rich.live import Live
from rich.table import Table

from autoscaler.store import connect
from cli import services
from cli.files import LocalFiles
from cli.services import QUEUE
from cli.views import out, talk
from contracts.errors import AgentDockerError
from contracts.fleet import render_endpoint
from contracts.labels import Label

_POLL = 0.5
_DEADLINE = 600.0
_READY_SECONDS = 30.0


class DemoFailed(AgentDockerError):
    """The demonstration did not end as it should."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One look at everything."""

    at: float
    router: Mapping[str, Any]
    status: Mapping[str, Any]
    cloud: Mapping[str, Any]

    @property
    def slots(self) -> Sequence[Mapping[str, Any]]:
        """The slots as the autoscaler sees them."""
        return self.status.get("slots") or ()

    @property
    def bill(self) -> float:
        """What the cloud has charged so far, $."""
        return float(self.cloud["total_bill"])

    @property
    def spent(self) -> float:
        """What the autoscaler's own ledger says, $."""
        return float(self.status.get("spentTotal") or 0.0)


@dataclass(frozen=True, kw_only=True)
class World:
    """Where the local profile's processes are."""

    redis: Redis
    router: str
    autoscaler: str
    cloud: str
    endpoints: str
    owner: str

    @classmethod
    def of(cls, files: LocalFiles) -> "World":
        """The running local profile; DemoFailed when a part of it is missing."""
        parts = {name: services.running(files, name) for name in ("redis", "router", "autoscaler")}
        cloud = files.cloud()
        missing = [name for name, said in parts.items() if said is None]
        if cloud is None or missing:
            raise DemoFailed(
                f"the local profile runs without {', '.join(missing) or 'its cloud'}",
                hint="run `agent-docker up` first",
            )
        said = {name: part or {} for name, part in parts.items()}
        return cls(
            redis=connect(str(said["redis"]["url"])),
            router=str(said["router"]["admin_url"]),
            autoscaler=str(said["autoscaler"]["url"]),
            cloud=str(cloud["admin_url"]),
            endpoints=str(cloud["endpoint_template"]).replace("{port}", "{local_port}"),
            owner=files.read("owner"),
        )

    def look(self) -> Moment:
        """Everything as it is now."""
        return Moment(
            at=time.time(),
            router=_get(f"{self.router}/state"),
            status=_get(f"{self.autoscaler}/status"),
            cloud=_get(f"{self.cloud}/state"),
        )

    def journal(self, name: str) -> list[dict[str, Any]]:
        """The router's `jobs` or `events`."""
        rows: list[dict[str, Any]] = _get(f"{self.router}/{name}?since=0")[name]
        return rows

    def endpoint(self, contract: int) -> str:
        """Where the machine of a contract answers, or did."""
        return render_endpoint(self.endpoints, slot="", contract=contract, tailnet=None, port=0)

    def push(self, count: int) -> list[str]:
        """Put `count` jobs on the queue; their ids."""
        ids = [uuid4().hex for _ in range(count)]
        jobs = [json.dumps({"id": name, "at": time.time(), "prompt": "hello"}) for name in ids]
        self.redis.lpush(QUEUE, *jobs)
        return ids


@dataclass(kw_only=True)
class Demo:
    """A run of the demonstration; `summary` is its result, with flat `figures`."""

    world: World
    jobs: int
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    most: int = 0
    decisions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def run(self) -> dict[str, Any]:
        """Push, watch until all is done and the fleet is small again, and sum up."""
        first = self._ready()
        if first.status.get("mode") != "auto":
            raise DemoFailed(
                f"the autoscaler is {first.status.get('mode')}",
                hint="run `agent-docker autoscaler resume` first",
            )
        ids = self.world.push(self.jobs)
        last = self._watch(first)
        return self._summary(first, last, ids)

    def _ready(self) -> Moment:
        """The first look at an autoscaler that has begun to work."""
        end = self.clock() + _READY_SECONDS
        while True:
            now = self.world.look()
            if now.slots or self.clock() >= end:
                return now
            self.sleep(_POLL)

    def _watch(self, first: Moment) -> Moment:
        small, end = len(first.slots), self.clock() + _DEADLINE
        goal = int(first.router["done"]) + self.jobs
        begun = first.at
        with Live(console=talk, auto_refresh=False, transient=True) as live:
            told = ""
            while self.clock() < end:
                now = self.world.look()
                self.most = max(self.most, len(now.slots))
                self._note(now.status.get("decision"))
                if talk.is_terminal:
                    live.update(_picture(now, begun), refresh=True)
                elif (line := _line(now)) != told:
                    told = line
                    talk.print(f"{now.at - begun:5.1f} s  {line}", markup=False)
                done = int(now.router["done"]) >= goal and len(now.slots) <= small
                if done and not now.status.get("operation") and self.most > small:
                    return now
                self.sleep(_POLL)
        raise DemoFailed(
            f"not done after {_DEADLINE:.0f} s: {_line(self.world.look())}",
            hint="see `agent-docker autoscaler status` and `agent-docker autoscaler decisions`",
        )

    def _note(self, decision: dict[str, Any] | None) -> None:
        if decision and decision not in self.decisions:
            self.decisions.append(decision)

    def _summary(self, first: Moment, last: Moment, ids: Iterable[str]) -> dict[str, Any]:
        ours = set(ids)
        finished = [row for row in self.world.journal("jobs") if row["id"] in ours]
        waits = [row["started_at"] - row["enqueued_at"] for row in finished]
        p50, p95 = _percentiles(waits)
        rentals = [r for r in last.cloud["rentals"] if self._is_ours(r)]
        ended = [r for r in rentals if r["destroyed_at"] and r["destroyed_at"] >= first.at]
        bill, spent = last.bill - first.bill, last.spent - first.spent
        return {
            "seconds": round(last.at - first.at, 1),
            "jobs_in": self.jobs,
            "jobs_done": len({row["id"] for row in finished}),
            "jobs_lost": self.jobs - len({row["id"] for row in finished}),
            "jobs_on_draining": last.router["handed_to_draining"],
            "jobs_restarted": sum(row["tries"] > 1 for row in finished),
            "wait_p50_s": round(p50, 2),
            "wait_p95_s": round(p95, 2),
            "start_instances": len(first.slots),
            "max_instances": self.most,
            "end_instances": len(last.slots),
            "instance_hours": round(sum(_hours(r, first.at, last.at) for r in rentals), 4),
            "destroys": len(ended),
            "destroys_before_deregister": self._unannounced(ended),
            "cost_dollars": round(spent, 6),
            "bill_dollars": round(bill, 6),
            "cost_error_cents": round(abs(spent - bill) * 100, 4),
        }

    def _is_ours(self, rental: Mapping[str, Any]) -> bool:
        label = Label.parse(rental["label"])
        return label is not None and label.owner == self.world.owner

    def _unannounced(self, ended: Iterable[Mapping[str, Any]]) -> int:
        """Machines that ended before the router was told to send them no more work."""
        told: dict[str, float] = {}
        for event in self.world.journal("events"):
            if event["event"] == "deregistered":
                told[event["endpoint"]] = event["at"]
        return sum(
            told.get(self.world.endpoint(int(rental["id"])), inf) > rental["destroyed_at"]
            for rental in ended
        )


def show(summary: Mapping[str, Any], decisions: Iterable[Mapping[str, Any]]) -> None:
    """The summary for people."""
    told: tuple[Any, ...] = ()
    for decision in decisions:
        step = (decision["slots"], decision["wanted"])
        if decision["rule"] != "hold" and step != told:
            # It is decided anew until it is done; once is enough to be told.
            told = step
            out.print(
                f"{str(decision['at'])[11:19]}  {decision['slots']} → {decision['wanted']} slots: "
                f"{decision['reason']}",
                markup=False,
            )
    out.print(
        f"{summary['jobs_done']} of {summary['jobs_in']} jobs done in {summary['seconds']:.0f} s, "
        f"{summary['jobs_lost']} lost, {summary['jobs_on_draining']} handed to a draining machine"
    )
    out.print(f"waits: p50 {summary['wait_p50_s']:.1f} s, p95 {summary['wait_p95_s']:.1f} s")
    out.print(
        f"fleet: {summary['start_instances']} → {summary['max_instances']} → "
        f"{summary['end_instances']} slots, {summary['instance_hours']:.3f} instance-hours, "
        f"{summary['destroys']} machines ended, "
        f"{summary['destroys_before_deregister']} of them unannounced"
    )
    out.print(
        f"cost: ${summary['cost_dollars']:.4f} by the autoscaler's ledger, "
        f"${summary['bill_dollars']:.4f} by the cloud's bill"
    )


def write_figures(path: Path, summary: Mapping[str, Any]) -> None:
    """Leave the figures for others to read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(summary), indent=1) + "\n")


def _picture(now: Moment, begun: float) -> Table:
    table = Table(title=f"{now.at - begun:.0f} s  {_line(now)}", title_justify="left")
    for heading in ("slot", "phase", "in use", "$/h"):
        table.add_column(heading)
    for slot in now.slots:
        table.add_row(
            slot["slot"],
            slot["phase"],
            "█" * round(10 * slot["utilization"]),
            f"{slot['costPerHour']:.3f}",
        )
    return table


def _line(now: Moment) -> str:
    decision: Mapping[str, Any] = now.status.get("decision") or {}
    phases = ", ".join(slot["phase"] for slot in now.slots)
    return (
        f"{now.router['waiting']} waiting, {now.router['in_flight']} served, "
        f"{now.router['done']} done; {phases}; ${now.status.get('costPerHour', 0):.2f}/h; "
        f"{decision.get('reason', '')}"
    )


def _get(url: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return httpx.get(url, timeout=10, trust_env=False).raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        raise DemoFailed(
            f"{url} does not answer: {error}", hint="see `agent-docker status`"
        ) from None


def _percentiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:  # noqa: PLR2004 - quantiles needs two
        return (values[0], values[0]) if values else (0.0, 0.0)
    cuts = quantiles(values, n=100, method="inclusive")
    return cuts[49], cuts[94]


def _hours(rental: Mapping[str, Any], begun: float, ended: float) -> float:
    first = max(float(rental["created_at"]), begun)
    last = min(float(rental["destroyed_at"] or ended), ended)
    return max(0.0, last - first) / 3600
