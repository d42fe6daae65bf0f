"""The emulator's HTTP edge without a server: envelope, token, admin routes, faults, the file."""

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest

from localcloud.cloudflare import store
from localcloud.cloudflare.__main__ import main, parser, settings
from localcloud.cloudflare.app import PREFIX, create_app
from localcloud.cloudflare.cloud import Cloud, new_cloud
from localcloud.cloudflare.settings import TOKEN, Settings

ACCOUNT = "a" * 32
TUNNELS = f"/accounts/{ACCOUNT}/cfd_tunnel"


@pytest.fixture
def cloud() -> Cloud:
    return new_cloud(Settings(account_id=ACCOUNT))


class Client:
    """Asks the application of one emulator, with its token."""

    def __init__(self, cloud: Cloud) -> None:
        self.headers = {"Authorization": f"Bearer {cloud.settings.token}"}
        self._transport = httpx.ASGITransport(app=create_app(cloud))

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's
        async def ask() -> httpx.Response:
            asked = {"headers": self.headers, **options}
            async with httpx.AsyncClient(transport=self._transport, base_url="http://cf") as client:
                return await client.request(method, path, **asked)

        return asyncio.run(ask())

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def post(self, path: str, json: object = None) -> httpx.Response:
        return self.request("POST", path, json=json)


@pytest.fixture
def client(cloud: Cloud) -> Client:
    return Client(cloud)


def call(client: Client, method: str, path: str, **options: object) -> httpx.Response:
    return client.request(method, PREFIX + path, **options)


def made(client: Client, name: str = "one") -> str:
    body = {"name": name, "config_src": "cloudflare"}
    return str(call(client, "POST", TUNNELS, json=body).json()["result"]["id"])


def errors(answer: httpx.Response) -> tuple[int, list[int]]:
    envelope = answer.json()
    assert envelope["success"] is False
    assert envelope["result"] is None
    assert envelope["messages"] == []
    return answer.status_code, [error["code"] for error in envelope["errors"]]


def test_the_envelope(client: Client) -> None:
    tunnel = made(client)
    answer = call(client, "GET", f"{TUNNELS}/{tunnel}")
    assert answer.status_code == 200
    envelope = answer.json()
    assert envelope.pop("result")["id"] == tunnel
    assert envelope == {"success": True, "errors": [], "messages": []}


def test_a_list_has_its_page(client: Client) -> None:
    made(client, "one")
    made(client, "two")
    envelope = call(client, "GET", TUNNELS, params={"per_page": 1, "page": 2}).json()
    assert [row["name"] for row in envelope["result"]] == ["two"]
    info = {"page": 2, "per_page": 1, "count": 1, "total_count": 2, "total_pages": 2}
    assert envelope["result_info"] == info


def test_a_tunnel_token_is_a_bare_string(client: Client) -> None:
    envelope = call(client, "GET", f"{TUNNELS}/{made(client)}/token").json()
    assert isinstance(envelope["result"], str)


@pytest.mark.parametrize(
    ("header", "path", "refused"),
    [
        ("", TUNNELS, (401, [10000])),
        ("Basic eHg6eHg=", TUNNELS, (401, [10000])),
        ("Bearer", TUNNELS, (401, [10000])),
        ("Bearer wrong", TUNNELS, (403, [9109])),
        ("Bearer wröng", "/user/tokens/verify", (401, [1000])),
        ("Bearer wrong", f"/accounts/{ACCOUNT}/tokens/verify", (401, [1000])),
    ],
)
def test_only_the_token_opens(
    client: Client, header: str, path: str, refused: tuple[int, list[int]]
) -> None:
    headers = {"Authorization": header.encode()}
    assert errors(call(client, "GET", path, headers=headers)) == refused


def test_the_account_and_the_zone_are_ours(client: Client, cloud: Cloud) -> None:
    assert call(client, "GET", "/user/tokens/verify").json()["result"]["status"] == "active"
    assert call(client, "GET", f"/accounts/{ACCOUNT}").json()["result"]["id"] == ACCOUNT
    (zone,) = call(client, "GET", "/zones", params={"name": "blueflyagents.com"}).json()["result"]
    assert zone == cloud.state.zone
    assert call(client, "GET", f"/zones/{zone['id']}").json()["result"] == zone
    assert call(client, "GET", "/zones", params={"name": "else.org"}).json()["result"] == []
    other = "c" * 32
    assert errors(call(client, "GET", f"/accounts/{other}/cfd_tunnel")) == (403, [10000])
    assert errors(call(client, "GET", f"/zones/{other}/dns_records")) == (403, [9109])
    assert errors(call(client, "GET", "/zones/blueflyagents.com/dns_records")) == (404, [7003])


