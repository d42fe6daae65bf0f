"""Access: reusable policies and the applications that refer to them."""

from localcloud.cloudflare.calls import Call, Handler, Page, choice, found, objects, page, text
from localcloud.cloudflare.errors import ApiError, bad_request
from localcloud.cloudflare.source import stamp
from localcloud.cloudflare.state import Json, State

INVALID = 12130
DECISIONS = ("allow", "bypass", "deny", "non_identity")
KINDS = ("self_hosted", "ssh", "vnc")
RULES = ("include", "require", "exclude")
COMPUTED = frozenset({"id", "uid", "aud", "created_at", "updated_at", "reusable", "app_count"})


def create_policy(call: Call) -> Json:
    """Add a reusable policy."""
    sent = _policy(call)
    policy_id = call.source.uuid()
    return _stored(call, call.state.policies, policy_id, sent, stamp(call.source.now()))


def list_policies(call: Call) -> Page:
    """Return all policies."""
    return page(call, list(call.state.policies.values()))


def get_policy(call: Call) -> Json:
    """Return a policy with the number of applications that use it."""
    policy = found(call.state.policies, call.path["id"], _missing("policy"))
    return {**policy, "app_count": len(_users(call.state, policy["id"]))}


def replace_policy(call: Call) -> Json:
    """Put a whole policy in the place of the old one."""
    old = get_policy(call)
    return _stored(call, call.state.policies, old["id"], _policy(call), old["created_at"])


def delete_policy(call: Call) -> Json:
    """Remove a policy that no application uses."""
    policy = get_policy(call)
    users = _users(call.state, policy["id"])
    if users:
        named = ", ".join(users)
        raise ApiError(409, 12132, f"access.api.error.policy_in_use: by the applications {named}")
    del call.state.policies[policy["id"]]
    return {"id": policy["id"]}


def create_application(call: Call) -> Json:
    """Add an application of the account or the zone."""
    sent = _application(call, None)
    application_id = call.source.uuid()
    sent["aud"] = call.source.hexadecimal(64)
    _stored(call, call.state.applications, application_id, sent, stamp(call.source.now()))
    call.state.application_scopes[application_id] = _scope(call)
    return expanded(call.state, call.state.applications[application_id])


def list_applications(call: Call) -> Page:
    """Return the applications of the account or the zone, by `name` and `domain`."""
    rows = [row for row in call.state.applications.values() if _is_in_scope(call, row["id"])]
    for key in ("name", "domain"):
        wanted = call.query.get(key)
        rows = [row for row in rows if wanted is None or row.get(key) == wanted]
    return page(call, [expanded(call.state, row) for row in rows])


def get_application(call: Call) -> Json:
    """Return an application with its policies in full."""
    return expanded(call.state, _own(call))


def replace_application(call: Call) -> Json:
    """Put a whole application in the place of the old one; `aud` stays."""
    old = _own(call)
    sent = {**_application(call, old["id"]), "aud": old["aud"]}
    new = _stored(call, call.state.applications, old["id"], sent, old["created_at"])
    return expanded(call.state, new)


def delete_application(call: Call) -> Json:
    """Remove an application."""
    application = _own(call)
    del call.state.applications[application["id"]]
    del call.state.application_scopes[application["id"]]
    return {"id": application["id"]}


def expanded(state: State, application: Json) -> Json:
    """Return an application with the policies that it refers to."""
    policies = [
        {**state.policies[reference["id"]], "precedence": reference["precedence"]}
        for reference in application["policies"]
    ]
    return {**application, "policies": policies}


def _stored(call: Call, rows: dict[str, Json], key: str, sent: Json, created: str) -> Json:
    row = {**sent, "id": key, "uid": key, "created_at": created}
    row["updated_at"] = stamp(call.source.now())
    rows[key] = row
    return row


def _policy(call: Call) -> Json:
    sent = {name: value for name, value in call.body.items() if name not in COMPUTED}
    text(sent, "name", INVALID)
    choice(sent, "decision", DECISIONS, INVALID)
    rules = {name: objects(sent, name, INVALID) for name in RULES}
    if not rules["include"]:
        raise bad_request(INVALID, "include must hold at least one rule")
    _check_tokens(call.state, rules)
    return {"session_duration": "24h", "reusable": True, **sent, **rules}


def _check_tokens(state: State, rules: dict[str, list[Json]]) -> None:
    named = tokens_named(rules)
    strange = sorted(named - state.service_tokens.keys())
    if strange:
        raise bad_request(INVALID, f"there is no service token {', '.join(strange)}")


