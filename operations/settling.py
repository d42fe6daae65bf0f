"""Getting a stack to rest after a crash: no dead lock, no left-over provider, a state that is read.

Removing a lock is safe only while `Fleet` holds its lease: no other operation of this
installation can begin between the proof and the removal.
"""

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil
from filelock import Timeout

from operations import engines, locks
from operations.errors import Busy
from operations.stack import Stack
from operations.state import StackState
from providers.vastai.pacing import process_lock, run_folder
from providers.vastai.renting import RENT_DEADLINE
from providers.vastai.session import rent_locks

# A provider may be renting when its engine dies: one create, and looking for its label.
_RENTERS_WAIT = RENT_DEADLINE * 2 + 10
_PROVIDER = "pulumi.dynamic"


@dataclass(frozen=True, kw_only=True)
class Settling:
    """Brings `stack` to rest; `host` is this one's name in Pulumi's locks."""

    stack: Stack
    host: str
    clock: Callable[[], float] = time.monotonic

    def settle(self) -> tuple[StackState, list[locks.LockOwner]]:
        """The refreshed state, and the owners of the locks that were removed.

        A provider outlives its engine, so what it was doing is waited for, then read. Busy when
        a lock's owner is not proved dead, or a provider is still at work.
        """
        removed: list[locks.LockOwner] = []
        try:
            state = self.stack.refresh()
        except Busy as error:
            removed = self._dead_owners(error)
            self._wait_for_renters()
            self.stack.unlock()
        else:
            if not self._wait_for_renters():
                self._forget_engines()
                return state, []
        self._end_left_providers()
        state = self.stack.refresh()
        self._forget_engines()
        return state, removed

    def _dead_owners(self, error: Busy) -> list[locks.LockOwner]:
        owners = locks.owners(error.message)
        target = self.stack.target
        ours = engines.recorded(target.state, target.stack)
        alive = [o for o in owners if not locks.is_dead(o, host=self.host, engines=ours)]
        if alive or not owners:
            raise Busy(error.message, hint=locks.hint(alive, host=self.host, engines=ours))
        return owners

    def _forget_engines(self) -> None:
        engines.forget(self.stack.target.state, self.stack.target.stack)

    def _wait_for_renters(self) -> bool:
        """Wait until no process rents or ends a machine of this stack; whether one did."""
        deadline, waited = self.clock() + _RENTERS_WAIT, False
        for path in rent_locks(self.stack.target.run_dir):
            lock = process_lock(path)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                waited = True
                try:
                    lock.acquire(timeout=max(0.0, deadline - self.clock()))
                except Timeout:
                    raise Busy(
                        "a provider process is still renting or ending a machine",
                        hint="recover again in a minute",
                    ) from None
            lock.release()
        return waited

    def _end_left_providers(self) -> None:
        """End the providers whose engine is gone: they get no work any more, and never end."""
        run_dir = self.stack.target.run_dir
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if (
                    process.uids().real == os.getuid()
                    and _PROVIDER in process.cmdline()
                    and run_folder(process.environ()) == run_dir
                    and _is_orphan(process)
                ):
                    process.kill()


def _is_orphan(process: psutil.Process) -> bool:
    parent = process.parent()
    return parent is None or "pulumi" not in parent.name()
