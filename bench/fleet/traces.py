"""Reading request traces: gzip CSV with arrival_s, input_tokens, output_tokens, sorted."""

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path

DAY = 86400.0


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Requests in the order of their arrival: seconds from the start, and tokens in and out."""

    name: str
    arrivals: tuple[float, ...]
    tokens: tuple[tuple[int, int], ...]

    def days(self, first: int, last: int) -> "Trace":
        """The requests of the days `first` to `last`, both included and counted from 0."""
        begin, end = first * DAY, (last + 1) * DAY
        kept = [number for number, at in enumerate(self.arrivals) if begin <= at < end]
        return Trace(
            name=self.name,
            arrivals=tuple(self.arrivals[number] - begin for number in kept),
            tokens=tuple(self.tokens[number] for number in kept),
        )

    def thinned(self, every: int) -> "Trace":
        """One request of `every`: the same shape with less load."""
        return Trace(name=self.name, arrivals=self.arrivals[::every], tokens=self.tokens[::every])


def read(path: Path) -> Trace:
    """The trace in the file `path`."""
    with gzip.open(path, "rt", newline="") as file:
        rows = [
            (float(row["arrival_s"]), int(row["input_tokens"]), int(row["output_tokens"]))
            for row in csv.DictReader(file)
        ]
    return Trace(
        name=path.name.partition(".")[0],
        arrivals=tuple(row[0] for row in rows),
        tokens=tuple(row[1:] for row in rows),
    )