def test_nothing_else_answers(client: Client) -> None:
    for method, path in (
        ("GET", "/nothing"),
        ("PUT", TUNNELS),
        ("POST", f"/zones/{ACCOUNT}"),
        ("GET", f"{TUNNELS}/"),
        ("HEAD", TUNNELS),
    ):
        answer = call(client, method, path)
        assert answer.status_code == 404, (method, path)
    assert errors(call(client, "GET", "/nothing")) == (404, [7003])


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b'"x"'])
def test_a_body_is_an_object(client: Client, content: bytes) -> None:
    assert errors(call(client, "POST", TUNNELS, content=content)) == (400, [6007])


# Admin.


def test_the_state_is_shown_without_secrets(client: Client, cloud: Cloud) -> None:
    tunnel = made(client)
    client.headers.pop("Authorization")
    shown = client.get("/_admin/state")
    assert shown.json()["tunnels"][tunnel]["name"] == "one"
    assert cloud.state.secrets[tunnel] not in shown.text
    assert cloud.settings.token not in shown.text


def test_the_journal_has_calls_and_no_token(client: Client, cloud: Cloud) -> None:
    tunnel = made(client)
    call(client, "GET", f"{TUNNELS}/nobody", params={"a": "b"})
    call(client, "GET", "/nothing", headers={"Authorization": "Bearer wrong-one"})
    told = client.get("/_admin/calls")
    assert told.json() == {
        "calls": [
            {"method": "POST", "path": TUNNELS, "query": "", "status": 200},
            {"method": "GET", "path": f"{TUNNELS}/nobody", "query": "a=b", "status": 404},
            {"method": "GET", "path": "/nothing", "query": "", "status": 404},
        ]
    }
    assert tunnel
    for secret in (cloud.settings.token, "wrong-one"):
        assert secret not in told.text


def test_a_connector_comes_and_goes(client: Client) -> None:
    tunnel = made(client)
    there = client.post("/_admin/connect", json={"tunnel_id": tunnel}).json()
    assert (there["status"], len(there["connections"])) == ("healthy", 1)
    assert errors(call(client, "DELETE", f"{TUNNELS}/{tunnel}")) == (400, [1022])
    connections = call(client, "GET", f"{TUNNELS}/{tunnel}/connections").json()["result"]
    assert connections == there["connections"]
    client.post("/_admin/disconnect", json={"tunnel_id": tunnel}).raise_for_status()
    assert call(client, "DELETE", f"{TUNNELS}/{tunnel}").status_code == 200
    assert client.post("/_admin/connect", json={"tunnel_id": tunnel}).status_code == 404
    assert client.post("/_admin/connect", json={}).status_code == 422


def test_others_may_have_been_there_before(client: Client, cloud: Cloud) -> None:
    tunnel_id = "11111111-2222-4333-8444-555555555555"
    config = {"ingress": [{"service": "http_status:503"}]}
    tunnel = {"id": tunnel_id, "name": "old", "config": config}
    record = {"type": "A", "name": "www", "content": "127.0.0.1"}
    told = client.post("/_admin/seed", json={"tunnels": [tunnel], "records": [record]})
    assert told.json()["records"][0]["name"] == "www.blueflyagents.com"
    kept = call(client, "GET", f"{TUNNELS}/{tunnel_id}/configurations").json()["result"]
    assert (kept["config"], kept["version"]) == (config, 1)
    assert call(client, "GET", f"{TUNNELS}/{tunnel_id}/token").status_code == 200
    assert client.post("/_admin/seed", json={"tunnels": [tunnel]}).status_code == 422
    client.post("/_admin/reset").raise_for_status()
    assert cloud.state.tunnels == cloud.state.records == {}
    assert client.get("/_admin/calls").json() == {"calls": []}
    assert call(client, "GET", f"/accounts/{ACCOUNT}").status_code == 200


def test_a_seed_is_put_in_whole_or_not_at_all(client: Client, cloud: Cloud) -> None:
    seed = {"tunnels": [{"name": "fine"}], "records": [{"type": "A", "name": "x", "content": "?"}]}
    assert client.post("/_admin/seed", json=seed).status_code == 422
    assert cloud.state.tunnels == cloud.state.secrets == {}


@pytest.mark.parametrize("seed", [{"tunnels": ["x"]}, {"tunnels": {}}, {"other": []}])
def test_a_seed_is_two_lists_of_objects(client: Client, seed: object) -> None:
    assert client.post("/_admin/seed", json=seed).status_code == 422


def test_a_fault_comes_as_often_as_ordered(client: Client, cloud: Cloud) -> None:
    fault = {"method": "POST", "path": "/cfd_tunnel$", "status": 503, "code": 77, "times": 2}
    client.post("/_admin/faults", json=fault).raise_for_status()
    assert call(client, "GET", TUNNELS).status_code == 200
    for _ in range(2):
        answer = call(client, "POST", TUNNELS, json={"name": "x"})
        assert errors(answer) == (503, [77])
        assert answer.headers["x-should-retry"] == "false"
    assert cloud.state.tunnels == {}
    assert client.get("/_admin/faults").json() == {"faults": []}
    assert "x-should-retry" not in call(client, "POST", TUNNELS, json={"name": "x"}).headers


