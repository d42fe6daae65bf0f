"""Where an operation is cut, and by whose death: the matrix."""

import random
from dataclasses import dataclass, replace

ENGINE, PROVIDER, SERVICE, ALL = "engine", "provider", "service", "all"
CREATE_POINTS = ("before_send", "sent", "reply_lost", "id_known", "saved")
DELETE_POINTS = ("delete_received", "delete_accepted", "delete_reply_lost", "delete_saved")


@dataclass(frozen=True, kw_only=True)
class Cut:
    """`operation` is cut at `point`: the processes of `victim` are killed (-9).

    `drop` loses the call that waits at the point; `late` lets it go on only while recovery is
    already at work.
    """

    operation: str
    point: str
    victim: str
    drop: bool = False
    late: bool = False

    def __str__(self) -> str:
        notes = [name for name in ("drop", "late") if getattr(self, name)]
        return " ".join([self.operation, self.point, self.victim, *notes])


def matrix() -> list[Cut]:
    """Every cut of the full run."""
    both = (ENGINE, PROVIDER)
    creates = [
        Cut(operation=operation, point=point, victim=victim)
        for operation in ("first", "grow", "replace")
        for point in CREATE_POINTS
        for victim in both
        # The one create of a replacement is the last step: nothing is left to be cut after it.
        if (operation, point) != ("replace", "saved")
    ]
    deletes = [
        Cut(operation=operation, point=point, victim=victim)
        for operation in ("shrink", "replace", "destroy")
        for point in DELETE_POINTS
        for victim in both
    ]
    others = [
        Cut(operation=operation, point=point, victim=victim)
        for operation, point in (
            ("first", "sent"),
            ("grow", "sent"),
            ("grow", "id_known"),
            ("grow", "saved"),
            ("shrink", "delete_accepted"),
            ("replace", "delete_accepted"),
            ("destroy", "delete_accepted"),
        )
        for victim in (SERVICE, ALL)
    ]
    return [*creates, *deletes, *others]


def seeded(seed: int) -> list[Cut]:
    """The matrix in the order of `seed`, each cut with what the seed chose for it."""
    rng = random.Random(seed)  # noqa: S311 - a choice of tests
    cuts = [
        replace(cut, drop=_can_drop(cut) and rng.random() < 0.5, late=rng.random() < 0.5)
        for cut in matrix()
    ]
    rng.shuffle(cuts)
    return cuts


def _can_drop(cut: Cut) -> bool:
    return cut.point in {"before_send", "sent", "delete_received"}
