"""One emulator: the state, who may call, what is ordered, what was called."""

import copy
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from hmac import compare_digest

from localcloud.cloudflare import store, tunnels
from localcloud.cloudflare.calls import Call, Handler, objects
from localcloud.cloudflare.errors import (
    bad_request,
    foreign_account,
    foreign_zone,
    no_route,
    unauthenticated,
    wrong_token,
)
from localcloud.cloudflare.faults import Faults
from localcloud.cloudflare.records import seed as seed_record
from localcloud.cloudflare.settings import Settings
from localcloud.cloudflare.source import RealSource, Source
from localcloud.cloudflare.state import Json, State, new_state

IDS = {"account": re.compile(r"[0-9a-f]{32}"), "zone": re.compile(r"[0-9a-f]{32}")}
CALLS_KEPT = 10_000


@dataclass
class Cloud:
    """All of one emulator. Belongs to one event loop."""

    settings: Settings
    state: State
    source: Source
    faults: Faults = field(default_factory=Faults)
    calls: deque[Json] = field(default_factory=lambda: deque[Json](maxlen=CALLS_KEPT))

    def authorize(self, header: str | None, path: str) -> None:
        """Raise unless the header holds the bearer token."""
        scheme, _, sent = (header or "").partition(" ")
        if scheme.lower() != "bearer" or not sent:
            raise unauthenticated()
        if not compare_digest(sent.strip().encode(), self.settings.token.encode()):
            raise wrong_token(verifying=path.endswith("/tokens/verify"))

    def check_scope(self, path: Mapping[str, str], url: str) -> None:
        """Raise unless the account and the zone in a path are ours."""
        for name, form in IDS.items():
            if name in path and not form.fullmatch(path[name]):
                raise no_route(url)
        if path.get("account", self.state.account["id"]) != self.state.account["id"]:
            raise foreign_account()
        if path.get("zone", self.state.zone["id"]) != self.state.zone["id"]:
            raise foreign_zone()

    def do(self, handler: Handler, call: Call, method: str) -> object:
        """Do an authorized call and keep what it changed."""
        result = handler(call)
        if method != "GET":
            self.keep()
        return result

    def keep(self) -> None:
        """Save the state if it has a file."""
        if self.settings.state_file is not None:
            store.save(self.settings.state_file, self.state)

    def seed(self, wanted: Json) -> Json:
        """Put in what somebody else made: lists of `tunnels` and `records`; all or nothing."""
        kinds = {"tunnels": tunnels.seed, "records": seed_record}
        if wanted.keys() - kinds:
            raise bad_request(1003, f"a seed has {sorted(kinds)}, got {sorted(wanted)}")
        state = copy.deepcopy(self.state)
        made = {
            kind: [put(state, self.source, row) for row in objects(wanted, kind)]
            for kind, put in kinds.items()
        }
        vars(self.state).update(vars(state))
        self.keep()
        return made

    def reset(self) -> None:
        """Forget everything but the account, the zone and the token."""
        self.state.clear()
        self.faults.waiting.clear()
        self.calls.clear()
        self.keep()


def new_cloud(settings: Settings, source: Source | None = None) -> Cloud:
    """Return an emulator; ValueError if its state file is of another account or broken."""
    source = source or RealSource()
    known = store.load(settings.state_file) if settings.state_file else None
    if known is None:
        account_id = settings.account_id or source.hexadecimal(32)
        known = new_state(account_id, source.hexadecimal(32), settings.zone)
    _check_same(settings, known)
    cloud = Cloud(settings, known, source)
    cloud.keep()
    return cloud


def _check_same(settings: Settings, state: State) -> None:
    for what, wanted, kept in (
        ("account", settings.account_id, state.account["id"]),
        ("zone", settings.zone, state.zone["name"]),
    ):
        if wanted is not None and wanted != kept:
            raise ValueError(
                f"{settings.state_file} is of the {what} {kept}, not {wanted}; "
                f"name that {what} or delete the file"
            )
