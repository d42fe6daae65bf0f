"""Access: policies, applications and service tokens."""

from localcloud.plugins.cloudflare import shapes
from localcloud.plugins.cloudflare.api import Api
from localcloud.plugins.cloudflare.rest import (
    Rest,
    refuse_no_scope,
    refuse_other,
    refuse_unsupported,
    token_of,
)
from localcloud.plugins.cloudflare.wire import Names
from localcloud.plugins.model import Call, Found, Old, ResourceType
from localcloud.plugins.shapes import Refusal
from localcloud.plugins.values import Properties, Value, Values, has_unknown, maps_of, text_of

DECISIONS = ("allow", "bypass", "deny", "non_identity")
BOTH = ("accountId", "zoneId")
_NAMES = Names(
    special={
        "azureAd": "azureAD",
        "excludes": "exclude",
        "githubOrganization": "github-organization",
        "includes": "include",
        "requires": "require",
        "serviceAuth401Redirect": "service_auth_401_redirect",
        "userRiskScores": "user_risk_score",
    }
)

# Policies.

_POLICIES = Rest(
    collection="access/policies",
    inputs=shapes.POLICY,
    computed=shapes.POLICY_OUTPUTS,
    names=_NAMES,
    sent={"sessionDuration": "24h"},
)


def _check_policy(inputs: Properties) -> list[Refusal]:
    found = refuse_unsupported(inputs, shapes.POLICY_UNSUPPORTED)
    return found + refuse_other(inputs, "decision", DECISIONS)


POLICY: ResourceType[Api] = ResourceType(
    token=token_of("ZeroTrustAccessPolicy"),
    inputs=shapes.POLICY,
    create=_POLICIES.create,
    read=_POLICIES.read,
    update=_POLICIES.update,
    delete=_POLICIES.delete,
    replaces=frozenset({"accountId"}),
    computed=frozenset({*shapes.POLICY_OUTPUTS, "sessionDuration"}),
    check=_check_policy,
)

# Applications.

_APPLICATIONS = Rest(
    collection="access/apps",
    inputs=shapes.APPLICATION,
    computed=shapes.APPLICATION_OUTPUTS,
    names=_NAMES,
    scopes=BOTH,
    sent={
        "appLauncherVisible": True,
        "httpOnlyCookieAttribute": True,
        "sessionDuration": "24h",
    },
)


def _check_application(inputs: Properties) -> list[Refusal]:
    found = refuse_no_scope(inputs)
    found += refuse_unsupported(inputs, shapes.APPLICATION_UNSUPPORTED)
    if "selfHostedDomains" in inputs and "destinations" in inputs:
        reason = "selfHostedDomains and destinations exclude each other; use destinations"
        found.append(Refusal("selfHostedDomains", reason))
    for number, policy in enumerate(maps_of(inputs, "policies")):
        if policy.get("id") is None:
            reason = "must refer to a policy of the account by its id"
            found.append(Refusal(f"policies[{number}].id", reason))
    return found


def _read_application(call: Call[Api], old: Old) -> Found | None:
    """Read it; what only repeats the domain is nothing that a program would write."""
    found = _APPLICATIONS.read(call, old)
    if found is None:
        return None
    alone: list[Value] = [{"type": "public", "uri": found.outputs.get("domain")}]
    derived = {"selfHostedDomains"}
    if found.inputs.get("destinations") == alone:
        derived.add("destinations")
    inputs = {name: value for name, value in found.inputs.items() if name not in derived}
    return Found(found.id, found.outputs, inputs)


def _same_application(name: str, old: Value, new: Value) -> bool:
    """Policies without a precedence have that of their place."""
    if name == "policies" and isinstance(old, list) and isinstance(new, list):
        return _numbered(old) == _numbered(new)
    return old == new


def _numbered(policies: list[Value]) -> list[tuple[Value, Value]]:
    rows = [policy for policy in policies if isinstance(policy, dict)]
    return [(row.get("precedence") or place, row.get("id")) for place, row in enumerate(rows, 1)]


APPLICATION: ResourceType[Api] = ResourceType(
    token=token_of("ZeroTrustAccessApplication"),
    inputs=shapes.APPLICATION,
    create=_APPLICATIONS.create,
    read=_read_application,
    update=_APPLICATIONS.update,
    delete=_APPLICATIONS.delete,
    replaces=frozenset(BOTH),
    computed=frozenset(
        {
            *shapes.APPLICATION_OUTPUTS,
            *_APPLICATIONS.sent,
            "destinations",
            "domain",
            "selfHostedDomains",
        }
    ),
    check=_check_application,
    same=_same_application,
)

# Service tokens.

_TOKENS = Rest(
    collection="access/service_tokens",
    inputs=shapes.SERVICE_TOKEN,
    computed=shapes.SERVICE_TOKEN_OUTPUTS,
    names=_NAMES,
    scopes=BOTH,
    sent={"duration": "8760h", "clientSecretVersion": 1},
    usual={"enabled": True},
)


def _update_token(call: Call[Api], old: Old, inputs: Properties) -> Values:
    """The secret is told by a rotation only, and must not get lost by any other change."""
    kept = old.outputs.get("clientSecret")
    return {"clientSecret": kept, **_TOKENS.update(call, old, inputs)}


def _check_token(inputs: Properties) -> list[Refusal]:
    found = refuse_no_scope(inputs)
    version = inputs.get("clientSecretVersion")
    rotates = version is not None and not has_unknown(version) and version != 1
    if text_of(inputs, "previousClientSecretExpiresAt") and version is None:
        reason = "previousClientSecretExpiresAt needs clientSecretVersion: set both to rotate"
        found.append(Refusal("clientSecretVersion", reason))
    if rotates and "previousClientSecretExpiresAt" not in inputs:
        reason = "a rotation to clientSecretVersion needs previousClientSecretExpiresAt: set both"
        found.append(Refusal("previousClientSecretExpiresAt", reason))
    return found


SERVICE_TOKEN: ResourceType[Api] = ResourceType(
    token=token_of("ZeroTrustAccessServiceToken"),
    inputs=shapes.SERVICE_TOKEN,
    create=_TOKENS.create,
    read=_TOKENS.read,
    update=_update_token,
    delete=_TOKENS.delete,
    replaces=frozenset(BOTH),
    computed=frozenset({*shapes.SERVICE_TOKEN_OUTPUTS, *_TOKENS.sent, *_TOKENS.usual}),
    secret=frozenset({"clientSecret"}),
    check=_check_token,
)
