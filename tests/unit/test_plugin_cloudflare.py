"""The offline cloudflare plugin on its servicer's functions, against the emulator."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import httpx
import pytest
from pulumi.runtime.proto import provider_pb2 as proto

from localcloud.cloudflare.server import RunningCloudflare, running_cloudflare
from localcloud.plugins.cloudflare import api as api_module
from localcloud.plugins.cloudflare import plugin, wire
from localcloud.plugins.cloudflare.api import Api, configure
from localcloud.plugins.cloudflare.rest import identity
from localcloud.plugins.engine_log import EngineLog
from localcloud.plugins.model import PluginError
from localcloud.plugins.servicer import ProviderServicer
from localcloud.plugins.values import UNKNOWN, Properties, Values, decode, encode

TUNNEL = "ZeroTrustTunnelCloudflared"
CONFIG = "ZeroTrustTunnelCloudflaredConfig"
RECORD = "DnsRecord"
POLICY = "ZeroTrustAccessPolicy"
APPLICATION = "ZeroTrustAccessApplication"
SERVICE_TOKEN = "ZeroTrustAccessServiceToken"  # noqa: S105 - a type's name
TOKEN_OF = "cloudflare:index/getZeroTrustTunnelCloudflaredToken:getZeroTrustTunnelCloudflaredToken"  # noqa: S105
SECRET = base64.b64encode(b"s" * 32).decode()
CATCH_ALL: Values = {"service": "http_status:404"}
DOMAIN = "app.blueflyagents.com"


class Aborted(Exception):
    """What the engine would be told."""


class Context:
    def abort_with_status(self, status: Any) -> NoReturn:  # noqa: ANN401 - grpc's
        raise Aborted(status.details)


CONTEXT: Any = Context()


def at_once(settings: Properties) -> Api:
    """A conflict stays one, and a retry waits."""
    return replace(configure(settings), retries=0)


def token(kind: str) -> str:
    return f"cloudflare:index/{kind[0].lower()}{kind[1:]}:{kind}"


def urn(kind: str) -> str:
    return f"urn:pulumi:dev::proj::{token(kind)}::one"


@dataclass
class Resource:
    """What the engine keeps of one."""

    kind: str
    id: str
    state: Properties
    inputs: Properties


class Host:
    """Asks the servicer as the engine does."""

    def __init__(self, cloud: RunningCloudflare) -> None:
        self.cloud = cloud
        self.servicer: Any = ProviderServicer(
            replace(plugin.PLUGIN, configure=at_once), EngineLog()
        )
        settings = encode({"apiToken": cloud.token, "baseUrl": cloud.url}, {"apiToken"})
        self.servicer.Configure(proto.ConfigureRequest(args=settings), CONTEXT)

    def check(self, kind: str, inputs: Mapping[str, Any], secret: tuple[str, ...] = ()) -> Any:  # noqa: ANN401 - protobuf
        request = proto.CheckRequest(urn=urn(kind), news=encode(inputs, secret))
        return self.servicer.Check(request, CONTEXT)

    def refusals(self, kind: str, inputs: Mapping[str, Any]) -> dict[str, str]:
        return {one.property: one.reason for one in self.check(kind, inputs).failures}

    def create(
        self, kind: str, inputs: Mapping[str, Any], *, secret: tuple[str, ...] = ()
    ) -> Resource:
        checked = self.check(kind, inputs, secret)
        assert not checked.failures, checked.failures
        request = proto.CreateRequest(urn=urn(kind), properties=checked.inputs)
        made = self.servicer.Create(request, CONTEXT)
        return Resource(kind, made.id, decode(made.properties), decode(checked.inputs))

    def preview(self, kind: str, inputs: Mapping[str, Any]) -> Properties:
        checked = self.check(kind, inputs)
        assert not checked.failures, checked.failures
        request = proto.CreateRequest(urn=urn(kind), properties=checked.inputs, preview=True)
        return decode(self.servicer.Create(request, CONTEXT).properties)

    def diff(self, old: Resource, inputs: Mapping[str, Any]) -> dict[str, bool]:
        """Return what changes, and whether that replaces."""
        request = proto.DiffRequest(
            id=old.id,
            urn=urn(old.kind),
            olds=_encoded(old.state),
            old_inputs=_encoded(old.inputs),
            news=self.check(old.kind, inputs).inputs,
        )
        told = self.servicer.Diff(request, CONTEXT)
        return {name: name in told.replaces for name in told.diffs}

    def update(self, old: Resource, inputs: Mapping[str, Any]) -> Resource:
        news = self.check(old.kind, inputs).inputs
        request = proto.UpdateRequest(
            id=old.id,
            urn=urn(old.kind),
            olds=_encoded(old.state),
            old_inputs=_encoded(old.inputs),
            news=news,
        )
        told = self.servicer.Update(request, CONTEXT)
        return Resource(old.kind, old.id, decode(told.properties), decode(news))

    def read(self, old: Resource) -> Resource | None:
        request = proto.ReadRequest(
            id=old.id,
            urn=urn(old.kind),
            properties=_encoded(old.state),
            inputs=_encoded(old.inputs),
        )
        told = self.servicer.Read(request, CONTEXT)
        if not told.id:
            return None
        return Resource(old.kind, told.id, decode(told.properties), decode(told.inputs))

    def imported(self, kind: str, id_: str) -> Resource | None:
        return self.read(Resource(kind, id_, Properties(), Properties()))

    def delete(self, old: Resource) -> None:
        request = proto.DeleteRequest(id=old.id, urn=urn(old.kind), properties=_encoded(old.state))
        self.servicer.Delete(request, CONTEXT)

    def invoke(self, tok: str, inputs: Mapping[str, Any]) -> Properties:
        told = self.servicer.Invoke(proto.InvokeRequest(tok=tok, args=encode(inputs)), CONTEXT)
        assert not told.failures, told.failures
        return decode(getattr(told, "return"))

    # What a program would write.

    def tunnel(self, **change: Any) -> dict[str, Any]:  # noqa: ANN401 - inputs
        plain = {"accountId": self.cloud.account_id, "name": "nas", "configSrc": "cloudflare"}
        return {**plain, **change}

    def record(self, **change: Any) -> dict[str, Any]:  # noqa: ANN401 - inputs
        plain = {"zoneId": self.cloud.zone_id, "name": DOMAIN, "type": "CNAME", "ttl": 1}
        return {**plain, "content": "x.cfargotunnel.com", "proxied": True, **change}

    def policy(self, **change: Any) -> dict[str, Any]:  # noqa: ANN401 - inputs
        plain = {"accountId": self.cloud.account_id, "name": "team", "decision": "allow"}
        return {**plain, "includes": [{"emailDomain": {"domain": "example.com"}}], **change}

    def application(self, **change: Any) -> dict[str, Any]:  # noqa: ANN401 - inputs
        plain = {"accountId": self.cloud.account_id, "name": "app", "type": "self_hosted"}
        return {**plain, "domain": DOMAIN, **change}

    def machine(self, **change: Any) -> dict[str, Any]:  # noqa: ANN401 - inputs
        return {"accountId": self.cloud.account_id, "name": "machine", **change}

    def sent(self) -> list[tuple[str, str]]:
        """The calls so far that changed something, without the account and the zone."""
        owners = (f"/accounts/{self.cloud.account_id}/", f"/zones/{self.cloud.zone_id}/")
        found: list[tuple[str, str]] = []
        for call in self.cloud.cloud.calls:
            path = call["path"]
            for owner in owners:
                path = path.removeprefix(owner)
            if call["method"] != "GET":
                found.append((call["method"], path))
        return found


def _encoded(values: Properties) -> Any:  # noqa: ANN401 - protobuf
    return encode(values, values.secret)


@pytest.fixture(scope="module")
def running() -> Iterator[RunningCloudflare]:
    with running_cloudflare() as cloud:
        yield cloud


@pytest.fixture
def admin(running: RunningCloudflare) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.admin_url, timeout=10) as client:
        client.post("/reset").raise_for_status()
        yield client


@pytest.fixture(scope="module")
def configured(running: RunningCloudflare) -> Host:
    return Host(running)


@pytest.fixture
def host(configured: Host, admin: httpx.Client) -> Host:
    """One plugin for all, as an engine has it; each test finds an empty account."""
    assert admin
    return configured


@pytest.fixture
def bodies(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was sent, in order."""
    sent: list[object] = []
    ask = Api.ask

    def note(self: Api, method: str, path: str, body: Mapping[str, object] | None = None) -> object:
        if body is not None:
            sent.append(body)
        return ask(self, method, path, body)

    monkeypatch.setattr(Api, "ask", note)
    return sent


