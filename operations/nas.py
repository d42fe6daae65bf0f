"""The nas stack: deploy, see that every service works, and put back what does not."""

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import TypeAdapter

from contracts import outputs
from contracts.nas import Held, NasDocuments
from contracts.outputs import ServiceOutput
from contracts.program import PROJECT
from contracts.settings import parse
from operations.daemon import Daemon
from operations.errors import Busy, Failed, NoSuchService, OperationError
from operations.gate import Gate, Verdict
from operations.jobs import Event, MessageEvent
from operations.lease import lease
from operations.nas_failures import explained
from operations.nas_recovery import recover
from operations.stack import Applied, Stack
from operations.state import StackState

T = TypeVar("T")

_SERVICES = TypeAdapter(list[ServiceOutput])
_DOCUMENTS = ("nas", "services", "ingress", "images", "backups", outputs.HELD)


class GateFailed(OperationError):
    """A deployed service does not work; all others do what they did."""


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """An update whose services all work. `held` are those that run another image than declared."""

    changes: tuple[str, ...]
    services: tuple[ServiceOutput, ...]
    held: Mapping[str, Held]


@dataclass(frozen=True, kw_only=True)
class Nas:
    """Operations on the nas stack."""

    stack: Stack
    gate: Callable[[Daemon], Gate]
    daemon: Callable[[str], Daemon] = field(default=lambda url: Daemon(url=url))
    # This one's name in Pulumi's locks.
    host: str = field(default_factory=socket.gethostname)

    # Reading.

    def documents(self) -> NasDocuments:
        """The settings of the last update."""
        found = self.stack.snapshot()
        return documents_of(found.settings, found.state, where=self.stack.target.stack)

    def services(self) -> list[ServiceOutput]:
        """Every service that the last update recorded."""
        return recorded(self.stack.snapshot().state)

    # Changing.

    def up(
        self,
        settings: Mapping[str, Any],
        *,
        guarded: Mapping[str, str] | None = None,
        message: str | None = None,
    ) -> Deployed:
        """Deploy `settings` as `pulumi up` would, and wait until every service works.

        One that does not is put back to the image that it had before, if it had another one; the
        others stay as they are. GateFailed then, and whenever a service does not work. What an
        update that was cut off left behind is put in order first. Refused, with the reason, when a
        service that is `guarded` by name would end.
        """
        documents = documents_of(settings, None, where=f"Pulumi.{self.stack.target.stack}.yaml")
        with lease(self.stack.target.state, self.stack.target.stack):
            # Or the ingress would be changed already when it turns out to be away.
            self.daemon(documents.nas.docker).require_recent()
            applied = self._engine(
                lambda stack: stack.deploy(settings, message=message, guarded=guarded), documents
            )
            return self._gated(applied, documents)

    def destroy(self) -> None:
        """Remove containers, network and ingress; the data stays."""
        with lease(self.stack.target.state, self.stack.target.stack):
            self._engine(lambda stack: stack.destroy(), self.documents())

    def hold(self, name: str, *, image: str | None, reason: str) -> Deployed:
        """Put service `name` back to `image`, by default the one before, until another is declared.

        NoSuchService when there is none of that name, Failed when nothing is known to go back to.
        """
        with lease(self.stack.target.state, self.stack.target.stack):
            found = self.stack.snapshot()
            service = service_of(recorded(found.state), name)
            wanted = image or service.previous
            if wanted is None:
                raise Failed(
                    f"{name} has had no other image than {service.image}",
                    hint="name one with --image",
                )
            held = {name: Held(failed=service.declared, image=_plain(wanted), reason=reason)}
            before = documents_of(found.settings, found.state, where=self.stack.target.stack)
            applied = self._hold(found.state, held, before)
            documents = documents_of(found.settings, applied.state, where=self.stack.target.stack)
            return self._gated(applied, documents)

    def release(self, name: str) -> Deployed:
        """Run the declared image of service `name` again."""
        with lease(self.stack.target.state, self.stack.target.stack):
            found = self.stack.snapshot()
            service_of(recorded(found.state), name)
            left = {n: h for n, h in held_in(found.state).items() if n != name}
            before = documents_of(found.settings, found.state, where=self.stack.target.stack)
            applied = self._engine(
                lambda stack: stack.apply({outputs.HELD: _dump(left)}, expendable=None), before
            )
            documents = documents_of(found.settings, applied.state, where=self.stack.target.stack)
            return self._gated(applied, documents)

    def require_well(self, services: Sequence[ServiceOutput]) -> None:
        """Wait until each works; GateFailed says which does not."""
        gate = self.gate(self.daemon(self.documents().nas.docker))
        failed = _failed(gate.wait(services))
        if failed:
            raise GateFailed(_told(failed, {}), hint=_hint({}))

    def _gated(self, applied: Applied, documents: NasDocuments) -> Deployed:
        gate = self.gate(self.daemon(documents.nas.docker))
        services = recorded(applied.state)
        failed = _failed(gate.wait(services))
        back = {
            service.name: Held(
                failed=service.declared,
                image=_plain(service.previous),
                reason=failed[service.name].reason.splitlines()[0],
            )
            for service in services
            if service.name in failed
            and service.previous is not None
            and service.image.partition("@")[0] == service.declared.partition("@")[0]
        }
        if back:
            applied = self._hold(applied.state, back, documents)
            again = [s for s in recorded(applied.state) if s.name in back]
            failed |= _failed(gate.wait(again))
        if failed:
            raise GateFailed(_told(failed, back), hint=_hint(back))
        return Deployed(
            changes=applied.changes,
            services=tuple(recorded(applied.state)),
            held=held_in(applied.state),
        )

    def _hold(
        self, state: StackState, held: Mapping[str, Held], documents: NasDocuments
    ) -> Applied:
        """An update from the very state that was judged: nobody else's deploy is put back."""
        changes = {outputs.HELD: _dump({**held_in(state), **held})}
        return self._engine(
            lambda stack: stack.apply(
                changes,
                expendable=None,
                base=state.updates,
                message=f"hold back {', '.join(held)}",
            ),
            documents,
        )

    def _engine(self, call: Callable[[Stack], T], documents: NasDocuments) -> T:
        """`call`, once more after the lock of a dead engine is gone; its failure explained."""
        said: list[MessageEvent] = []

        def listen(event: Event) -> None:
            self.stack.on_event(event)
            if isinstance(event, MessageEvent):
                said.append(event)

        stack = replace(self.stack, on_event=listen)
        try:
            try:
                return call(stack)
            except Busy:
                nas = documents.nas
                recover(stack, self.daemon(nas.docker), prefix=nas.prefix, host=self.host)
                return call(stack)
        except Failed as error:
            raise explained(error, said, documents.hosts()) from None


