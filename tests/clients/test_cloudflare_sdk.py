"""Cloudflare's own Python client against the emulator's process: every call it answers."""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cloudflare
import httpx
import pytest
from cloudflare import Cloudflare

READY_SECONDS = 30.0
HOST = "app.blueflyagents.com"


@dataclass(frozen=True)
class Emulator:
    """What a process told about itself."""

    url: str
    admin_url: str
    account_id: str
    zone_id: str
    token: str

    def client(self, **changes: object) -> Cloudflare:
        # An answer that is retried is seen late, and a test counts the calls.
        options = {"api_token": self.token, "base_url": self.url, "max_retries": 0, **changes}
        return Cloudflare(**options)  # type: ignore[arg-type]


@contextmanager
def emulator(folder: Path, *arguments: str) -> Iterator[Emulator]:
    command = [sys.executable, "-m", "localcloud.cloudflare", *arguments]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, stdin=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stdout is not None
            yield Emulator(**json.loads(process.stdout.readline()))
        finally:
            process.send_signal(signal.SIGTERM)
            ended = process.wait(READY_SECONDS)
    assert ended == 0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with emulator(tmp_path_factory.mktemp("cloudflare")) as started:
        yield started


@pytest.fixture
def cf(running: Emulator) -> Iterator[Cloudflare]:
    with running.client() as client:
        yield client


@pytest.fixture
def admin(running: Emulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.admin_url, timeout=10) as client:
        yield client
        client.post("/reset").raise_for_status()


@pytest.fixture(autouse=True)
def _fresh(admin: httpx.Client) -> None:
    """Each test finds an empty account."""


def codes(error: cloudflare.APIStatusError) -> tuple[int, list[int]]:
    body = error.response.json()
    return error.status_code, [one["code"] for one in body["errors"]]


def test_the_account_and_its_zone(cf: Cloudflare, running: Emulator) -> None:
    verified = cf.user.tokens.verify()
    assert verified is not None
    assert verified.status == "active"
    of_account = cf.accounts.tokens.verify(account_id=running.account_id)
    assert of_account is not None
    assert of_account.status == "active"
    account = cf.accounts.get(account_id=running.account_id)
    assert account is not None
    assert account.id == running.account_id
    assert [one.id for one in cf.accounts.list()] == [running.account_id]
    assert [zone.id for zone in cf.zones.list(name="blueflyagents.com")] == [running.zone_id]
    assert list(cf.zones.list(name="elsewhere.org")) == []
    zone = cf.zones.get(zone_id=running.zone_id)
    assert zone is not None
    assert (zone.name, zone.account.id) == ("blueflyagents.com", running.account_id)


def test_a_tunnel_from_birth_to_death(
    cf: Cloudflare, running: Emulator, admin: httpx.Client
) -> None:
    here = {"account_id": running.account_id}
    tunnels = cf.zero_trust.tunnels.cloudflared
    made = tunnels.create(**here, name="nas", config_src="cloudflare")
    assert made.id is not None
    of_it = {**here, "tunnel_id": made.id}
    assert (made.name, made.status, made.config_src) == ("nas", "inactive", "cloudflare")
    assert tunnels.get(made.id, **here).created_at == made.created_at
    assert tunnels.edit(made.id, **here, name="nas-2").name == "nas-2"
    token = tunnels.token.get(made.id, **here)
    assert json.loads(base64.b64decode(token))["t"] == made.id

    rules = [
        {"hostname": HOST, "service": "http://app:80", "origin_request": {"no_tls_verify": True}},
        {"service": "http_status:404"},
    ]
    put = tunnels.configurations.update(made.id, **here, config={"ingress": rules})
    assert put.version == 1
    got = tunnels.configurations.get(made.id, **here)
    assert got.config is not None
    assert got.config.ingress is not None
    first, last = got.config.ingress
    assert (first.hostname, first.service, last.service) == (
        HOST,
        "http://app:80",
        "http_status:404",
    )
    assert first.origin_request is not None
    assert first.origin_request.no_tls_verify is True

    admin.post("/connect", json=of_it).raise_for_status()
    (connector,) = tunnels.connections.get(made.id, **here)
    assert connector is not None
    with pytest.raises(cloudflare.BadRequestError) as refused:
        tunnels.delete(made.id, **here)
    assert codes(refused.value) == (400, [1022])
    admin.post("/disconnect", json=of_it).raise_for_status()
    assert tunnels.delete(made.id, **here).deleted_at is not None
    assert list(tunnels.list(**here, is_deleted=False)) == []
    with pytest.raises(cloudflare.NotFoundError):
        tunnels.token.get(made.id, **here)