# Settings.


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "no API token: set the provider's apiToken or CLOUDFLARE_API_TOKEN"),
        ({"apiToken": "short-secret"}, "12 characters and is no token"),
        ({"apiToken": "x" * 81}, "81 characters"),
        ({"apiToken": "x" * 40, "email": "a@example.com"}, "does not do the setting email"),
    ],
)
def test_settings_that_cannot_be(
    settings: Values, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLOUDFLARE_API_TOKEN", raising=False)
    with pytest.raises(PluginError) as refused:
        configure(Properties(settings))
    assert told in str(refused.value)
    assert "short-secret" not in str(refused.value)


def test_a_setting_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", "e" * 40)
    monkeypatch.setenv("CLOUDFLARE_BASE_URL", "http://127.0.0.1:1/env")
    found = configure(Properties())
    assert (found.token, found.base_url) == ("e" * 40, "http://127.0.0.1:1/env")
    given: Values = {"apiToken": "a" * 40, "baseUrl": "http://127.0.0.1:2/arg"}
    found = configure(Properties(given))
    assert (found.token, found.base_url) == ("a" * 40, "http://127.0.0.1:2/arg")
    assert "a" * 40 not in repr(found)


def test_settings_may_not_be_known_yet() -> None:
    api = configure(Properties({"apiToken": UNKNOWN}))
    with pytest.raises(PluginError, match="not known yet"):
        api.ask("GET", "/user/tokens/verify")


def test_nobody_there_is_told(host: Host) -> None:
    api = Api("x" * 40, "http://127.0.0.1:1/client/v4", retries=0)
    with pytest.raises(PluginError, match=r"http://127\.0\.0\.1:1/client/v4/ cannot be reached"):
        api.ask("GET", "/user/tokens/verify")
    nonsense = Api("x" * 40, f"{host.cloud.admin_url}/state?", retries=0)
    with pytest.raises(PluginError, match="no answer of Cloudflare's API"):
        nonsense.ask("GET", "")


def test_a_proxys_page_is_no_answer(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    page = httpx.Response(200, text="<html>please log in</html>")
    monkeypatch.setitem(api_module._SENDERS, "GET", lambda *_: page)
    with pytest.raises(PluginError, match="GET /zones: no answer of Cloudflare's API"):
        Api("x" * 40, host.cloud.url).ask("GET", "/zones")


def test_a_refused_create_and_one_without_an_id(host: Host, admin: httpx.Client) -> None:
    fault = {"method": "POST", "path": "dns_records", "status": 429, "code": 971, "message": "slow"}
    admin.post("/faults", json=fault).raise_for_status()
    with pytest.raises(Aborted, match=r"answered 429: slow \(code 971\)"):
        host.create(RECORD, host.record())
    with pytest.raises(PluginError, match="without an id"):
        identity({"name": "x"})


def test_a_wrong_token_is_told_with_its_code(host: Host) -> None:
    api = Api("x" * 40, host.cloud.url, retries=0)
    with pytest.raises(PluginError, match=r"answered 403: Invalid access token \(code 9109\)"):
        api.ask("GET", f"/zones/{host.cloud.zone_id}")


# Tunnels.


def test_a_tunnel_from_birth_to_death(host: Host) -> None:
    made = host.create(TUNNEL, host.tunnel())
    assert made.state["tunType"] == "cfd_tunnel"
    assert made.state["status"] == "inactive"
    assert made.state["remoteConfig"] is True
    assert made.state["metadata"] == "{}"
    assert host.diff(made, host.tunnel()) == {}
    read = host.read(made)
    assert read is not None
    assert (read.state, read.inputs) == (made.state, made.inputs)
    new = host.update(made, host.tunnel(name="nas-2"))
    assert new.state == {**made.state, "name": "nas-2"}
    host.delete(new)
    assert host.read(new) is None
    host.delete(new)
    path = f"cfd_tunnel/{made.id}"
    changes = [("POST", "cfd_tunnel"), ("PATCH", path), ("DELETE", path), ("DELETE", path)]
    assert host.sent() == changes


def test_a_patch_has_changed_keys_only(host: Host, bodies: list[object]) -> None:
    made = host.create(TUNNEL, host.tunnel(tunnelSecret=SECRET), secret=("tunnelSecret",))
    made = host.update(made, host.tunnel(name="new", tunnelSecret=SECRET))
    made = host.update(made, host.tunnel(name="new"))
    host.update(made, host.tunnel(name="new", tunnelSecret=SECRET[::-1].lstrip("=") + "="))
    assert bodies[1:] == [{"name": "new"}, {"tunnel_secret": SECRET[::-1].lstrip("=") + "="}]


def test_what_replaces_a_tunnel(host: Host) -> None:
    made = host.create(TUNNEL, host.tunnel())
    assert host.diff(made, host.tunnel(name="x")) == {"name": False}
    assert host.diff(made, host.tunnel(configSrc="local")) == {"configSrc": True}
    assert host.diff(made, host.tunnel(accountId="f" * 32)) == {"accountId": True}
    assert host.diff(made, host.tunnel(tunnelSecret=SECRET)) == {"tunnelSecret": False}
    dropped = {name: value for name, value in host.tunnel().items() if name != "configSrc"}
    assert host.diff(made, dropped) == {"remoteConfig": False}
    local = host.update(made, dropped)
    assert (local.state["configSrc"], local.state["remoteConfig"]) == ("local", False)
    assert host.diff(local, dropped) == {}


def test_a_tunnel_secret_stays_secret(host: Host) -> None:
    made = host.create(TUNNEL, host.tunnel(tunnelSecret=SECRET), secret=("tunnelSecret",))
    assert made.state["tunnelSecret"] == SECRET
    assert "tunnelSecret" in made.state.secret
    read = host.read(made)
    assert read is not None
    assert read.state["tunnelSecret"] == SECRET
    assert "tunnelSecret" in read.state.secret
    with pytest.raises(Aborted) as refused:
        host.create(TUNNEL, host.tunnel(tunnelSecret=SECRET), secret=("tunnelSecret",))
    assert "code 1013" in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_connected_tunnel_is_not_deleted(host: Host, admin: httpx.Client) -> None:
    made = host.create(TUNNEL, host.tunnel())
    admin.post("/connect", json={"tunnel_id": made.id}).raise_for_status()
    with pytest.raises(Aborted, match=r"active connections.*\(code 1022\)"):
        host.delete(made)
    read = host.read(made)
    assert read is not None
    assert read.state["status"] == "healthy"
    (connection,) = read.state["connections"]
    assert connection["coloName"] == "loc01"
    assert host.diff(read, host.tunnel()) == {}


def test_a_tunnel_is_imported(host: Host) -> None:
    made = host.create(TUNNEL, host.tunnel())
    found = host.imported(TUNNEL, f"{host.cloud.account_id}/{made.id}")
    assert found is not None
    assert (found.id, found.inputs) == (made.id, host.tunnel())
    assert host.diff(found, host.tunnel()) == {}
    assert host.imported(TUNNEL, f"{host.cloud.account_id}/{made.id[::-1]}") is None


@pytest.mark.parametrize("id_", ["a/b/c", "/", "a/", "../b", "a/b?c"])
def test_a_wrong_import_id_says_what_is_expected(host: Host, id_: str) -> None:
    with pytest.raises(Aborted, match="expected"):
        host.imported(TUNNEL, id_)
    assert host.sent() == []


def test_the_token_of_a_tunnel_is_secret(host: Host) -> None:
    made = host.create(TUNNEL, host.tunnel())
    asked = {"accountId": host.cloud.account_id, "tunnelId": made.id}
    told = host.invoke(TOKEN_OF, asked)
    assert json.loads(base64.b64decode(str(told["token"])))["t"] == made.id
    assert told.secret == {"token"}
    with pytest.raises(Aborted, match="has no token"):
        host.invoke(TOKEN_OF, {**asked, "tunnelId": "0"})


# Configurations.


def config(host: Host, tunnel: str, *rules: Values) -> dict[str, Any]:
    return {
        "accountId": host.cloud.account_id,
        "tunnelId": tunnel,
        "config": {"ingresses": [*rules, CATCH_ALL]},
    }


def test_a_configuration_from_birth_to_death(host: Host, running: RunningCloudflare) -> None:
    tunnel = host.create(TUNNEL, host.tunnel())
    access: Values = {"audTags": ["a"], "teamName": "team", "required": True}
    origin: Values = {"noTlsVerify": True, "matchSnItoHost": True, "connectTimeout": 5}
    rule: Values = {
        "hostname": DOMAIN,
        "service": "http://app:80",
        "originRequest": {**origin, "access": access},
    }
    inputs = config(host, tunnel.id, rule)
    made = host.create(CONFIG, inputs)
    assert made.id == tunnel.id
    stored = running.cloud.state.configurations[tunnel.id]["config"]["ingress"]
    assert stored == [
        {
            "hostname": DOMAIN,
            "service": "http://app:80",
            "originRequest": {
                "noTLSVerify": True,
                "matchSNItoHost": True,
                "connectTimeout": 5,
                "access": {"audTag": ["a"], "teamName": "team", "required": True},
            },
        },
        CATCH_ALL,
    ]
    assert made.state == {
        **inputs,
        "source": "cloudflare",
        "version": 1,
        "createdAt": made.state["createdAt"],
    }
    read = host.read(made)
    assert read is not None
    assert (read.state, read.inputs) == (made.state, made.inputs)
    assert host.diff(made, inputs) == {}
    other = config(host, tunnel.id, {**rule, "service": "http://app:81"})
    assert host.diff(made, other) == {"config": False}
    assert host.diff(made, {**inputs, "tunnelId": "other"}) == {"tunnelId": True}
    assert host.update(made, other).state["version"] == 2
    before = len(host.cloud.cloud.calls)
    host.delete(made)
    assert len(host.cloud.cloud.calls) == before


def test_the_apis_empty_origin_request_is_no_change(host: Host, running: RunningCloudflare) -> None:
    tunnel = host.create(TUNNEL, host.tunnel())
    rule: Values = {"hostname": DOMAIN, "service": "http://app:80"}
    inputs = config(host, tunnel.id, rule)
    made = host.create(CONFIG, inputs)
    for row in running.cloud.state.configurations[tunnel.id]["config"]["ingress"]:
        row["originRequest"] = {}
    read = host.read(made)
    assert read is not None
    assert read.state == made.state
    assert host.diff(read, inputs) == {}


def test_a_configuration_changed_elsewhere_is_seen(host: Host, running: RunningCloudflare) -> None:
    tunnel = host.create(TUNNEL, host.tunnel())
    inputs = config(host, tunnel.id, {"hostname": DOMAIN, "service": "http://app:80"})
    made = host.create(CONFIG, inputs)
    running.cloud.state.configurations[tunnel.id]["config"]["ingress"][0]["service"] = "http://x"
    read = host.read(made)
    assert read is not None
    assert host.diff(read, inputs) == {"config": False}


def test_a_configuration_is_imported(host: Host, admin: httpx.Client) -> None:
    seeded = {"name": "old", "config": {"ingress": [CATCH_ALL]}}
    told = admin.post("/seed", json={"tunnels": [seeded]}).json()["tunnels"]
    tunnel = told[0]["id"]
    found = host.imported(CONFIG, f"{host.cloud.account_id}/{tunnel}")
    assert found is not None
    assert (found.id, found.inputs) == (tunnel, config(host, tunnel))
    assert host.diff(found, config(host, tunnel)) == {}


def test_a_configuration_goes_with_its_tunnel(host: Host) -> None:
    tunnel = host.create(TUNNEL, host.tunnel())
    made = host.create(CONFIG, config(host, tunnel.id))
    host.delete(tunnel)
    assert host.read(made) is None


# DNS records.


def test_a_record_from_birth_to_death(host: Host) -> None:
    inputs = host.record(comment="ours")
    made = host.create(RECORD, inputs)
    assert made.state["proxiable"] is True
    assert made.state["meta"] == "{}"
    assert host.diff(made, inputs) == {}
    read = host.read(made)
    assert read is not None
    assert (read.state, read.inputs) == (made.state, made.inputs)
    plain = host.record(content="y.cfargotunnel.com")
    assert host.diff(made, plain) == {"comment": False, "content": False}
    new = host.update(made, plain)
    assert new.state["content"] == "y.cfargotunnel.com"
    assert "comment" not in new.state
    assert host.diff(new, plain) == {}
    again = host.read(new)
    assert again is not None
    assert again.state == new.state
    assert host.diff(new, host.record(zoneId="f" * 32))["zoneId"]
    host.delete(new)
    assert host.read(new) is None
    host.delete(new)
    path = f"dns_records/{made.id}"
    changes = [("POST", "dns_records"), ("PUT", path), ("DELETE", path), ("DELETE", path)]
    assert host.sent() == changes


def test_a_record_is_imported(host: Host, admin: httpx.Client) -> None:
    row = {"type": "A", "name": "www", "content": "127.0.0.1"}
    record = admin.post("/seed", json={"records": [row]}).json()["records"][0]
    found = host.imported(RECORD, f"{host.cloud.zone_id}/{record['id']}")
    assert found is not None
    expected = {
        "zoneId": host.cloud.zone_id,
        "name": "www.blueflyagents.com",
        "type": "A",
        "content": "127.0.0.1",
        "ttl": 1,
    }
    assert found.inputs == expected
    assert host.diff(found, expected) == {}
    assert host.diff(found, {**expected, "proxied": True}) == {"proxied": False}


def test_a_taken_name_is_told(host: Host, admin: httpx.Client) -> None:
    row = {"type": "A", "name": "app", "content": "127.0.0.1"}
    admin.post("/seed", json={"records": [row]}).raise_for_status()
    with pytest.raises(Aborted, match=r"answered 400: .* already exists\. \(code 81053\)"):
        host.create(RECORD, host.record())


def test_a_records_name_in_another_case_is_no_change(host: Host) -> None:
    inputs = host.record(name=DOMAIN.upper())
    made = host.create(RECORD, inputs)
    assert host.diff(made, inputs) == {}


# Access.


def test_a_policy_from_birth_to_death(host: Host, running: RunningCloudflare) -> None:
    includes = [{"email": {"email": "a@example.com"}}, {"everyone": {}}]
    inputs = host.policy(includes=includes, excludes=[{"geo": {"countryCode": "AQ"}}])
    made = host.create(POLICY, inputs)
    stored = running.cloud.state.policies[made.id]
    assert stored["include"] == includes
    assert stored["exclude"] == [{"geo": {"country_code": "AQ"}}]
    assert made.state["sessionDuration"] == "24h"
    assert host.diff(made, inputs) == {}
    assert host.diff(made, {**inputs, "sessionDuration": "24h"}) == {}
    read = host.read(made)
    assert read is not None
    assert (read.inputs, host.diff(read, inputs)) == (made.inputs, {})
    shorter = {**inputs, "sessionDuration": "1h"}
    assert host.diff(made, shorter) == {"sessionDuration": False}
    assert host.update(made, shorter).state["sessionDuration"] == "1h"
    assert host.diff(made, {**inputs, "accountId": "f" * 32}) == {"accountId": True}
    other = {**inputs, "includes": [{"anyValidServiceToken": {}}]}
    assert host.diff(made, other) == {"includes": False}
    found = host.imported(POLICY, f"{host.cloud.account_id}/{made.id}")
    assert found is not None
    assert host.diff(found, shorter) == {}
    host.delete(made)
    assert host.read(made) is None


def test_an_application_and_its_policies(host: Host) -> None:
    policies = [host.create(POLICY, host.policy(name=name)).id for name in "ab"]
    references = [{"id": policy, "precedence": n} for n, policy in enumerate(policies, 1)]
    inputs = host.application(policies=references)
    made = host.create(APPLICATION, inputs)
    assert len(str(made.state["aud"])) == 64
    assert made.state["policies"] == references
    assert made.state["destinations"] == [{"type": "public", "uri": DOMAIN}]
    assert made.state["appLauncherVisible"] is True
    assert host.diff(made, inputs) == {}
    read = host.read(made)
    assert read is not None
    assert (read.state, host.diff(read, inputs)) == (made.state, {})
    assert host.diff(made, host.application(policies=[{"id": one} for one in policies])) == {}
    swapped = [{"id": policy, "precedence": n} for n, policy in enumerate(policies[::-1], 1)]
    assert host.diff(made, host.application(policies=swapped)) == {"policies": False}
    new = host.update(made, host.application(policies=references[:1], name="app-2"))
    assert (new.state["name"], new.state["policies"]) == ("app-2", references[:1])
    assert new.state["aud"] == made.state["aud"]
    with pytest.raises(Aborted, match="code 12132"):
        host.delete(Resource(POLICY, policies[0], Properties(host.policy()), Properties()))
    found = host.imported(APPLICATION, f"accounts/{host.cloud.account_id}/{made.id}")
    assert found is not None
    assert host.diff(found, host.application(policies=references[:1], name="app-2")) == {}
    host.delete(new)
    assert host.read(new) is None


def test_an_application_of_a_zone(host: Host) -> None:
    inputs = {**host.application(), "zoneId": host.cloud.zone_id}
    del inputs["accountId"]
    made = host.create(APPLICATION, inputs)
    read = host.read(made)
    assert read is not None
    assert read.state == made.state
    assert "accountId" not in made.state
    assert host.imported(APPLICATION, f"zones/{host.cloud.zone_id}/{made.id}") is not None
    assert host.diff(made, host.application()) == {"accountId": True, "zoneId": True}
    assert host.sent() == [("POST", "access/apps")]


def test_a_client_secret_is_kept_and_hidden(host: Host) -> None:
    made = host.create(SERVICE_TOKEN, host.machine())
    secret = made.state["clientSecret"]
    assert isinstance(secret, str)
    assert made.state.secret == {"clientSecret"}
    assert made.state["duration"] == "8760h"
    read = host.read(made)
    assert read is not None
    assert (read.state, read.state.secret) == (made.state, made.state.secret)
    renamed = host.update(made, host.machine(name="m2"))
    assert (renamed.state["name"], renamed.state["clientSecret"]) == ("m2", secret)
    later = {"clientSecretVersion": 2, "previousClientSecretExpiresAt": "2027-01-01T00:00:00Z"}
    turned = host.update(renamed, host.machine(name="m2", **later))
    assert turned.state["clientSecret"] not in {secret, None}
    assert turned.state.secret == {"clientSecret"}
    found = host.imported(SERVICE_TOKEN, f"accounts/{host.cloud.account_id}/{made.id}")
    assert found is not None
    assert "clientSecret" not in found.state
    assert host.diff(found, host.machine(name="m2", **later)) == {}


def test_a_token_that_a_policy_names_stays(host: Host) -> None:
    made = host.create(SERVICE_TOKEN, host.machine())
    rule = {"serviceToken": {"tokenId": made.id}}
    host.create(POLICY, host.policy(decision="non_identity", includes=[rule]))
    with pytest.raises(Aborted, match="code 12139"):
        host.delete(made)


def test_the_bodies_are_those_of_the_official_plugin(host: Host, bodies: list[object]) -> None:
    tunnel = host.create(TUNNEL, host.tunnel())
    host.create(CONFIG, config(host, tunnel.id))
    record = host.create(RECORD, host.record())
    host.update(record, host.record(comment="ours"))
    policy = host.create(POLICY, host.policy())
    host.create(APPLICATION, host.application(policies=[{"id": policy.id, "precedence": 1}]))
    host.create(SERVICE_TOKEN, host.machine())
    row = {"name": DOMAIN, "type": "CNAME", "content": "x.cfargotunnel.com", "ttl": 1}
    flags = {"flatten_cname": False, "ipv4_only": False, "ipv6_only": False}
    assert bodies == [
        {"name": "nas", "config_src": "cloudflare"},
        {"config": {"ingress": [CATCH_ALL]}, "source": "cloudflare"},
        {**row, "proxied": True},
        {**row, "proxied": True, "comment": "ours", "tags": [], "settings": flags},
        {
            "name": "team",
            "decision": "allow",
            "include": [{"email_domain": {"domain": "example.com"}}],
            "session_duration": "24h",
        },
        {
            "name": "app",
            "type": "self_hosted",
            "domain": DOMAIN,
            "policies": [{"id": policy.id, "precedence": 1}],
            "session_duration": "24h",
            "app_launcher_visible": True,
            "http_only_cookie_attribute": True,
        },
        {"name": "machine", "duration": "8760h", "client_secret_version": 1},
    ]


# Refusals and previews.


@pytest.mark.parametrize(
    ("kind", "make", "change", "path"),
    [
        (TUNNEL, "tunnel", {"confgSrc": "cloudflare"}, "confgSrc"),
        (TUNNEL, "tunnel", {"configSrc": "elsewhere"}, "configSrc"),
        (TUNNEL, "tunnel", {"name": None}, "name"),
        (RECORD, "record", {"ttl": 300}, "ttl"),
        (RECORD, "record", {"value": "x"}, "value"),
        (RECORD, "record", {"data": {}}, "data"),
        (POLICY, "policy", {"includes": [{"mail": {}}]}, "includes[0].mail"),
        (POLICY, "policy", {"decision": "maybe"}, "decision"),
        (POLICY, "policy", {"mfaConfig": {}}, "mfaConfig"),
        (APPLICATION, "application", {"zoneId": "z"}, "accountId"),
        (APPLICATION, "application", {"accountId": None}, "accountId"),
        (APPLICATION, "application", {"saasApp": {}}, "saasApp"),
        (APPLICATION, "application", {"policies": [{"precedence": 1}]}, "policies[0].id"),
        (
            APPLICATION,
            "application",
            {"selfHostedDomains": [], "destinations": []},
            "selfHostedDomains",
        ),
        (SERVICE_TOKEN, "machine", {"clientSecretVersion": 2}, "previousClientSecretExpiresAt"),
        (
            SERVICE_TOKEN,
            "machine",
            {"previousClientSecretExpiresAt": "2027-01-01T00:00:00Z"},
            "clientSecretVersion",
        ),
    ],
)
def test_refused_inputs(host: Host, kind: str, make: str, change: Values, path: str) -> None:
    assert host.refusals(kind, getattr(host, make)()) == {}
    assert list(host.refusals(kind, getattr(host, make)(**change))) == [path]


def test_a_last_rule_with_a_hostname_is_refused(host: Host) -> None:
    inputs = config(host, "t")
    inputs["config"] = {"ingresses": [{"hostname": DOMAIN, "service": "http://app"}]}
    assert list(host.refusals(CONFIG, inputs)) == ["config.ingresses[0]"]


def test_other_types_and_functions_are_refused(host: Host) -> None:
    with pytest.raises(Aborted, match="has no resource type cloudflare:index/ruleset:Ruleset"):
        host.check("Ruleset", {})
    with pytest.raises(Aborted, match="has no function cloudflare:index/getZone:getZone"):
        host.invoke("cloudflare:index/getZone:getZone", {})


def test_previews_ask_nobody(host: Host) -> None:
    tunnel = host.preview(TUNNEL, host.tunnel())
    assert tunnel["status"] is UNKNOWN
    assert tunnel["name"] == "nas"
    rule = {"hostname": UNKNOWN, "service": "http://app:80"}
    unknown = config(host, "t", rule)
    planned = host.preview(CONFIG, {**unknown, "tunnelId": UNKNOWN})
    assert planned["version"] is UNKNOWN
    record = host.preview(RECORD, host.record(content=UNKNOWN, ttl=UNKNOWN))
    assert record["content"] is UNKNOWN
    references = [{"id": UNKNOWN, "precedence": 1}]
    application = host.preview(APPLICATION, host.application(policies=references))
    assert application["aud"] is UNKNOWN
    host.preview(SERVICE_TOKEN, host.machine())
    host.preview(POLICY, host.policy(decision=UNKNOWN))
    assert list(host.cloud.cloud.calls) == []


def test_a_value_that_is_not_known_yet_may_be_another(host: Host) -> None:
    made = host.create(RECORD, host.record())
    assert host.diff(made, host.record(content=UNKNOWN)) == {"content": False}


# Names.


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sessionDuration", "session_duration"),
        ("l4Protocol", "l4_protocol"),
        ("ttl", "ttl"),
        ("emailListUuid", "email_list_uuid"),
    ],
)
def test_snake(name: str, expected: str) -> None:
    assert wire.snake(name) == expected
