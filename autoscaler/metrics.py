"""What `/metrics` tells. One registry an autoscaler, so that tests do not share it."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from autoscaler.model import Phase

_PREFIX = "agent_docker_autoscaler"
# Seconds: an idle stack is read in one, 20 rentals at Vast.ai's pace take 90.
_BUCKETS = (1, 2, 5, 10, 20, 30, 60, 120, 300)


class Metrics:
    """Gauges are set at each tick, counters grow with what is done."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        gauge = self._gauge
        self.leader = gauge("leader", "1 while this one holds the lease")
        self.healthy = gauge("healthy", "1 while nothing keeps it from its work")
        self.queue_depth = gauge("queue_depth", "Requests waiting; NaN while unreadable")
        self.in_flight = gauge("queue_in_flight", "Requests being served; NaN while unknown")
        self.slots = Gauge(f"{_PREFIX}_slots", "Slots by phase", ["phase"], registry=self.registry)
        self.wanted = gauge("wanted_slots", "Slots that the last decision asked for")
        self.cost = gauge("cost_per_hour_dollars", "What the fleet costs now, $/h")
        self.spent = gauge("spent_today_dollars", "Spent since midnight UTC, $; NaN while unknown")
        self.last_tick = gauge("last_tick_timestamp_seconds", "When it last looked at the fleet")
        self.problems = Gauge(
            f"{_PREFIX}_problem",
            "1 while there is one, by topic",
            ["topic"],
            registry=self.registry,
        )
        self.decisions = Counter(
            f"{_PREFIX}_decisions", "Decisions by rule", ["rule"], registry=self.registry
        )
        self.operations = Counter(
            f"{_PREFIX}_operations",
            "Operations on the stack by name and outcome",
            ["name", "outcome"],
            registry=self.registry,
        )
        self.operation_seconds = Histogram(
            f"{_PREFIX}_operation_seconds",
            "How long operations on the stack take",
            ["name"],
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self.boots = Histogram(
            f"{_PREFIX}_boot_seconds",
            "From the rental to the first answer",
            registry=self.registry,
            buckets=(15, 30, 60, 120, 180, 240, 300, 420, 600),
        )
        self.events = Counter(
            f"{_PREFIX}_events", "What was done to slots", ["event"], registry=self.registry
        )
        for phase in Phase:
            self.slots.labels(phase.value)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"{_PREFIX}_{name}", text, registry=self.registry)
