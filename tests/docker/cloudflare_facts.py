"""What a Cloudflare account holds, beside what the nas stack's settings ask for."""

from dataclasses import dataclass, field
from typing import Any

ZONE = "blueflyagents.com"


@dataclass(frozen=True)
class Record:
    kind: str
    content: str
    proxied: bool
    ttl: int


@dataclass(frozen=True)
class Facts:
    """All that lives, without what Cloudflare computes."""

    # Tunnel id → name.
    tunnels: dict[str, str] = field(default_factory=dict[str, str])
    # Host name and origin, in order; the last one has no host name.
    rules: list[tuple[str | None, str]] = field(default_factory=list[tuple[str | None, str]])
    records: dict[str, Record] = field(default_factory=dict[str, Record])
    # Domain → names of its policies in their order.
    applications: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    # Name → decision, and whom it means.
    policies: dict[str, tuple[str, list[str]]] = field(
        default_factory=dict[str, tuple[str, list[str]]]
    )
    tokens: list[str] = field(default_factory=list[str])


def facts(state: dict[str, Any]) -> Facts:
    """What is in the emulator's state."""
    policies = state["policies"]
    tokens = {key: row["name"] for key, row in state["service_tokens"].items()}
    return Facts(
        tunnels={k: row["name"] for k, row in state["tunnels"].items() if not row["deleted_at"]},
        rules=[
            (rule.get("hostname"), rule["service"])
            for row in state["configurations"].values()
            for rule in row["config"]["ingress"]
        ],
        records={
            row["name"]: Record(row["type"], row["content"], row["proxied"], row["ttl"])
            for row in state["records"].values()
        },
        applications={
            row["domain"]: [policies[reference["id"]]["name"] for reference in row["policies"]]
            for row in state["applications"].values()
        },
        policies={
            row["name"]: (row["decision"], [_who(rule, tokens) for rule in row["include"]])
            for row in policies.values()
        },
        tokens=sorted(tokens.values()),
    )


def expected(settings: dict[str, Any], tunnel: str, name: str = "agent-platform") -> Facts:
    """What these settings of the tests mean, worked out on its own."""
    hosts: list[tuple[str, str, bool]] = []
    for row in settings["services"]:
        host = row.get("host")
        if host is not None:
            label = host if isinstance(host, str) else host["name"]
            public = not isinstance(host, str) and host.get("public", False)
            hosts.append((f"{label}.{ZONE}", f"http://{row['name']}:{row['port']}", public))
    people, machines = "agent-platform people", "agent-platform machines"
    record = Record("CNAME", f"{tunnel}.cfargotunnel.com", proxied=True, ttl=1)
    return Facts(
        tunnels={tunnel: name},
        rules=[*((fqdn, origin) for fqdn, origin, _ in hosts), (None, "http_status:404")],
        records={fqdn: record for fqdn, _, _ in hosts},
        applications={fqdn: [people, machines] for fqdn, _, public in hosts if not public},
        policies={
            people: ("allow", ["someone@example.com"]),
            machines: ("non_identity", ["agent-platform ci"]),
        },
        tokens=["agent-platform ci"],
    )


def _who(rule: dict[str, Any], tokens: dict[str, str]) -> str:
    if "service_token" in rule:
        return tokens[rule["service_token"]["token_id"]]
    return str(rule["email"]["email"])