def test_tunnels_are_paged_through(cf: Cloudflare, running: Emulator) -> None:
    tunnels = cf.zero_trust.tunnels.cloudflared
    names = [f"t{number:02}" for number in range(23)]
    for name in names:
        tunnels.create(account_id=running.account_id, name=name, config_src="cloudflare")
    assert [tunnel.name for tunnel in tunnels.list(account_id=running.account_id)] == names
    found = tunnels.list(account_id=running.account_id, name="t07", is_deleted=False)
    assert [tunnel.name for tunnel in found] == ["t07"]
    with pytest.raises(cloudflare.ConflictError) as taken:
        tunnels.create(account_id=running.account_id, name="t07", config_src="cloudflare")
    assert codes(taken.value) == (409, [1013])


def test_a_record_from_birth_to_death(cf: Cloudflare, running: Emulator) -> None:
    here = {"zone_id": running.zone_id}
    body = {"name": HOST, "type": "CNAME", "content": "x.cfargotunnel.com", "ttl": 1}
    records = cf.dns.records
    made = records.create(**here, **body, proxied=True, comment="ours")  # type: ignore[call-overload]
    assert (made.name, made.proxied, made.proxiable, made.comment) == (HOST, True, True, "ours")
    assert records.get(made.id, **here) == made
    with pytest.raises(cloudflare.BadRequestError) as twice:
        records.create(**here, **body)  # type: ignore[call-overload]
    assert codes(twice.value) == (400, [81053])
    edited = records.edit(made.id, **here, **body, comment="new")  # type: ignore[call-overload]
    assert (edited.comment, edited.proxied) == ("new", True)
    put = records.update(made.id, **here, **body)  # type: ignore[call-overload]
    assert (put.comment, put.proxied) == (None, False)
    gone = records.delete(made.id, **here)
    assert gone is not None
    assert gone.id == made.id
    with pytest.raises(cloudflare.NotFoundError) as missing:
        records.get(made.id, **here)
    assert codes(missing.value) == (404, [81044])


def test_records_are_found_among_others(
    cf: Cloudflare, running: Emulator, admin: httpx.Client
) -> None:
    others = [{"type": "A", "name": f"h{n}", "content": "127.0.0.1"} for n in range(120)]
    admin.post("/seed", json={"records": others}).raise_for_status()
    records = cf.dns.records
    assert len(list(records.list(zone_id=running.zone_id))) == 120
    exact = records.list(zone_id=running.zone_id, name={"exact": "h7.blueflyagents.com"})
    assert [row.name for row in exact] == ["h7.blueflyagents.com"]
    assert list(records.list(zone_id=running.zone_id, type="CNAME")) == []
    content = records.list(zone_id=running.zone_id, content={"exact": "127.0.0.1"}, per_page=50)
    assert len(list(content)) == 120