def test_a_call_may_take_effect_and_its_answer_be_lost(client: Client, cloud: Cloud) -> None:
    client.post("/_admin/faults", json={"path": "cfd_tunnel", "done": True}).raise_for_status()
    assert errors(call(client, "POST", TUNNELS, json={"name": "x"})) == (500, [10000])
    assert len(cloud.state.tunnels) == 1


def test_faults_can_be_cancelled(client: Client) -> None:
    client.post("/_admin/faults", json={}).raise_for_status()
    assert client.request("DELETE", "/_admin/faults").json() == {"cancelled": 1}
    assert call(client, "GET", TUNNELS).status_code == 200


@pytest.mark.parametrize(
    "fault",
    [{"status": 200}, {"status": "500"}, {"times": 0}, {"path": "("}, {"path": 1}, {"wrong": 1}],
)
def test_a_fault_that_cannot_be(client: Client, fault: dict[str, object]) -> None:
    assert client.post("/_admin/faults", json=fault).status_code == 422
    assert client.get("/_admin/faults").json() == {"faults": []}


# The file.


def test_the_state_survives_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "cloudflare.json"
    first = new_cloud(Settings(state_file=file))
    account = f"/accounts/{first.state.account['id']}"
    client = Client(first)
    body = {"name": "x"}
    made = call(client, "POST", f"{account}/cfd_tunnel", json=body).json()["result"]
    client.post("/_admin/connect", json={"tunnel_id": made["id"]}).raise_for_status()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = new_cloud(Settings(state_file=file))
    assert again.state == first.state
    assert again.state.tunnels[made["id"]]["status"] == "healthy"
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_refused_call_changes_no_file(tmp_path: Path) -> None:
    file = tmp_path / "cloudflare.json"
    cloud = new_cloud(Settings(state_file=file, account_id=ACCOUNT))
    before = file.read_text()
    assert call(Client(cloud), "POST", TUNNELS, json={}).status_code == 400
    assert file.read_text() == before


def test_a_file_that_cannot_be_written_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "cloudflare.json"
    cloud = new_cloud(Settings(state_file=file, account_id=ACCOUNT))
    before = file.read_text()
    cloud.state.account["name"] = object()
    with pytest.raises(TypeError):
        store.save(file, cloud.state)
    assert file.read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_broken_file_is_named_and_kept(tmp_path: Path, text: str) -> None:
    file = tmp_path / "cloudflare.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"cloudflare\.json holds no state .* delete it"):
        new_cloud(Settings(state_file=file))
    assert file.read_text() == text


def test_a_file_of_another_account_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cloudflare.json"
    new_cloud(Settings(state_file=file, account_id=ACCOUNT))
    with pytest.raises(ValueError, match="is of the account aaa"):
        new_cloud(Settings(state_file=file, account_id="b" * 32))
    with pytest.raises(ValueError, match=r"is of the zone blueflyagents\.com, not example\.com"):
        new_cloud(Settings(state_file=file, zone="example.com"))


# Settings.


def test_a_new_token_has_the_form_that_the_provider_wants() -> None:
    tokens = {Settings().token for _ in range(50)}
    assert len(tokens) == 50
    assert all(TOKEN.fullmatch(token) for token in tokens)
    assert all(token not in repr(Settings(token=token)) for token in tokens)


def test_the_command_line(tmp_path: Path) -> None:
    token = "t" * 40
    (tmp_path / "token").write_text(f"{token}\n")
    line = ["--port", "7", "--account-id", ACCOUNT, "--zone", "example.com"]
    chosen = settings([*line, "--token-file", str(tmp_path / "token"), "--state", "s.json"])
    assert chosen == Settings(
        token=token, port=7, account_id=ACCOUNT, zone="example.com", state_file=Path("s.json")
    )
    assert "--token-file" in parser().format_help()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["--host", "0.0.0.0"], "127.0.0.1 only"),  # noqa: S104 - it is refused
        (["--account-id", "short"], "32 hexadecimal digits"),
        (["--zone", "nodots"], "domain name"),
        (["--token-file", "/nonexistent/token"], "/nonexistent/token"),
    ],
)
def test_a_wrong_command_line_says_why(
    line: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        settings(line)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_a_token_of_a_wrong_form_is_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "token"
    file.write_text("short-secret")
    with pytest.raises(SystemExit):
        settings(["--token-file", str(file)])
    told = capsys.readouterr().err
    assert "the token must match" in told
    assert "short-secret" not in told


def test_a_start_that_fails_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cloudflare.json"
    file.write_text("{}")
    assert main(["--state", str(file)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "did not start (port 0, state file " in told.err
    assert "delete it to start anew" in told.err


def test_the_journal_is_bounded(cloud: Cloud) -> None:
    assert cloud.calls.maxlen == 10_000
    assert json.dumps(list(cloud.calls)) == "[]"
