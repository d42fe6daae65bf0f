"""Jobs as they travel, and the account of where each of them is. No network."""

import json
from collections import Counter, OrderedDict
from dataclasses import dataclass

from contracts.narrowing import is_object
from localcloud.router.journal import KEPT, Journal, Json

LAST_MOMENT = 1e11
"""In epoch seconds; what is later is no time, and may be no JSON either."""


@dataclass(frozen=True)
class Job:
    """One request from the queue; `raw` is what stands there."""

    raw: str
    id: str
    at: float | None
    model: str | None
    prompt: str


def parsed(raw: str) -> Job | None:
    """Return the job in a queue's entry; None when it is none, or cannot be sent."""
    try:
        fields: object = json.loads(raw)
        if not is_object(fields):
            return None
        number, at, model = fields.get("id"), fields.get("at"), fields.get("model")
        if isinstance(number, bool) or not isinstance(number, str | int):
            return None
        job = Job(
            raw=raw,
            id=str(number),
            at=at if isinstance(at, int | float) and 0 <= at <= LAST_MOMENT else None,
            model=model if isinstance(model, str) else None,
            prompt=str(fields.get("prompt", "")),
        )
        # Half of a surrogate pair is JSON, but no text.
        f"{job.id}{job.model}{job.prompt}".encode()
    except (ValueError, RecursionError):
        return None
    return job


class Account:
    """What became of every job that was taken; `lost` would be those nobody can tell about."""

    def __init__(self) -> None:
        self.events = Journal()
        self.finished = Journal()
        self.held: Counter[str] = Counter()
        """The entries that are ours, until Redis has taken note of what became of them."""
        self.taken = 0
        self.done = 0
        self.retried = 0
        self.put_back = 0
        self.rejected = 0
        self.handed_to_draining = 0
        self._tries: Counter[str] = Counter()
        # Kept apart from the registry, so that one tells on the other.
        self._gone: OrderedDict[str, None] = OrderedDict()

    @property
    def lost(self) -> int:
        """Return how many jobs are neither held nor accounted for."""
        known = self.done + self.retried + self.put_back + self.rejected
        return self.taken - known - self.held.total()

    def registered(self, endpoint: str, *, changed: bool) -> None:
        """Note a registration; repeating one is no event."""
        self._gone.pop(endpoint, None)
        if changed:
            self.events.event("registered", endpoint=endpoint)

    def deregistered(self, endpoint: str) -> None:
        """Note that an endpoint must get nothing from now on."""
        self._gone[endpoint] = None
        if len(self._gone) > KEPT:
            self._gone.popitem(last=False)
        self.events.event("deregistered", endpoint=endpoint)

    def take(self, raw: str) -> None:
        """Note that an entry is ours now."""
        self.taken += 1
        self.held[raw] += 1

    def dispatch(self, job: Job, endpoint: str) -> None:
        """Note that a job is handed to an endpoint."""
        self._tries[job.raw] += 1
        if len(self._tries) > KEPT:
            del self._tries[next(iter(self._tries))]
        self.handed_to_draining += endpoint in self._gone
        self.events.event("dispatch", id=job.id, endpoint=endpoint, tries=self._tries[job.raw])

    def finish(self, job: Job, endpoint: str, started_at: float, done_at: float) -> None:
        """Note that a job was served and is out of Redis."""
        self.done += 1
        self._release(job.raw)
        self.finished.add(
            id=job.id,
            enqueued_at=job.at,
            started_at=started_at,
            done_at=done_at,
            endpoint=endpoint,
            tries=self._tries.pop(job.raw, 1),
        )
        self.events.event("done", id=job.id, endpoint=endpoint)

    def fail(self, job: Job, endpoint: str, reason: str) -> None:
        """Note that an attempt failed; the job is ours until it stands in the queue again."""
        self.events.event("failed", id=job.id, endpoint=endpoint, reason=reason)

    def retry(self, raw: str) -> None:
        """Note that a job whose attempt failed stands in the queue again."""
        self.retried += 1
        self._release(raw)

    def give_back(self, raw: str) -> None:
        """Note that a job which was handed to nobody stands in the queue again."""
        self.put_back += 1
        self._release(raw)

    def reject(self, raw: str) -> None:
        """Note that an entry which is no job was put aside."""
        self.rejected += 1
        self._release(raw)
        self.events.event("rejected", entry=raw[:200].encode(errors="replace").decode())

    def as_json(self) -> Json:
        """Return the counters."""
        return {
            "in_flight": self.held.total(),
            "done": self.done,
            "retried": self.retried,
            "rejected": self.rejected,
            "lost": self.lost,
            "handed_to_draining": self.handed_to_draining,
        }

    def _release(self, raw: str) -> None:
        self.held[raw] -= 1
        if self.held[raw] <= 0:
            del self.held[raw]