def documents_of(
    settings: Mapping[str, Any], state: StackState | None, *, where: str
) -> NasDocuments:
    """The documents in `settings`, and who is held back by `state` where they do not say."""
    # A stack's own record of its settings has their full names.
    known = {key.removeprefix(f"{PROJECT}:"): value for key, value in settings.items()}
    given = {key: known[key] for key in _DOCUMENTS if known.get(key) is not None}
    if state is not None:
        given.setdefault(outputs.HELD, state.outputs.get(outputs.HELD) or {})
    return parse(NasDocuments, given, where=where, key=PROJECT)


def recorded(state: StackState) -> list[ServiceOutput]:
    """The services in a recorded state, in the order of the settings."""
    return _SERVICES.validate_python(state.outputs.get(outputs.SERVICES) or [], by_alias=True)


def held_in(state: StackState) -> dict[str, Held]:
    """Who is held back in a recorded state."""
    found: Mapping[str, Any] = state.outputs.get(outputs.HELD) or {}
    return {name: Held.model_validate(row) for name, row in found.items()}


def _dump(held: Mapping[str, Held]) -> dict[str, Any]:
    return {name: one.model_dump(mode="json") for name, one in held.items()}


def service_of(services: Sequence[ServiceOutput], name: str) -> ServiceOutput:
    """The service of that name; NoSuchService says which there are."""
    for service in services:
        if service.name == name:
            return service
    known = ", ".join(service.name for service in services) or "none"
    raise NoSuchService(f"there is no service {name!r}", hint=f"the services are: {known}")


def _plain(image: str | None) -> str:
    """The reference without a digest that the lock of images added."""
    return (image or "").partition("@")[0] if ":" in (image or "") else image or ""


def _failed(verdicts: Mapping[str, Verdict]) -> dict[str, Verdict]:
    return {name: verdict for name, verdict in verdicts.items() if not verdict.well}


def _told(failed: Mapping[str, Verdict], back: Mapping[str, Held]) -> str:
    lines = [
        f"{name} does not work: {verdict.reason}"
        + (f"\n    it was put back to {back[name].image}" if name in back else "")
        for name, verdict in failed.items()
    ]
    return "\n".join(lines)


def _hint(back: Mapping[str, Held]) -> str:
    if back:
        return "declare another image and deploy again; until then the last good one runs"
    return "see `agent-docker nas logs SERVICE`; there was no other image to go back to"
