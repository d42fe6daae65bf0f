"""The nas stack: deploy, see that every service works, and put back what does not."""

import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from contracts import outputs
from contracts.nas import Held, NasDocuments
from contracts.outputs import ServiceOutput
from operations.daemon import Daemon
from operations.errors import (
    Busy,
    Failed,
    OperationError,
    Refused,
    StackNotFound,
)
from operations.gate import Gate, Verdict
from operations.jobs import Event, MessageEvent
from operations.lease import lease
from operations.nas_failures import explained
from operations.nas_records import documents_of, dumped, held_in, recorded, service_of
from operations.nas_recovery import recover
from operations.nas_ungated import Ungated
from operations.stack import Applied, Stack
from operations.state import StackState

T = TypeVar("T")

# As the daemon puts it, whatever plugin asks: of a container, of a network.
_NAME_TAKEN = re.compile(r"is already in use by container|network with name \S+ already exists")


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
            daemon = self.daemon(documents.nas.docker)
            daemon.require_recent()
            before = self._before()
            self._ungated.begin({one.name: one.image for one in before})
            self._mend(before, daemon, documents)
            applied = self._engine(
                lambda stack: stack.deploy(settings, message=message, guarded=guarded), documents
            )
            return self._gated(applied, documents)

    def destroy(self) -> None:
        """Remove containers, network and ingress; the data stays."""
        with lease(self.stack.target.state, self.stack.target.stack):
            self._engine(lambda stack: stack.destroy(), self.documents())

    def hold(
        self,
        name: str,
        *,
        image: str | None,
        reason: str,
        guarded: Mapping[str, str] | None = None,
    ) -> Deployed:
        """Put service `name` back to `image`, by default the one before, until another is declared.

        NoSuchService when there is none of that name, Failed when nothing is known to go back to,
        Refused when it is held back already, or `guarded`.
        """
        with lease(self.stack.target.state, self.stack.target.stack):
            found = self.stack.snapshot()
            service = service_of(recorded(found.state), name)
            if image is None and name in held_in(found.state):
                raise Refused(
                    f"{name} is held back already: {service.image} runs; nothing was changed",
                    hint="name another image with --image, or `agent-docker nas retry` it",
                )
            wanted = image or service.previous
            if wanted is None:
                raise Failed(
                    f"{name} has had no other image than {service.image}",
                    hint="name one with --image",
                )
            held = {name: Held(failed=service.declared, image=wanted, reason=reason)}
            documents = documents_of(found.settings, found.state, where=self.stack.target.stack)
            return self._gated(self._hold(found.state, held, documents, guarded), documents)

    def release(self, name: str, *, guarded: Mapping[str, str] | None = None) -> Deployed:
        """Run the declared image of service `name` again."""
        with lease(self.stack.target.state, self.stack.target.stack):
            found = self.stack.snapshot()
            service_of(recorded(found.state), name)
            left = {n: h for n, h in held_in(found.state).items() if n != name}
            documents = documents_of(found.settings, found.state, where=self.stack.target.stack)
            changes = {outputs.HELD: dumped(left)}
            applied = self._engine(
                lambda stack: stack.apply(changes, expendable=None, guarded=guarded), documents
            )
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
        failed = _failed(gate.wait(services, settle=bool(applied.changes)))
        # Only what no gate has let pass with this image: what worked before fails for another
        # reason, and an older program on its data would make that worse.
        good = self._ungated.images()
        back = {
            one.name: Held(
                failed=one.declared,
                image=good[one.name],
                reason=failed[one.name].reason.splitlines()[0],
            )
            for one in services
            if one.name in failed and good.get(one.name, one.image) != one.image
        }
        if back:
            applied = self._hold(applied.state, back, documents)
            again = [s for s in recorded(applied.state) if s.name in back]
            failed |= _failed(gate.wait(again, settle=True))
        self._ungated.clear()
        if failed:
            raise GateFailed(_told(failed, back), hint=_hint(back))
        return Deployed(
            changes=applied.changes,
            services=tuple(recorded(applied.state)),
            held=held_in(applied.state),
        )

    @property
    def _ungated(self) -> Ungated:
        return Ungated(folder=self.stack.target.state, stack=self.stack.target.stack)

    def _before(self) -> list[ServiceOutput]:
        try:
            return self.services()
        except StackNotFound:
            return []

    def _mend(
        self, before: Sequence[ServiceOutput], daemon: Daemon, documents: NasDocuments
    ) -> None:
        """Have the engine see what has changed on the NAS, if anything has.

        Otherwise it finds no difference: a container that was stopped or removed would stay so.
        """
        seen = daemon.look(self.stack.target.stack)
        ours = {one.container: seen.get(one.container) for one in before}
        # Left so by a failed bind at boot; only making it anew helps.
        lost = [one for one in ours.values() if one is not None and one.runs and not one.networks]
        for one in lost:
            daemon.remove(one)
        if lost or any(one is None or not one.runs for one in ours.values()):
            self._engine(lambda stack: stack.refresh(), documents)

    def _hold(
        self,
        state: StackState,
        held: Mapping[str, Held],
        documents: NasDocuments,
        guarded: Mapping[str, str] | None = None,
    ) -> Applied:
        """An update from the very state that was judged: nobody else's deploy is put back."""
        changes = {outputs.HELD: dumped({**held_in(state), **held})}
        return self._engine(
            lambda stack: stack.apply(
                changes,
                expendable=None,
                base=state.updates,
                guarded=guarded,
                message=f"hold back {', '.join(held)}",
            ),
            documents,
        )

    def _engine(self, call: Callable[[Stack], T], documents: NasDocuments) -> T:
        """`call`, once more after what a dead engine left is gone; its failure explained."""
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
                pass
            except Failed:
                # What an update made that was cut off has the name that this one needs.
                if not any(_NAME_TAKEN.search(message.text) for message in said):
                    raise
            said.clear()
            nas = documents.nas
            recover(
                stack,
                self.daemon(nas.docker),
                prefix=nas.prefix,
                network=nas.network,
                host=self.host,
            )
            return call(stack)
        except Failed as error:
            hosts = {host.label: host for host in documents.hosts().values()}
            raise explained(error, said, hosts) from None


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
