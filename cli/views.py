"""What the commands show: tables for people, the same facts as JSON for scripts."""

import contextlib
import io
import json
import sys
from collections.abc import Iterable, Mapping
from typing import IO, Any, TextIO, cast

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from rich import box
from rich.console import Console
from rich.table import Table

from contracts.program import recover_command

# Data goes to standard output, talk to standard error; NO_COLOR is honoured by rich.
# Piped output is for tools and logs: nothing in it is cut to a terminal's width.
_WIDE = 200
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDE)


class _Talk(io.TextIOBase):
    """Standard error that may be gone: a closed terminal must not stop what is being put back."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            _stderr().write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            _stderr().flush()

    def isatty(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            return _stderr().isatty()
        return False

    def fileno(self) -> int:
        return _stderr().fileno()


def _stderr() -> TextIO:
    # While rich shows a live line, sys.stderr leads back to rich itself.
    return getattr(sys.stderr, "rich_proxied_file", sys.stderr)


talk = Console(
    file=cast("IO[str]", _Talk()),
    highlight=False,
    soft_wrap=True,
    width=None if sys.stderr.isatty() else _WIDE,
)


class View(BaseModel):
    """What a command shows: a table for people, the same facts in camelCase for scripts."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, serialize_by_alias=True, validate_by_name=True
    )


class SlotView(View):
    """One slot as `status` shows it. Prices in $/h."""

    slot: str
    contract: int | None
    machine: int | None
    gpu: str
    status: str
    healthy: bool
    cost_per_hour: float
    endpoint: str
    image: str


class FleetView(View):
    """The fleet as `status` shows it."""

    profile: str
    stack: str
    slots: tuple[SlotView, ...]
    cost_per_hour: float
    orphans: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Every slot answers, and nothing lives that no slot accounts for."""
        return all(slot.healthy for slot in self.slots) and not self.orphans


def show_json(data: object) -> None:
    """One JSON document on standard output."""
    plain = data.model_dump(mode="json") if isinstance(data, BaseModel) else data
    out.print_json(json.dumps(plain, default=str))


def show_fleet(view: FleetView) -> None:
    """The fleet as a table, with the sum of what it costs."""
    show_rows(
        f"stack {view.stack} ({view.profile})",
        [
            {
                "slot": slot.slot,
                "contract": slot.contract,
                "machine": slot.machine,
                "GPU": slot.gpu.removeprefix("1 x "),
                "status": slot.status,
                "$/h": f"{slot.cost_per_hour:.3f}",
                "endpoint": slot.endpoint,
                "answers": "yes" if slot.healthy else "[red]no[/red]",
            }
            for slot in view.slots
        ],
    )
    ready = sum(slot.healthy for slot in view.slots)
    out.print(f"{ready} of {len(view.slots)} machines answer, ${view.cost_per_hour:.3f}/h")
    command = recover_command(view.stack, offline=view.profile == "local")
    for label in view.orphans:
        out.print(f"[red]orphan[/red] {label}: run `{command}`")


def show_rows(title: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Any list of like records as a table."""
    table: Table | None = None
    for row in rows:
        if table is None:
            table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
            for heading in row:
                table.add_column(heading, overflow="fold")
        table.add_row(*("-" if value is None else str(value) for value in row.values()))
    out.print(table if table is not None else f"{title}: none")
