"""Where an operation of the autoscaler is cut, by whose death, and what else befalls it."""

import random
from dataclasses import dataclass, replace

from tests.faults.cuts import ALL, ENGINE, PROVIDER, SERVICE, Cut

# What the world does to an autoscaler that nobody kills (tests/faults/autoscaler_scenarios.py).
SCENARIOS = (
    "duel",
    "duel apart",
    "takeover killed",
    "takeover paused",
    "takeover in flight",
    "engine paused",
    "recovery cut",
    "redis gone",
    "redis frozen",
    "redis empty",
    "storm 429",
    "storm 5xx",
    "storm 5xx after",
    "replies lost",
    "never received",
    "listing lags",
    "listing misses one",
    "router gone",
    "router forgets",
    "router hangs",
    "disk full",
    "backend full",
)


@dataclass(frozen=True, kw_only=True)
class ScalerCut(Cut):
    """As `Cut`, of what an autoscaler does; nobody recovers by hand.

    `standby`: another autoscaler waits already when this one is killed; else one is started.
    """

    standby: bool = False

    def __str__(self) -> str:
        notes = [name for name in ("drop", "late", "standby") if getattr(self, name)]
        return " ".join(["scaler", self.operation, self.point, self.victim, *notes])


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One of `SCENARIOS`; the seed chooses its moments."""

    name: str
    seed: int = 1

    def __str__(self) -> str:
        return f"scaler {self.name}"


Case = ScalerCut | Scenario


def matrix() -> list[ScalerCut]:
    """Every cut of the full run."""
    points = {
        "grow": ("before_send", "sent", "accepted", "id_known", "saved"),
        "shrink": ("delete_received", "delete_accepted", "delete_saved"),
        "replace": ("delete_received", "delete_accepted", "delete_saved", "sent", "id_known"),
    }
    return [
        ScalerCut(operation=operation, point=point, victim=victim)
        for operation, chosen in points.items()
        for point in chosen
        for victim in (ENGINE, PROVIDER, SERVICE, ALL)
    ]


def seeded(seed: int) -> list[Case]:
    """Cuts and scenarios in the order of `seed`, each with what the seed chose for it."""
    rng = random.Random(seed)  # noqa: S311 - a choice of tests
    cuts: list[Case] = [
        replace(
            cut,
            drop=cut.point != "id_known" and rng.random() < 0.5,
            late=cut.point != "id_known" and rng.random() < 0.5,
            standby=cut.victim in {SERVICE, ALL} and rng.random() < 0.5,
        )
        for cut in matrix()
    ]
    cases = [*cuts, *(Scenario(name=name, seed=rng.randrange(1000)) for name in SCENARIOS)]
    rng.shuffle(cases)
    return cases