def tokens_named(policy: Json) -> set[str]:
    """Return the ids of the service tokens that a policy names."""
    rules = [rule for name in RULES for rule in policy.get(name, [])]
    return {str(rule["service_token"].get("token_id")) for rule in rules if "service_token" in rule}


def _application(call: Call, own: str | None) -> Json:
    sent = {name: value for name, value in call.body.items() if name not in COMPUTED}
    text(sent, "name", INVALID)
    choice(sent, "type", KINDS, INVALID)
    domains = _domains(sent)
    zone: str = call.state.zone["name"]
    for domain in domains:
        if not f".{domain.partition('/')[0]}".endswith(f".{zone}"):
            raise bad_request(INVALID, f"the domain {domain!r} is not in the zone {zone}")
    _refuse_taken(call.state, set(domains), own)
    computed = {
        "domain": domains[0],
        "self_hosted_domains": domains,
        "destinations": [{"type": "public", "uri": domain} for domain in domains],
        "session_duration": "24h",
    }
    return {**computed, **sent, "policies": _references(call)}


def _domains(sent: Json) -> list[str]:
    """Return the domains; the three ways to name them must agree on one at least."""
    wanted = [
        text(row, "uri", INVALID)
        for row in objects(sent, "destinations", INVALID)
        if row.get("type", "public") == "public"
    ]
    domains: list[str] = wanted or list(sent.get("self_hosted_domains") or ())
    domain = sent.get("domain")
    if domain and domain not in domains:
        # The main domain goes first; a change of it alone must not keep the old one.
        domains = [domain, *domains[1:]]
        sent.pop("destinations", None)
        sent.pop("self_hosted_domains", None)
    if not domains:
        raise bad_request(INVALID, "an application needs a domain or destinations")
    sent.pop("self_hosted_domains", None)
    return domains


def _refuse_taken(state: State, domains: set[str], own: str | None) -> None:
    for row in state.applications.values():
        if row["id"] != own and domains & set(row["self_hosted_domains"]):
            raise ApiError(409, 11010, "access.api.error.application_already_exists")


def _references(call: Call) -> list[Json]:
    """Return `{id, precedence}` in order; unset precedences follow the order of the list."""
    rows: list[Json] = []
    # Whole policies are sent back by those who read an application and change a part of it.
    for number, sent in enumerate(objects(call.body, "policies", INVALID), 1):
        policy_id = text(sent, "id", INVALID)
        found(
            call.state.policies,
            policy_id,
            bad_request(INVALID, f"there is no policy {policy_id}"),
        )
        rows.append({"id": policy_id, "precedence": sent.get("precedence") or number})
    taken = [row["precedence"] for row in rows]
    if len(set(taken)) < len(taken):
        raise bad_request(INVALID, f"precedences must differ, got {taken}")
    return sorted(rows, key=lambda row: row["precedence"])


def _users(state: State, policy_id: str) -> list[str]:
    return [
        str(row["name"])
        for row in state.applications.values()
        if any(reference["id"] == policy_id for reference in row["policies"])
    ]


def _scope(call: Call) -> str:
    for kind, name in (("accounts", "account"), ("zones", "zone")):
        if name in call.path:
            return f"{kind}/{call.path[name]}"
    raise KeyError("a call of Access names an account or a zone")


def _is_in_scope(call: Call, application_id: str) -> bool:
    return call.state.application_scopes[application_id] == _scope(call)


def _own(call: Call) -> Json:
    application = found(call.state.applications, call.path["id"], _missing("application"))
    if not _is_in_scope(call, application["id"]):
        raise _missing("application")
    return application


def _missing(what: str) -> ApiError:
    return ApiError(404, 11021, f"access.api.error.not_found: {what}")


def _application_routes(prefix: str) -> tuple[tuple[str, str, Handler], ...]:
    return (
        ("POST", f"{prefix}/access/apps", create_application),
        ("GET", f"{prefix}/access/apps", list_applications),
        ("GET", f"{prefix}/access/apps/{{id}}", get_application),
        ("PUT", f"{prefix}/access/apps/{{id}}", replace_application),
        ("DELETE", f"{prefix}/access/apps/{{id}}", delete_application),
    )


_POLICIES = "/accounts/{account}/access/policies"
ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("POST", _POLICIES, create_policy),
    ("GET", _POLICIES, list_policies),
    ("GET", f"{_POLICIES}/{{id}}", get_policy),
    ("PUT", f"{_POLICIES}/{{id}}", replace_policy),
    ("DELETE", f"{_POLICIES}/{{id}}", delete_policy),
    *_application_routes("/accounts/{account}"),
    *_application_routes("/zones/{zone}"),
)
