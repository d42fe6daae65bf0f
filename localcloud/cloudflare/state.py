"""What an account holds, as plain data that is JSON both ways."""

from dataclasses import dataclass, field, fields
from typing import Any

from contracts.narrowing import is_object

Json = dict[str, Any]
Rows = dict[str, Json]


@dataclass
class State:
    """One account with one zone. Every table is keyed by id."""

    account: Json
    zone: Json
    tunnels: Rows = field(default_factory=dict)
    """Deleted ones stay, with `deleted_at`."""
    configurations: Rows = field(default_factory=dict)
    """By tunnel id."""
    records: Rows = field(default_factory=dict)
    policies: Rows = field(default_factory=dict)
    """Policies of applications are references to these."""
    applications: Rows = field(default_factory=dict)
    """Their policies are kept as `{id, precedence}`."""
    application_scopes: dict[str, str] = field(default_factory=dict)
    """`accounts/ID` or `zones/ID`, by application id."""
    service_tokens: Rows = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    """The secret of each tunnel, base64. Client secrets are told once and not kept."""

    def as_json(self) -> Json:
        """Return everything, secrets included."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def shown(self) -> Json:
        """Return everything but the secrets."""
        return {name: value for name, value in self.as_json().items() if name != "secrets"}

    def clear(self) -> None:
        """Forget all but the account and the zone."""
        for each in fields(self):
            if each.name not in {"account", "zone"}:
                getattr(self, each.name).clear()


def from_json(values: object) -> State:
    """Return the state that `as_json` gave; ValueError says what is wrong."""
    if not is_object(values):
        raise ValueError("must be an object")
    names = {each.name for each in fields(State)}
    strange = sorted(values.keys() ^ names)
    if strange:
        raise ValueError(f"must have exactly the keys {sorted(names)}, differs in {strange}")
    wrong = sorted(name for name, value in values.items() if not is_object(value))
    if wrong:
        raise ValueError(f"must hold objects, but not at {wrong}")
    return State(**values)


def new_state(account_id: str, zone_id: str, zone: str) -> State:
    """Return an empty account with one active zone."""
    account: Json = {"id": account_id, "name": "Local account", "type": "standard", "settings": {}}
    owner = {"id": account_id, "name": account["name"]}
    return State(
        account=account,
        zone={
            "id": zone_id,
            "name": zone,
            "status": "active",
            "paused": False,
            "type": "full",
            "development_mode": 0,
            "name_servers": ["ada.ns.cloudflare.test", "bob.ns.cloudflare.test"],
            "original_name_servers": [],
            "account": owner,
            "owner": {**owner, "type": "organization"},
            "meta": {},
            "plan": {"id": "free", "name": "Free Website"},
        },
    )
