"""The nas stack: deploy, see that every service works, and put back what does not."""

import contextlib
import re
import socket
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from contracts import outputs
from contracts.errors import AgentDockerError
from contracts.nas import Held, NasDocuments
from contracts.outputs import ServiceOutput
from operations.daemon import Daemon
from operations.docker_client import Unreachable
from operations.errors import (
    Busy,
    Conflict,
    CutOff,
    Failed,
    Interrupted,
    OperationError,
    Refused,
    StackNotFound,
    WrongPassphrase,
)
from operations.gate import Gate, Verdict
from operations.jobs import Event, MessageEvent
from operations.lease import lease
from operations.nas_failures import explained
from operations.nas_records import (
    containers_of,
    documents_of,
    dumped,
    held_in,
    recorded,
    require_foreign,
    service_of,
)
from operations.nas_recovery import recover
from operations.nas_ungated import Ungated
from operations.nas_verdicts import failed_in, put_back, told
from operations.stack import Applied, Stack
from operations.state import StackState

T = TypeVar("T")

# As the daemon puts it, whatever plugin asks: of a container, of a network.
_NAME_TAKEN = re.compile(r"is already in use by container|network with name \S+ already exists")
# An sshd takes ten sessions of one connection, and turns away what connects all at once.
_SSH_AT_ONCE = 6
_DECLARE = "declare another image and deploy again; until then the last good one runs"
_LOGS = "see `agent-docker nas logs SERVICE`; there was no other image to go back to"


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
        service that is `guarded` by name would end, and when what the stack has already would be
        taken over.
        """
        documents = documents_of(settings, None, where=f"Pulumi.{self.stack.target.stack}.yaml")
        with lease(self.stack.target.state, self.stack.target.stack):
            # Or the ingress would be changed already when it turns out to be away.
            daemon = self.daemon(documents.nas.docker)
            now = daemon.require_recent()
            before = self._state()
            require_foreign(documents, before)
            with self._ungated_since(now, before, recorded(before)):
                self._mend(before, daemon, documents)
                return self._checked(
                    lambda: self._engine(
                        lambda stack: stack.deploy(settings, message=message, guarded=guarded),
                        documents,
                    ),
                    documents,
                )

    def destroy(self) -> None:
        """Remove containers, network and ingress; the data stays."""
        with lease(self.stack.target.state, self.stack.target.stack):
            found = self.stack.snapshot()
            documents = documents_of(found.settings, found.state, where=self.stack.target.stack)
            self._ungated.kept(found.state.updates)
            self._engine(lambda stack: stack.destroy(), documents)
            self._ungated.clear()

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
            services = recorded(found.state)
            service = service_of(services, name)
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
            now = self.daemon(documents.nas.docker).require_recent()
            # It is not put back to the image that it is taken from.
            others = [one for one in services if one is not service]
            with self._ungated_since(now, found.state, others):
                return self._checked(
                    lambda: self._hold(found.state, held, documents, guarded),
                    documents,
                    hint="name another image with --image, or `agent-docker nas retry` it",
                )

    def release(self, name: str, *, guarded: Mapping[str, str] | None = None) -> Deployed:
        """Run the declared image of service `name` again.

        GateFailed when it does not work again: it is held back as before then.
        """
        with lease(self.stack.target.state, self.stack.target.stack):
            found = self.stack.snapshot()
            services = recorded(found.state)
            service_of(services, name)
            left = {n: h for n, h in held_in(found.state).items() if n != name}
            documents = documents_of(found.settings, found.state, where=self.stack.target.stack)
            changes = {outputs.HELD: dumped(left)}
            now = self.daemon(documents.nas.docker).require_recent()
            with self._ungated_since(now, found.state, services):
                return self._checked(
                    lambda: self._engine(
                        lambda stack: stack.apply(changes, expendable=None, guarded=guarded),
                        documents,
                    ),
                    documents,
                )

    def require_well(self, services: Sequence[ServiceOutput]) -> None:
        """Wait until each works; GateFailed says which does not."""
        gate = self.gate(self.daemon(self.documents().nas.docker))
        failed = failed_in(gate.wait(services))
        if failed:
            raise GateFailed("\n".join(told(failed, {})), hint=_LOGS)

    @contextlib.contextmanager
    def _ungated_since(
        self, now: datetime, before: StackState, services: Sequence[ServiceOutput]
    ) -> Generator[None]:
        """What `services` ran before is known until a gate has judged, however this ends."""
        images = {one.name: one.image for one in services}
        left = self._ungated.begin(images, updates=before.updates, now=now)
        try:
            yield
        except (CutOff, GateFailed, Interrupted):
            raise
        except Conflict:
            # Somebody else has updated since.
            self._ungated.clear()
            raise
        except (Busy, Refused, WrongPassphrase):
            # It may have come to what was to be put back, after the update itself.
            with contextlib.suppress(AgentDockerError):
                if self._state().updates == before.updates:
                    self._ungated.restore(left)
            raise
        except AgentDockerError:
            with contextlib.suppress(AgentDockerError):
                self._ungated.ended(self._state().updates)
            raise

    def _checked(
        self, update: Callable[[], Applied], documents: NasDocuments, *, hint: str = _LOGS
    ) -> Deployed:
        """`update`, and what works after it; `hint` where there is nothing to go back to."""
        try:
            applied = update()
        except Failed as error:
            if not isinstance(error, CutOff):
                self._rescue(error, documents)
            raise
        return self._gated(applied, documents, hint=hint)

    def _rescue(self, error: Failed, documents: NasDocuments) -> None:
        """Put back what a failed update has left without a container that works.

        GateFailed then; the services that it did not come to are deployed on the way.
        """
        good = self._ungated.images()
        state = self._state()
        changed = [one for one in recorded(state) if good.get(one.name, one.image) != one.image]
        try:
            failed = self._unfit(changed, documents) if changed else {}
        except Unreachable:
            return
        reason = error.message.splitlines()[0]
        back = put_back(changed, dict.fromkeys(failed, reason), good)
        if not back:
            return
        try:
            applied = self._hold(state, back, documents)
        except CutOff:
            raise
        except Failed as again:
            # Then it was hardly the image.
            reason = f"{', '.join(back)} could not be put back: {again.message}"
            raise Failed(f"{error.message}\n{reason}", hint=again.hint or error.hint) from None
        lines = [f"    {name} was put back to {one.image}" for name, one in back.items()]
        cause = [error.message, *lines]
        self._gated(applied, documents, hint=_DECLARE, cause=cause)

    def _unfit(
        self, services: Sequence[ServiceOutput], documents: NasDocuments
    ) -> dict[str, Verdict]:
        """Those that do not work; only what runs is waited for."""
        daemon = self.daemon(documents.nas.docker)
        gate = self.gate(daemon)
        seen = daemon.look(self.stack.target.stack)
        there = {name for name, one in seen.items() if not one.ended}
        running = [one for one in services if one.container in there]
        verdicts = gate.once([one for one in services if one not in running], seen)
        if running:
            verdicts |= gate.wait(running, settle=True)
        return failed_in(verdicts)

    def _gated(
        self, applied: Applied, documents: NasDocuments, *, hint: str, cause: Sequence[str] = ()
    ) -> Deployed:
        """What works after an update, which itself is told of as the `cause` when it failed."""
        gate = self.gate(self.daemon(documents.nas.docker))
        services = recorded(applied.state)
        failed = failed_in(gate.wait(services, settle=bool(applied.changes)))
        # Only what no gate has let pass with this image: what worked before fails for another
        # reason, and an older program on its data would make that worse.
        reasons = {name: verdict.reason.splitlines()[0] for name, verdict in failed.items()}
        back = put_back(services, reasons, self._ungated.images())
        if back:
            applied = self._hold(applied.state, back, documents)
            again = [s for s in recorded(applied.state) if s.name in back]
            failed |= failed_in(gate.wait(again, settle=True))
        self._ungated.clear()
        lines = [*cause, *told(failed, back)]
        if lines:
            raise GateFailed("\n".join(lines), hint=_DECLARE if back else hint)
        return Deployed(
            changes=applied.changes,
            services=tuple(recorded(applied.state)),
            held=held_in(applied.state),
        )

    @property
    def _ungated(self) -> Ungated:
        return Ungated(folder=self.stack.target.state, stack=self.stack.target.stack)

    def _state(self) -> StackState:
        try:
            return self.stack.snapshot().state
        except StackNotFound:
            return StackState()

    def _mend(self, before: StackState, daemon: Daemon, documents: NasDocuments) -> None:
        """Have the engine see what has changed on the NAS, if anything has.

        Otherwise it finds no difference: a container that was stopped or removed would stay so.
        """
        seen = daemon.look(self.stack.target.stack)
        ours = {one.container: seen.get(one.container) for one in recorded(before)}
        # `docker container prune` removes the writers of files, which never run.
        gone = containers_of(before) - daemon.containers(self.stack.target.stack)
        # Left so by a failed bind at boot; only making it anew helps.
        lost = [one for one in ours.values() if one is not None and one.runs and not one.networks]
        for one in lost:
            daemon.remove(one)
        if lost or gone or any(one is None or not one.runs for one in ours.values()):
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
        self._ungated.goes_on(state.updates)
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

        remote = documents.nas.docker.startswith("ssh://")
        parallel = min(self.stack.parallel, _SSH_AT_ONCE) if remote else self.stack.parallel
        stack = replace(self.stack, on_event=listen, parallel=parallel)
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
            left = self._ungated.left()
            state = recover(
                stack,
                self.daemon(nas.docker),
                prefix=nas.prefix,
                network=nas.network,
                host=self.host,
                since=left.begun if left else None,
            )
            # What failed may have been recorded.
            self._ungated.goes_on(state.updates)
            return call(stack)
        except Failed as error:
            hosts = {host.label: host for host in documents.hosts().values()}
            raise explained(error, said, hosts) from None