def test_access_from_birth_to_death(cf: Cloudflare, running: Emulator) -> None:
    here = {"account_id": running.account_id}
    access = cf.zero_trust.access
    token = access.service_tokens.create(**here, name="machine", duration="8760h")
    assert token is not None
    assert token.id is not None
    assert token.client_secret
    policy = access.policies.create(
        **here,
        name="machines",
        decision="non_identity",
        include=[{"service_token": {"token_id": token.id}}],
    )
    assert policy is not None
    assert policy.id is not None
    made = access.applications.create(
        **here,
        name="app",
        type="self_hosted",
        domain=HOST,
        policies=[{"id": policy.id, "precedence": 1}],
    )
    assert made is not None
    app_id = str(made.id)
    got = access.applications.get(app_id, **here)
    assert got is not None
    assert got.aud == made.aud
    assert [one.id for one in access.applications.list(**here)] == [app_id]

    with pytest.raises(cloudflare.BadRequestError) as used:
        access.service_tokens.delete(token.id, **here)
    assert codes(used.value) == (400, [12139])
    with pytest.raises(cloudflare.ConflictError):
        access.policies.delete(policy.id, **here)

    renamed = access.policies.update(
        policy.id, **here, name="all", decision="allow", include=[{"everyone": {}}]
    )
    assert renamed is not None
    assert renamed.name == "all"
    put = access.applications.update(
        app_id, **here, name="app-2", type="self_hosted", domain=HOST, policies=[]
    )
    assert put is not None
    assert (put.name, put.aud) == ("app-2", made.aud)
    assert [one.name for one in access.policies.list(**here)] == ["all"]
    kept = access.policies.get(policy.id, **here)
    assert kept is not None
    access.applications.delete(app_id, **here)
    access.policies.delete(policy.id, **here)

    rotated = access.service_tokens.rotate(token.id, **here)
    assert rotated is not None
    assert rotated.client_secret not in {None, token.client_secret}
    assert access.service_tokens.refresh(token.id, **here) is not None
    changed = access.service_tokens.update(token.id, **here, name="m2")
    assert changed is not None
    assert changed.name == "m2"
    assert [one.name for one in access.service_tokens.list(**here)] == ["m2"]
    assert access.service_tokens.get(token.id, **here) is not None
    access.service_tokens.delete(token.id, **here)
    for rows in (access.applications, access.policies, access.service_tokens):
        assert list(rows.list(**here)) == []


def test_an_application_of_the_zone(cf: Cloudflare, running: Emulator) -> None:
    apps = cf.zero_trust.access.applications
    made = apps.create(zone_id=running.zone_id, name="z", type="self_hosted", domain=HOST)
    assert made is not None
    assert list(apps.list(account_id=running.account_id)) == []
    app_id = str(made.id)
    with pytest.raises(cloudflare.NotFoundError):
        apps.get(app_id, account_id=running.account_id)
    apps.delete(app_id, zone_id=running.zone_id)
    assert list(apps.list(zone_id=running.zone_id)) == []


def test_a_wrong_token_and_a_foreign_account(running: Emulator) -> None:
    with running.client(api_token="x" * 40) as stranger:
        with pytest.raises(cloudflare.AuthenticationError) as verified:
            stranger.user.tokens.verify()
        assert codes(verified.value) == (401, [1000])
        with pytest.raises(cloudflare.PermissionDeniedError) as refused:
            stranger.zones.get(zone_id=running.zone_id)
        assert codes(refused.value) == (403, [9109])
    with running.client() as own, pytest.raises(cloudflare.PermissionDeniedError) as foreign:
        own.accounts.get(account_id="f" * 32)
    assert codes(foreign.value) == (403, [10000])


def test_an_ordered_fault_is_seen_at_once(running: Emulator, admin: httpx.Client) -> None:
    admin.post("/faults", json={"status": 500, "times": 3}).raise_for_status()
    with running.client(max_retries=5) as patient, pytest.raises(cloudflare.InternalServerError):
        patient.zones.get(zone_id=running.zone_id)
    assert len(admin.get("/calls").json()["calls"]) == 1


def test_a_second_process_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t" * 40)
    options = ("--state", str(tmp_path / "state.json"), "--token-file", str(tmp_path / "token"))
    with emulator(tmp_path, *options) as first, first.client() as client:
        made = client.zero_trust.tunnels.cloudflared.create(
            account_id=first.account_id, name="nas", config_src="cloudflare"
        )
    with emulator(tmp_path, *options) as second, second.client() as client:
        assert (second.account_id, second.zone_id) == (first.account_id, first.zone_id)
        assert second.token == "t" * 40
        tunnels = client.zero_trust.tunnels.cloudflared.list(account_id=second.account_id)
        assert [tunnel.id for tunnel in tunnels] == [made.id]
