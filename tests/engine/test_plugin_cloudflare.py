"""The official cloudflare SDK on the real engine, with our plugin and the emulator."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from localcloud.cloudflare.server import RunningCloudflare, running_cloudflare
from tests.offline_plugins import Project

OLD_TUNNEL = "11111111-2222-4333-8444-555555555555"
CATCH_ALL = {"service": "http_status:404"}

PROGRAM = """
import json
from pathlib import Path

import pulumi
import pulumi_cloudflare as cf

spec = json.loads(Path("spec.json").read_text())
account, zone = spec["account"], spec["zone"]
config = pulumi.Config()
provider = cf.Provider("cf", api_token=config.require_secret("token"), base_url=spec["url"])


def opts(**more):
    return pulumi.ResourceOptions(provider=provider, **more)


tunnel = cf.ZeroTrustTunnelCloudflared(
    "nas", account_id=account, name="nas", config_src="cloudflare", opts=opts()
)
machine = cf.ZeroTrustAccessServiceToken(
    "ci", account_id=account, name="ci", duration="8760h", opts=opts()
)
policy = cf.ZeroTrustAccessPolicy(
    "machines",
    account_id=account,
    name="machines",
    decision="non_identity",
    includes=[
        cf.ZeroTrustAccessPolicyIncludeArgs(
            service_token=cf.ZeroTrustAccessPolicyIncludeServiceTokenArgs(token_id=machine.id)
        ),
        cf.ZeroTrustAccessPolicyIncludeArgs(
            email_domain=cf.ZeroTrustAccessPolicyIncludeEmailDomainArgs(domain="example.com")
        ),
    ],
    session_duration="24h",
    opts=opts(),
)
app = cf.ZeroTrustAccessApplication(
    "app",
    account_id=account,
    name="app",
    type="self_hosted",
    domain="app.blueflyagents.com",
    policies=[cf.ZeroTrustAccessApplicationPolicyArgs(id=policy.id, precedence=1)],
    session_duration="24h",
    opts=opts(),
)
rules = [
    cf.ZeroTrustTunnelCloudflaredConfigConfigIngressArgs(
        hostname=f"{name}.blueflyagents.com",
        service=service,
        origin_request=cf.ZeroTrustTunnelCloudflaredConfigConfigIngressOriginRequestArgs(
            connect_timeout=10,
            access=cf.ZeroTrustTunnelCloudflaredConfigConfigIngressOriginRequestAccessArgs(
                aud_tags=[app.aud], team_name="team", required=True
            ),
        ),
    )
    for name, service in spec["rules"].items()
]
last = cf.ZeroTrustTunnelCloudflaredConfigConfigIngressArgs(service="http_status:404")
ingress = cf.ZeroTrustTunnelCloudflaredConfig(
    "ingress",
    account_id=account,
    tunnel_id=tunnel.id,
    config=cf.ZeroTrustTunnelCloudflaredConfigConfigArgs(ingresses=[*rules, last]),
    opts=opts(),
)
for name in spec["rules"]:
    cf.DnsRecord(
        name,
        zone_id=zone,
        name=f"{name}.blueflyagents.com",
        type="CNAME",
        content=tunnel.id.apply(lambda id: f"{id}.cfargotunnel.com"),
        ttl=1,
        proxied=True,
        comment="by pulumi",
        opts=opts(),
    )
if spec["imports"]:
    old = spec["imports"]
    cf.ZeroTrustTunnelCloudflared(
        "old",
        account_id=account,
        name="old",
        config_src="cloudflare",
        opts=opts(import_=f"{account}/{old['tunnel']}"),
    )
    cf.ZeroTrustTunnelCloudflaredConfig(
        "old-ingress",
        account_id=account,
        tunnel_id=old["tunnel"],
        config=cf.ZeroTrustTunnelCloudflaredConfigConfigArgs(ingresses=[last]),
        opts=opts(import_=f"{account}/{old['tunnel']}"),
    )
    cf.DnsRecord(
        "old-www",
        zone_id=zone,
        name="www.blueflyagents.com",
        type="A",
        content="127.0.0.1",
        ttl=1,
        opts=opts(import_=f"{zone}/{old['record']}"),
    )

