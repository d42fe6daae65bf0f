"""Command lines, secrets and kubeconfigs of a cluster: pure parts and files."""

import base64
import json
import socket
import stat
from pathlib import Path

import pytest

from tools.cluster import NotOurs, commands, credentials
from tools.cluster.gobuild import STAGES
from tools.cluster.layout import Layout
from tools.cluster.model import Binaries
from tools.cluster.ports import held_port
from tools.cluster.run import PARTS
from tools.cluster.server import is_schedulable, node


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout.of(tmp_path / "data")
    made.create()
    return made


@pytest.fixture
def binaries(tmp_path: Path) -> Binaries:
    stages = tmp_path / "stages"
    stages.mkdir()
    for name in STAGES:
        (stages / Path(name).name).touch()
    return Binaries(tmp_path / "bin", stages)


def argv(layout: Layout, binaries: Binaries) -> dict[str, list[str]]:
    return {
        **commands.stores(layout, binaries, 12345),
        **commands.workers(layout, binaries),
    }


def test_every_part_has_a_command(layout: Layout, binaries: Binaries) -> None:
    found = argv(layout, binaries)
    assert tuple(found) == PARTS
    assert [line[0] for line in found.values()] == [str(binaries[part]) for part in PARTS]


def test_no_secret_is_on_a_command_line(layout: Layout, binaries: Binaries) -> None:
    tokens = credentials.make_tokens(layout.tokens)
    credentials.make_signing_key(layout.signing_key)
    key = layout.signing_key.read_text().splitlines()[1]
    everything = " ".join(word for line in argv(layout, binaries).values() for word in line)
    assert not [secret for secret in (*tokens.values(), key) if secret in everything]
    assert "--token-auth-file=tokens.csv" in everything


def test_only_the_api_server_listens_and_only_on_loopback(
    layout: Layout, binaries: Binaries
) -> None:
    found = argv(layout, binaries)
    assert {"--bind-address=127.0.0.1", "--secure-port=12345"} <= set(found["kube-apiserver"])
    assert "--secure-port=0" in found["kube-controller-manager"]
    assert "--secure-port=0" in found["kube-scheduler"]
    listening = [word for word in found["etcd"] if word.startswith("--listen-")]
    assert listening
    assert all("=unix://" in word for word in listening)
    assert "--server-address" not in " ".join(found["kwok"])


def test_kwok_gets_its_own_stages_and_ours(layout: Layout, binaries: Binaries) -> None:
    given = [Path(w.removeprefix("--config=")) for w in argv(layout, binaries)["kwok"]]
    names = {path.name for path in given}
    assert {"pod-ready.yaml", "node-heartbeat.yaml"} <= names
    assert {"crash.yaml", "image-pull.yaml", "probe.yaml"} <= names
    assert all(path.exists() for path in given if path.suffix == ".yaml")


@pytest.mark.parametrize("name", ["crash", "image-pull", "probe"])
def test_a_failing_image_is_named_after_its_stage(name: str) -> None:
    text = (commands.OWN_STAGES / f"{name}.yaml").read_text()
    assert f'startswith("fail.test/{name}")' in text
    assert f'hasPrefix "fail.test/{name}"' in text
    assert "\n  weight: 1\n" in text


def test_secrets_are_made_once_and_for_their_owner_alone(layout: Layout) -> None:
    tokens = credentials.make_tokens(layout.tokens)
    credentials.make_signing_key(layout.signing_key)
    key = layout.signing_key.read_bytes()
    assert credentials.make_tokens(layout.tokens) == tokens
    credentials.make_signing_key(layout.signing_key)
    assert layout.signing_key.read_bytes() == key

    assert set(tokens) == set(credentials.USERS)
    assert len(set(tokens.values())) == len(tokens)
    assert layout.tokens.read_text().splitlines()[1].endswith('kube-controller-manager,""')
    assert stat.S_IMODE(layout.data.stat().st_mode) == 0o700
    for path in (layout.tokens, layout.signing_key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_signing_key_is_a_p256_key_in_pem(layout: Layout) -> None:
    credentials.make_signing_key(layout.signing_key)
    begin, body, end = layout.signing_key.read_text().splitlines()
    assert (begin, end) == ("-----BEGIN EC PRIVATE KEY-----", "-----END EC PRIVATE KEY-----")
    der = base64.b64decode(body)
    assert len(der) == 2 + der[1]
    assert der.endswith(bytes.fromhex("06082a8648ce3d030107"))


def test_a_kubeconfig_is_private_and_trusts_one_certificate(layout: Layout) -> None:
    content = credentials.kubeconfig("https://127.0.0.1:1", b"PEM", "admin", "t0ken")
    credentials.write_kubeconfig(layout.kubeconfig, content)
    credentials.write_kubeconfig(layout.kubeconfig, content)
    assert stat.S_IMODE(layout.kubeconfig.stat().st_mode) == 0o600
    assert json.loads(layout.kubeconfig.read_text()) == content
    assert content["users"] == [{"name": "admin", "user": {"token": "t0ken"}}]
    trusted = content["clusters"][0]["cluster"]["certificate-authority-data"]
    assert base64.b64decode(trusted) == b"PEM"


def test_a_held_port_is_kept_from_others_and_shared_on_request() -> None:
    with held_port() as port:
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            server.bind(("127.0.0.1", port))
            server.listen()
            with held_port(port) as another:
                assert another != port
    with held_port(port) as again:
        assert again == port


@pytest.mark.parametrize("existing", ["file", "folder"])
def test_a_folder_in_other_use_is_not_taken_and_not_removed(tmp_path: Path, existing: str) -> None:
    data = tmp_path / "data"
    if existing == "file":
        data.touch()
    else:
        (data / "mine").mkdir(parents=True)
    for use in (Layout.of(data).create, Layout.of(data).remove):
        with pytest.raises(NotOurs, match="not the folder of a cluster"):
            use()
    assert data.exists()


def test_an_empty_folder_is_taken_and_removed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    Layout.of(data).create()
    Layout.of(data).create()
    Layout.of(data).remove()
    Layout.of(data).remove()
    assert not data.exists()


def test_a_node_counts_when_it_is_ready_and_not_tainted() -> None:
    made = {**node("node-0"), "spec": {"taints": [{"key": "node.kubernetes.io/not-ready"}]}}
    assert not is_schedulable(made)
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    assert not is_schedulable({**made, "status": ready})
    assert is_schedulable({"status": ready, "spec": {}})
