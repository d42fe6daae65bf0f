"""Saying what is done and waited for: a live line on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.status import Status
from rich.text import Text

from cli.signals import stop
from cli.views import talk
from contracts.program import CONTAINER_TYPE, INSTANCE_TYPE
from operations.jobs import Event, MessageEvent, PhaseEvent, ResourceEvent

# Steps of the engine: while they last, and when they are done.
_VERBS = {
    "create": ("renting", "rented"),
    "delete": ("ending", "ended"),
    "delete-replaced": ("ending", "ended"),
    "create-replacement": ("renting", "rented"),
    "update": ("changing", "changed"),
    "read": ("reading", ""),
    "refresh": ("reading", ""),
}
_CONTAINER_VERBS = {
    "create": ("starting", "started"),
    "delete": ("ending", "ended"),
    "create-replacement": ("starting", "started anew"),
    "update": ("changing", "changed"),
}
_PHASES = {
    "preview": "looking at what would change",
    "update": "updating the stack",
    "destroy": "ending what the stack has",
    "refresh": "reading what is live",
}


class Waiting:
    """What is being waited for, with the seconds since it began."""

    def __init__(self, text: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.text = text
        self._clock = clock
        self._begun = clock()

    def __rich__(self) -> Text:
        """Drawn anew with every frame of the spinner."""
        return Text(f"{self.text} ({self._clock() - self._begun:.0f} s)")


class Progress:
    """Phases with their times, and what happens within them."""

    def __init__(self, status: Status | None = None) -> None:
        self._status = status
        self._last = ""
        self.phases: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str, text: str) -> Generator[None]:
        """Time `name`; show `text` while it lasts."""
        begun = time.monotonic()
        if self._status is not None:
            self.say(text)
        stop.check()
        yield
        seconds = time.monotonic() - begun
        self.phases[name] = round(seconds, 2)
        self.tell(f"[green]✓[/green] {text} [dim]{seconds:.1f} s[/dim]")

    def say(self, text: str) -> None:
        """What is being waited for now; said once, however often it is told."""
        stop.check()
        if text == self._last:
            return
        self._last = text
        if self._status is not None:
            self._status.update(Waiting(text))
        else:
            talk.print(text, markup=False)

    def tell(self, markup: str) -> None:
        """What has happened: a line that stays."""
        talk.print(markup)

    def on_event(self, event: Event) -> None:
        """An event of an operation."""
        if isinstance(event, ResourceEvent):
            self._resource(event)
        elif isinstance(event, PhaseEvent):
            self.say(_PHASES.get(event.name, event.name))
        elif isinstance(event, MessageEvent) and event.severity == "warning":
            if "from $PATH" in event.text:
                return  # An offline plugin of ours, as it should be.
            # Errors are told once, by the operation's own failure.
            slot = event.urn.rsplit("::", 1)[-1]
            where = f"{slot}: " if "dynamic/vastai" in event.urn else ""
            self.tell(f"[yellow]{event.severity}[/yellow] {where}{_plain(event.text)}")

    def _resource(self, event: ResourceEvent) -> None:
        kinds = {INSTANCE_TYPE: _VERBS, CONTAINER_TYPE: _CONTAINER_VERBS}
        verbs = kinds.get(event.type, {})
        # A container that only carries files never starts.
        if event.op not in verbs or event.name.endswith("-files"):
            return
        doing, done = verbs[event.op]
        if event.phase == "begin":
            self.say(f"{doing} {event.name}")
        elif event.phase == "failed":
            self.tell(f"  [red]✗[/red] {doing} {event.name}")
        elif done:
            self.tell(f"  [green]·[/green] {done} {event.name}")


def _plain(text: str) -> str:
    return text.replace("Exception calling application: ", "").replace("[", r"\[")


@contextmanager
def progress() -> Generator[Progress]:
    """Progress for one command."""
    if talk.is_terminal:
        with talk.status("") as status:
            yield Progress(status)
    else:
        yield Progress()