# Without a provider: the settings come from the environment.
token = cf.get_zero_trust_tunnel_cloudflared_token_output(
    account_id=account, tunnel_id=tunnel.id
)
pulumi.export("tunnel", tunnel.id)
pulumi.export("tunnel_token", token.token)
pulumi.export("aud", app.aud)
pulumi.export("client_secret", machine.client_secret)
"""


class Stack(Project):
    """The program above in folders of its own."""

    seconds = 300.0

    def __init__(self, folder: Path, cloud: RunningCloudflare) -> None:
        keys = {"CLOUDFLARE_API_TOKEN": cloud.token, "CLOUDFLARE_BASE_URL": cloud.url}
        super().__init__(folder, PROGRAM, **keys)
        self.cloud = cloud
        self.spec: dict[str, Any] = {
            "account": cloud.account_id,
            "zone": cloud.zone_id,
            "url": cloud.url,
            "rules": {"app": "http://app:80"},
            "imports": {},
        }
        self.ok("stack", "init", "dev")
        self.ok("config", "set", "--secret", "token", cloud.token)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        (self.project / "spec.json").write_text(json.dumps(self.spec))
        return self.pulumi(*arguments)

    def ok(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout
        assert self.cloud.token not in done.stdout
        return done.stdout

    def up(self, *arguments: str) -> str:
        return self.ok("up", "--yes", "--skip-preview", *arguments)

    def outputs(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(
            self.run("stack", "output", "--json", "--show-secrets").stdout
        )
        return found

    def assert_still(self) -> None:
        """Neither the program nor what is there wants a change."""
        self.up("--expect-no-changes")
        self.ok("refresh", "--yes", "--skip-preview", "--expect-no-changes")

    def changes(self) -> list[str]:
        """The calls since the last look that changed something."""
        owners = (f"/accounts/{self.cloud.account_id}/", f"/zones/{self.cloud.zone_id}/")
        told: list[str] = []
        for call in self.cloud.cloud.calls:
            path = call["path"]
            for owner in owners:
                path = path.removeprefix(owner)
            if call["method"] != "GET":
                told.append(f"{call['method']} {path}")
        self.cloud.cloud.calls.clear()
        return told


@pytest.fixture
def cloud() -> Iterator[RunningCloudflare]:
    with running_cloudflare() as running:
        yield running


@pytest.fixture
def admin(cloud: RunningCloudflare) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=cloud.admin_url, timeout=10) as client:
        yield client


def test_an_ingress_lives_changes_and_dies(
    tmp_path: Path, cloud: RunningCloudflare, admin: httpx.Client
) -> None:
    stack = Stack(tmp_path, cloud)
    state = cloud.cloud.state

    planned = stack.ok("preview")
    assert "8 to create" in planned
    assert stack.changes() == []

    stack.up()
    tunnel = stack.outputs()["tunnel"]
    assert stack.changes()[0] in {"POST cfd_tunnel", "POST access/service_tokens"}
    (record,) = state.records.values()
    assert record["content"] == f"{tunnel}.cfargotunnel.com"
    (rule, last) = state.configurations[tunnel]["config"]["ingress"]
    assert rule["originRequest"]["access"]["audTag"] == [stack.outputs()["aud"]]
    assert last == CATCH_ALL
    secrets = [stack.outputs()[name] for name in ("client_secret", "tunnel_token")]
    kept = next((tmp_path / "state").rglob("dev.json")).read_text()
    for secret in (*secrets, cloud.token):
        assert secret
        assert secret not in kept

    stack.assert_still()
    assert stack.changes() == []

    stack.spec["rules"]["app"] = "http://app:81"
    assert "~ 1 updated" in stack.up()
    assert stack.changes() == [f"PUT cfd_tunnel/{tunnel}/configurations"]
    assert state.configurations[tunnel]["version"] == 2

    # A hand at the dashboard: seen by a refresh, mended by the next update.
    state.configurations[tunnel]["config"]["ingress"][0]["service"] = "http://by-hand"
    stack.ok("refresh", "--yes", "--skip-preview")
    stack.up()
    assert state.configurations[tunnel]["config"]["ingress"][0]["service"] == "http://app:81"
    stack.changes()

    seed = {
        "tunnels": [{"id": OLD_TUNNEL, "name": "old", "config": {"ingress": [CATCH_ALL]}}],
        "records": [{"type": "A", "name": "www", "content": "127.0.0.1"}],
    }
    made = admin.post("/seed", json=seed).json()
    stack.spec["imports"] = {"tunnel": OLD_TUNNEL, "record": made["records"][0]["id"]}
    imported = stack.up()
    assert "= 3 imported" in imported
    assert "do not match" not in imported, imported
    stack.assert_still()
    assert stack.changes() == []

    admin.post("/connect", json={"tunnel_id": tunnel}).raise_for_status()
    refused = stack.run("destroy", "--yes", "--skip-preview")
    assert refused.returncode != 0
    assert "code 1022" in refused.stdout
    admin.post("/disconnect", json={"tunnel_id": tunnel}).raise_for_status()
    stack.ok("destroy", "--yes", "--skip-preview")
    assert not state.records
    assert not state.policies
    assert not state.applications
    assert not state.service_tokens
    assert [row["name"] for row in state.tunnels.values() if not row["deleted_at"]] == []


def test_what_went_away_comes_back(tmp_path: Path, cloud: RunningCloudflare) -> None:
    stack = Stack(tmp_path, cloud)
    stack.up()
    (gone,) = cloud.cloud.state.records
    del cloud.cloud.state.records[gone]
    told = stack.ok("refresh", "--yes", "--skip-preview")
    assert "- 1 deleted" in told
    assert "+ 1 created" in stack.up()
    (back,) = cloud.cloud.state.records
    assert back != gone
