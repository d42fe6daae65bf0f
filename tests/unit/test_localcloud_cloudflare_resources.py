"""The emulator's resources as functions of data: what they add, what they refuse."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from localcloud.cloudflare import access, records, service_tokens, tunnels
from localcloud.cloudflare.calls import Call, Handler, Page
from localcloud.cloudflare.errors import ApiError
from localcloud.cloudflare.state import State, from_json, new_state

ACCOUNT, ZONE = "a" * 32, "b" * 32
SECRET = base64.b64encode(b"s" * 32).decode()
Answer = Any  # whatever a handler returns
CATCH_ALL = {"service": "http_status:404"}
CNAME = {"type": "CNAME", "name": "app.example.com", "content": "x.cfargotunnel.com"}


@dataclass
class Counted:
    """Ids in order, and a clock that a test moves."""

    count: int = 0
    time: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=UTC))

    def uuid(self) -> str:
        self.count += 1
        return f"00000000-0000-4000-8000-{self.count:012x}"

    def hexadecimal(self, digits: int) -> str:
        self.count += 1
        return f"{self.count:0{digits}x}"

    def now(self) -> datetime:
        return self.time


class World:
    """One state, called as the HTTP edge would call."""

    def __init__(self) -> None:
        self.state = new_state(ACCOUNT, ZONE, "example.com")
        self.source = Counted()

    def __call__(self, handler: Handler, id_: str = "", /, **body: object) -> Answer:
        path = {"account": ACCOUNT, "id": id_}
        return handler(Call(self.state, self.source, path, {}, body))

    def zone(self, handler: Handler, id_: str = "", /, **body: object) -> Answer:
        path = {"zone": ZONE, "id": id_}
        return handler(Call(self.state, self.source, path, {}, body))

    def list(self, handler: Handler, **query: str) -> Page:
        result = handler(Call(self.state, self.source, {"account": ACCOUNT}, query))
        assert isinstance(result, Page)
        return result

    def tunnel(self, name: str = "one") -> str:
        return str(self(tunnels.create, name=name, config_src="cloudflare")["id"])

    def policy(self, name: str = "p", **rule: object) -> str:
        include = [rule or {"everyone": {}}]
        made = self(access.create_policy, name=name, decision="allow", include=include)
        return str(made["id"])


@pytest.fixture
def world() -> World:
    return World()


def refusal(act: Callable[[], object]) -> tuple[int, int]:
    with pytest.raises(ApiError) as caught:
        act()
    return caught.value.status, caught.value.code


# Tunnels.


def test_a_new_tunnel_has_what_the_provider_reads(world: World) -> None:
    made = world(tunnels.create, name="nas", config_src="cloudflare", tunnel_secret=SECRET)
    assert made == {
        "id": "00000000-0000-4000-8000-000000000001",
        "account_tag": ACCOUNT,
        "name": "nas",
        "config_src": "cloudflare",
        "remote_config": True,
        "created_at": "2026-01-01T00:00:00.000000Z",
        "deleted_at": None,
        "conns_active_at": None,
        "conns_inactive_at": None,
        "connections": [],
        "status": "inactive",
        "tun_type": "cfd_tunnel",
        "metadata": {},
    }
    told = json.loads(base64.b64decode(world(tunnels.token, made["id"])))
    assert told == {"a": ACCOUNT, "t": made["id"], "s": SECRET}


def test_a_tunnel_is_local_unless_it_says_otherwise(world: World) -> None:
    made = world(tunnels.create, name="nas")
    assert (made["config_src"], made["remote_config"]) == ("local", False)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": 7},
        {"name": "x", "config_src": "elsewhere"},
        {"name": "x", "tunnel_secret": base64.b64encode(b"short").decode()},
        {"name": "x", "tunnel_secret": "not base64!"},
    ],
)
def test_bad_tunnels_are_refused_and_leave_nothing(world: World, body: dict[str, Any]) -> None:
    assert refusal(lambda: world(tunnels.create, **body)) == (400, 1003)
    assert world.state.tunnels == world.state.secrets == {}


def test_a_refused_secret_is_not_repeated(world: World) -> None:
    sent = {"name": "x", "tunnel_secret": "hunter2-but-short"}
    with pytest.raises(ApiError) as caught:
        world(tunnels.create, **sent)
    assert "hunter2" not in str(caught.value)


def test_a_tunnels_name_is_taken_until_it_is_deleted(world: World) -> None:
    first = world.tunnel("nas")
    assert refusal(lambda: world.tunnel("nas")) == (409, 1013)
    other = world.tunnel("other")
    assert refusal(lambda: world(tunnels.edit, other, name="nas")) == (409, 1013)
    world(tunnels.edit, first, name="nas")
    world(tunnels.delete, first)
    assert world.tunnel("nas") != first


def test_an_edit_changes_what_it_names(world: World) -> None:
    tunnel = world.tunnel("nas")
    before = dict(world(tunnels.get, tunnel))
    assert world(tunnels.edit, tunnel, name="new") == {**before, "name": "new"}
    token = world(tunnels.token, tunnel)
    world(tunnels.edit, tunnel, tunnel_secret=SECRET)
    assert world(tunnels.token, tunnel) != token
    assert "tunnel_secret" not in world(tunnels.get, tunnel)
    assert refusal(lambda: world(tunnels.edit, tunnel, account_tag="x")) == (400, 1003)


def test_a_connected_tunnel_stays(world: World) -> None:
    tunnel = world.tunnel()
    tunnels.connect(world.state, world.source, tunnel)
    assert world(tunnels.get, tunnel)["status"] == "healthy"
    assert world(tunnels.connections, tunnel).total == 1
    assert refusal(lambda: world(tunnels.delete, tunnel)) == (400, 1022)
    tunnels.disconnect(world.state, world.source, tunnel)
    assert world(tunnels.get, tunnel)["status"] == "inactive"
    assert world(tunnels.delete, tunnel)["deleted_at"]


def test_a_deleted_tunnel_can_be_read_and_nothing_else(world: World) -> None:
    tunnel = world.tunnel()
    world(tunnels.configure, tunnel, config={"ingress": [CATCH_ALL]})
    world(tunnels.delete, tunnel)
    assert world(tunnels.get, tunnel)["deleted_at"]
    for handler in (tunnels.token, tunnels.configuration, tunnels.delete, tunnels.edit):
        assert refusal(lambda handler=handler: world(handler, tunnel)) == (404, 1003)
    assert refusal(lambda: world(tunnels.get, "0")) == (404, 1003)
    assert world.list(tunnels.listed, is_deleted="false").rows == []
    assert world.list(tunnels.listed, is_deleted="true").total == 1
    assert world.list(tunnels.listed).total == 1


def test_tunnels_are_listed_by_filters_and_pages(world: World) -> None:
    ids = [world.tunnel(f"t{number}") for number in range(5)]
    assert [row["id"] for row in world.list(tunnels.listed, name="t3").rows] == [ids[3]]
    assert world.list(tunnels.listed, uuid=ids[1]).total == 1
    second = world.list(tunnels.listed, page="2", per_page="2.0")
    assert [row["id"] for row in second.rows] == ids[2:4]
    expected = {"page": 2, "per_page": 2, "count": 2, "total_count": 5, "total_pages": 3}
    assert second.info == expected
    assert world.list(tunnels.listed, page="4", per_page="2").rows == []
    for wrong in ("0", "-1", "x", "1001", "²", ""):
        act = lambda wrong=wrong: world.list(tunnels.listed, per_page=wrong)  # noqa: E731
        assert refusal(act) == (400, 1003)


def test_a_configuration_is_replaced_and_counted(world: World) -> None:
    tunnel = world.tunnel()
    assert world(tunnels.configuration, tunnel)["version"] == 0
    assert world(tunnels.configuration, tunnel)["config"] is None
    rule = {"hostname": "a.example.com", "service": "http://a:1", "originRequest": {"noTLS": True}}
    first = world(tunnels.configure, tunnel, config={"ingress": [rule, CATCH_ALL]})
    assert (first["version"], first["source"]) == (1, "cloudflare")
    assert first["config"] == {"ingress": [rule, CATCH_ALL]}
    assert first["tunnel_id"] == tunnel
    assert world(tunnels.configure, tunnel, config={"ingress": [CATCH_ALL]})["version"] == 2
    assert world(tunnels.configuration, tunnel)["config"] == {"ingress": [CATCH_ALL]}


@pytest.mark.parametrize(
    "config",
    [
        None,
        [],
        {"ingress": {}},
        {"ingress": [{"hostname": "a.example.com"}]},
        {"ingress": [{"hostname": "a.example.com", "service": "http://a"}]},
        {"ingress": [CATCH_ALL, CATCH_ALL]},
    ],
)
def test_bad_configurations_are_refused(world: World, config: object) -> None:
    tunnel = world.tunnel()
    status, code = refusal(lambda: world(tunnels.configure, tunnel, config=config))
    assert (status, code) in {(400, 1003), (400, 1056)}
    assert world(tunnels.configuration, tunnel)["version"] == 0


# DNS records.


def test_a_new_record_has_what_the_provider_reads(world: World) -> None:
    made = world.zone(records.create, **CNAME, ttl=1, proxied=True)
    assert made == {
        **CNAME,
        "ttl": 1,
        "proxied": True,
        "id": f"{1:032x}",
        "created_on": "2026-01-01T00:00:00.000000Z",
        "modified_on": "2026-01-01T00:00:00.000000Z",
        "proxiable": True,
        "meta": {},
        "tags": [],
        "comment": None,
        "settings": {},
    }


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("app", "app.example.com"),
        ("APP.Example.com.", "app.example.com"),
        ("@", "example.com"),
        ("*", None),
        ("*.x", "*.x.example.com"),
        ("app.other.org", "app.other.org.example.com"),
        ("notexample.com", "notexample.com.example.com"),
    ],
)
def test_names_end_up_in_the_zone(given: str, stored: str | None) -> None:
    if stored is None:
        assert refusal(lambda: records.full_name(given, "example.com")) == (400, 9000)
    else:
        assert records.full_name(given, "example.com") == stored


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"type": "SPF"}, 9002),
        ({"type": None}, 9002),
        ({"name": None}, 9000),
        ({"name": "a b"}, 9000),
        ({"content": None}, 9007),
        ({"content": "not a host"}, 9007),
        ({"content": "app.example.com"}, 9039),
        ({"type": "A"}, 9005),
        ({"type": "A", "content": "::1"}, 9005),
        ({"type": "AAAA", "content": "127.0.0.1"}, 9006),
        ({"ttl": 30}, 9021),
        ({"ttl": 86401}, 9021),
        ({"ttl": "60"}, 9021),
        ({"ttl": True}, 9021),
        ({"ttl": 60.5}, 9021),
        ({"ttl": 300, "proxied": True}, 9041),
        ({"type": "TXT", "proxied": True}, 9004),
    ],
)
def test_bad_records_are_refused(world: World, change: dict[str, Any], code: int) -> None:
    assert refusal(lambda: world.zone(records.create, **{**CNAME, **change})) == (400, code)
    assert world.state.records == {}


def test_records_that_cannot_be_together(world: World) -> None:
    world.zone(records.create, **CNAME)
    assert refusal(lambda: world.zone(records.create, **CNAME)) == (400, 81053)
    address = {"type": "A", "name": "app", "content": "127.0.0.1"}
    assert refusal(lambda: world.zone(records.create, **address)) == (400, 81054)
    two = {**address, "name": "two"}
    world.zone(records.create, **two)
    world.zone(records.create, **{**two, "content": "127.0.0.2"})
    assert refusal(lambda: world.zone(records.create, **two)) == (400, 81058)
    assert refusal(lambda: world.zone(records.create, **{**CNAME, "name": "two"})) == (400, 81053)
    text = {"type": "TXT", "name": "app", "content": "x"}
    world.zone(records.create, **text)
    assert refusal(lambda: world.zone(records.create, **text)) == (400, 81058)


def test_a_put_replaces_and_a_patch_keeps(world: World) -> None:
    made = world.zone(records.create, **CNAME, proxied=True, comment="why", tags=["a:b"])
    world.source.time += timedelta(hours=1)
    patched = world.zone(records.edit, made["id"], content="y.cfargotunnel.com")
    later = "2026-01-01T01:00:00.000000Z"
    assert patched == {**made, "content": "y.cfargotunnel.com", "modified_on": later}
    put = world.zone(records.replace, made["id"], **CNAME)
    plain = {"proxied": False, "comment": None, "tags": [], "modified_on": later}
    assert put == {**made, **plain}
    other = world.zone(records.create, type="A", name="b", content="127.0.0.1")
    taken = {**CNAME, "name": "b"}
    assert refusal(lambda: world.zone(records.replace, made["id"], **taken)) == (400, 81053)
    assert refusal(lambda: world.zone(records.edit, other["id"], name="app")) == (400, 81054)


def test_a_deleted_record_is_gone(world: World) -> None:
    made = world.zone(records.create, **CNAME)
    assert world.zone(records.delete, made["id"]) == {"id": made["id"]}
    for handler in (records.get, records.delete, records.edit):
        assert refusal(lambda handler=handler: world.zone(handler, made["id"])) == (404, 81044)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, "abc"),
        ({"type": "CNAME"}, "b"),
        ({"name": "A.example.com"}, "a"),
        ({"name.exact": "a.example.com"}, "a"),
        ({"name.startswith": "c"}, "c"),
        ({"name.contains": "example"}, "abc"),
        ({"content.endswith": "0.2"}, "c"),
        ({"content": "127.0.0.1", "type": "A"}, "a"),
        ({"proxied": "true"}, "b"),
        ({"comment.contains": "ours"}, "c"),
        ({"name.exact": "nowhere.example.com"}, ""),
    ],
)
def test_records_are_listed_by_filters(world: World, query: dict[str, str], names: str) -> None:
    world.zone(records.create, type="A", name="a", content="127.0.0.1")
    world.zone(records.create, type="CNAME", name="b", content="x.test", proxied=True)
    world.zone(records.create, type="A", name="c", content="127.0.0.2", comment="Ours")
    found = world.list(records.listed, **query).rows
    assert "".join(row["name"][0] for row in found) == names


# Access.


def application(world: World, **change: object) -> Answer:
    body = {"name": "app", "type": "self_hosted", "domain": "app.example.com", **change}
    return world(access.create_application, **body)


def test_a_policy_and_an_application_that_uses_it(world: World) -> None:
    policy = world.policy(email={"email": "a@example.com"})
    made = application(world, policies=[{"id": policy, "precedence": 3}], app_launcher_visible=True)
    assert len(made["aud"]) == 64
    assert made["app_launcher_visible"] is True
    assert made["self_hosted_domains"] == ["app.example.com"]
    assert made["destinations"] == [{"type": "public", "uri": "app.example.com"}]
    (shown,) = made["policies"]
    assert (shown["id"], shown["precedence"], shown["decision"]) == (policy, 3, "allow")
    assert shown["include"] == [{"email": {"email": "a@example.com"}}]
    assert shown["session_duration"] == "24h"
    assert world(access.get_application, made["id"]) == made
    assert world(access.get_policy, policy)["app_count"] == 1


def test_a_policy_changes_everywhere(world: World) -> None:
    policy = world.policy()
    made = application(world, policies=[{"id": policy}])
    rules = {"include": [{"email_domain": {"domain": "example.com"}}]}
    world(access.replace_policy, policy, name="new", decision="deny", **rules)
    (shown,) = world(access.get_application, made["id"])["policies"]
    assert (shown["name"], shown["decision"], shown["precedence"]) == ("new", "deny", 1)


def test_what_is_used_cannot_be_deleted(world: World) -> None:
    token = world(service_tokens.create, name="machine")["id"]
    policy = world.policy(service_token={"token_id": token})
    made = application(world, policies=[{"id": policy}])
    assert refusal(lambda: world(service_tokens.delete, token)) == (400, 12139)
    assert refusal(lambda: world(access.delete_policy, policy)) == (409, 12132)
    world(access.delete_application, made["id"])
    world(access.delete_policy, policy)
    world(service_tokens.delete, token)
    assert world.state.applications == world.state.policies == world.state.service_tokens == {}
    assert world.state.application_scopes == {}


def test_a_put_application_keeps_its_audience(world: World) -> None:
    made = application(world, policies=[{"id": world.policy()}])
    sent = {**made, "name": "other", "policies": []}
    put = world(access.replace_application, made["id"], **sent)
    assert (put["name"], put["policies"], put["aud"]) == ("other", [], made["aud"])
    moved = world(access.replace_application, made["id"], **{**sent, "domain": "b.example.com"})
    assert moved["self_hosted_domains"] == ["b.example.com"]
    assert moved["destinations"] == [{"type": "public", "uri": "b.example.com"}]


def test_applications_of_a_zone_are_its_own(world: World) -> None:
    body = {"name": "z", "type": "self_hosted", "domain": "z.example.com"}
    of_zone = world.zone(access.create_application, **body)
    of_account = application(world)
    assert world.zone(access.get_application, of_zone["id"])["name"] == "z"
    assert refusal(lambda: world(access.get_application, of_zone["id"])) == (404, 11021)
    assert [row["id"] for row in world.list(access.list_applications).rows] == [of_account["id"]]
    assert world.list(access.list_applications, name="nobody").rows == []


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"name": ""}, (400, 12130)),
        ({"type": "saas"}, (400, 12130)),
        ({"domain": None}, (400, 12130)),
        ({"domain": "app.elsewhere.org"}, (400, 12130)),
        ({"domain": "badexample.com"}, (400, 12130)),
        ({"policies": [{"id": "nobody"}]}, (400, 12130)),
        ({"policies": [{"name": "inline"}]}, (400, 12130)),
        ({"policies": ["id"]}, (400, 12130)),
        ({"domain": "taken.example.com/path"}, (409, 11010)),
    ],
)
def test_bad_applications(world: World, change: dict[str, Any], refused: tuple[int, int]) -> None:
    application(world, domain="taken.example.com/path")
    assert refusal(lambda: application(world, **change)) == refused
    assert len(world.state.applications) == 1


def test_precedences_differ(world: World) -> None:
    policies = [{"id": world.policy(name), "precedence": 1} for name in "ab"]
    assert refusal(lambda: application(world, policies=policies)) == (400, 12130)


@pytest.mark.parametrize(
    "change",
    [
        {"name": None},
        {"decision": "maybe"},
        {"include": []},
        {"include": None},
        {"include": ["everyone"]},
        {"include": [{"service_token": {"token_id": "nobody"}}]},
    ],
)
def test_bad_policies_are_refused(world: World, change: dict[str, Any]) -> None:
    good = {"name": "p", "decision": "allow", "include": [{"everyone": {}}]}
    assert refusal(lambda: world(access.create_policy, **{**good, **change})) == (400, 12130)


# Service tokens.


def test_a_client_secret_is_told_once(world: World) -> None:
    made = world(service_tokens.create, name="machine", duration="24h")
    assert len(made["client_secret"]) == 64
    assert made["client_id"].endswith(".access")
    assert made["expires_at"] == "2026-01-02T00:00:00.000000Z"
    assert made["client_secret_version"] == 1
    shown = world(service_tokens.get, made["id"])
    assert "client_secret" not in shown
    assert made["client_secret"] not in json.dumps(world.state.as_json())


def test_a_rotation_gives_a_new_secret(world: World) -> None:
    made = world(service_tokens.create, name="machine")
    turned = {"client_secret_version": 2}
    assert refusal(lambda: world(service_tokens.replace, made["id"], **turned)) == (400, 12130)
    later = {"previous_client_secret_expires_at": "2026-02-01T00:00:00Z"}
    new = world(service_tokens.replace, made["id"], name="machine", **turned, **later)
    assert new["client_secret"] != made["client_secret"]
    renamed = world(service_tokens.replace, made["id"], name="m2", client_secret_version=2)
    assert "client_secret" not in renamed
    lower = {"client_secret_version": 1}
    assert refusal(lambda: world(service_tokens.replace, made["id"], **lower)) == (400, 12130)
    assert world(service_tokens.rotate, made["id"])["client_secret_version"] == 3


def test_service_tokens_are_found_by_name(world: World) -> None:
    for name in ("one", "two"):
        world(service_tokens.create, name=name)
    assert [row["name"] for row in world.list(service_tokens.listed, name="two").rows] == ["two"]
    assert world.list(service_tokens.listed).total == 2
    for handler in (service_tokens.get, service_tokens.rotate, service_tokens.delete):
        assert refusal(lambda handler=handler: world(handler, "0")) == (404, 11021)


def test_a_new_duration_counts_from_now(world: World) -> None:
    made = world(service_tokens.create, name="machine", duration="24h")
    world.source.time += timedelta(hours=1)
    longer = world(service_tokens.replace, made["id"], duration="48h")
    assert longer["expires_at"] == "2026-01-03T01:00:00.000000Z"


@pytest.mark.parametrize("version", [0, "2", True])
def test_a_secrets_version_is_a_number(world: World, version: object) -> None:
    create = service_tokens.create
    act = lambda: world(create, name="m", client_secret_version=version)  # noqa: E731
    assert refusal(act) == (400, 12130)


def test_a_refreshed_token_lives_longer(world: World) -> None:
    made = world(service_tokens.create, name="machine", duration="24h")
    world.source.time += timedelta(days=1)
    fresh = world(service_tokens.refresh, made["id"])
    assert fresh["expires_at"] == "2026-01-03T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("8760h", 8760 * 3600), ("2h45m", 9900), ("300ms", 0.3), ("1.5h", 5400), ("forever", None)],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert service_tokens.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "1d", "-1h", "1h ", "x1h"])
def test_bad_durations(world: World, text: str) -> None:
    create = service_tokens.create
    assert refusal(lambda: world(create, name="m", duration=text)) == (400, 12130)


def test_an_endless_duration_ends_at_the_end_of_time(world: World) -> None:
    for duration in ("forever", "99999999h"):
        made = world(service_tokens.create, name="m", duration=duration)
        assert made["expires_at"].startswith("9999-12-31")


# The state as a whole.


def test_the_state_is_json_both_ways(world: World) -> None:
    tunnel = world.tunnel()
    world(tunnels.configure, tunnel, config={"ingress": [CATCH_ALL]})
    world.zone(records.create, **CNAME)
    application(world, policies=[{"id": world.policy()}])
    world(service_tokens.create, name="m")
    copied = from_json(json.loads(json.dumps(world.state.as_json())))
    assert copied == world.state
    assert world.state.shown().keys() == copied.as_json().keys() - {"secrets"}


@pytest.mark.parametrize("values", [None, [], {}, {"tunnels": {}}])
def test_a_strange_state_is_refused(values: object) -> None:
    with pytest.raises(ValueError, match="must"):
        from_json(values)


def test_a_state_holds_objects() -> None:
    values = {**State({}, {}).as_json(), "tunnels": []}
    with pytest.raises(ValueError, match=r"\['tunnels'\]"):
        from_json(values)
