"""Saying what is done and waited for: a live line on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.status import Status

from cli.views import talk
from contracts.program import INSTANCE_TYPE
from operations.jobs import Event, MessageEvent, PhaseEvent, ResourceEvent

_VERBS = {
    "create": "renting",
    "delete": "ending",
    "delete-replaced": "ending",
    "create-replacement": "renting",
    "update": "changing",
    "read": "reading",
    "refresh": "reading",
}
_PHASES = {
    "preview": "looking at what would change",
    "update": "updating the stack",
    "destroy": "ending every machine",
    "refresh": "reading every machine",
}


class Progress:
    """Phases with their times, and what happens within them."""

    def __init__(self, status: Status | None) -> None:
        self._status = status
        self.phases: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str, text: str) -> Iterator[None]:
        """Time `name`; show `text` while it lasts."""
        begun = time.monotonic()
        self.say(text, done=False)
        yield
        seconds = time.monotonic() - begun
        self.phases[name] = round(seconds, 2)
        self._line(f"[green]✓[/green] {text} [dim]{seconds:.1f} s[/dim]")

    def say(self, text: str, *, done: bool = False) -> None:
        """What is being waited for now."""
        if self._status is not None and not done:
            self._status.update(text)
        else:
            self._line(text)

    def on_event(self, event: Event) -> None:
        """An event of an operation."""
        if isinstance(event, ResourceEvent):
            self._resource(event)
        elif isinstance(event, PhaseEvent):
            self.say(_PHASES.get(event.name, event.name))
        elif isinstance(event, MessageEvent) and event.severity in {"warning", "error"}:
            slot = event.urn.rsplit("::", 1)[-1]
            where = f"{slot}: " if "dynamic/vastai" in event.urn else ""
            self._line(f"[yellow]{event.severity}[/yellow] {where}{_plain(event.text)}")

    def _resource(self, event: ResourceEvent) -> None:
        if event.type != INSTANCE_TYPE or event.op not in _VERBS:
            return
        doing = f"{_VERBS[event.op]} {event.name}"
        if event.phase == "begin":
            self.say(doing)
        elif event.op not in {"read", "refresh"}:
            mark = "[red]✗[/red]" if event.phase == "failed" else "[green]·[/green]"
            self._line(f"  {mark} {doing}")

    def _line(self, text: str) -> None:
        talk.print(text)


def _plain(text: str) -> str:
    return text.replace("Exception calling application: ", "").replace("[", r"\[")


@contextmanager
def progress() -> Iterator[Progress]:
    """Progress for one command."""
    if talk.is_terminal:
        with talk.status("") as status:
            yield Progress(status)
    else:
        yield Progress(None)
