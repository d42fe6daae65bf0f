"""Stand-ins on a real daemon, under production's flags and health tests."""

import sys
import time
from collections.abc import Iterator

import httpx
import pytest
from docker import DockerClient
from docker.errors import ContainerError

from localcloud.cloudflare.server import running_cloudflare
from localcloud.images import (
    STAND_IN_LABEL,
    BadReference,
    Kind,
    StandInImpossible,
    ensure,
    standin_program,
)
from tests.docker.daemon import Docker, lack, until
from tests.docker.nas_images import (
    END_SECONDS,
    PASSWORD,
    PRODUCTION,
    REFERENCES,
    TOKEN,
    Nas,
    ended,
    healthy,
    reference,
    run,
    url,
)

NETWORK = "stand-ins"
KEY = {"Authorization": "AWS4-HMAC-SHA256 Credential=root-user/20261101/us/s3/aws4_request"}


@pytest.fixture(scope="module")
def client(docker: Docker) -> Iterator[DockerClient]:
    with_timeout = DockerClient(base_url=docker.host, timeout=120)
    try:
        yield with_timeout
    finally:
        with_timeout.close()


@pytest.fixture(scope="module")
def nas(client: DockerClient) -> Iterator[Nas]:
    """Every image, and a network of its own."""
    said: list[str] = []
    assert set(ensure(client, REFERENCES, said.append).values()) == {"stand-in"}
    network = client.networks.create(NETWORK, driver="bridge")
    try:
        yield Nas(client, NETWORK)
    finally:
        network.remove()


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("secrets")
    for how in PRODUCTION.values():
        for name, text in how.secrets.items():
            (folder / name).write_text(text)
    # As bound from a NAS: readable inside, reached through no other folder.
    folder.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize("kind", PRODUCTION)
def test_a_kind_is_healthy_in_production_and_ends_at_once(
    kind: Kind, nas: Nas, secrets: str, capsys: pytest.CaptureFixture[str]
) -> None:
    start = time.monotonic()
    with nas.running(kind, secrets, volumes=f"ends-{kind}") as container:
        up = time.monotonic() - start
        assert b"stand-in" in container.logs()
        code, took = ended(container)
        assert code == 0, container.logs().decode()
        assert took < END_SECONDS
    size = nas.client.images.get(reference(kind)).attrs["Size"]
    with capsys.disabled():
        sys.stdout.write(f"\n{kind}: {size / 1e6:.1f} MB, healthy after {up:.1f} s, ")
        sys.stdout.write(f"ended after {took:.2f} s ")


# The platform's own services.


def test_a_service_says_who_it_is_and_has_nothing_else(nas: Nas, secrets: str) -> None:
    with nas.running("service", secrets) as container:
        found = httpx.get(f"{url(container)}/health")
        assert found.json() == {
            "status": "ok",
            "service": "agent-mesh",
            "version": "1.4.0 (stand-in)",
        }
        other = httpx.get(f"{url(container)}/agents")
        assert (other.status_code, "stand-in" in other.text) == (404, True)
        run(container, "standin", "get", "http://127.0.0.1:3005/health")
        run(container, "standin", "get", "http://127.0.0.1:3005/ready", ok=False)
        run(container, "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:1/health", ok=False)


def test_services_share_what_they_are_made_of(nas: Nas) -> None:
    images = [nas.client.images.get(text) for text, kind in REFERENCES.items() if kind == "service"]
    layers = {tuple(image.attrs["RootFS"]["Layers"]) for image in images}
    assert (len(images), len(layers)) == (2, 1)
    assert {image.labels[STAND_IN_LABEL] for image in images} == {"service"}


# The stores.


def test_redis_wants_its_password_and_keeps_its_data(nas: Nas, secrets: str) -> None:
    with nas.running("redis", secrets, volumes="redis") as container:
        run(container, "redis-cli", "set", "queue", "7")
        assert "NOAUTH" in run(container, "sh", "-c", "REDISCLI_AUTH= redis-cli ping")
        container.restart(timeout=5)
        healthy(container)
        assert run(container, "redis-cli", "get", "queue").strip() == "7"
    with nas.running("redis", secrets, volumes="redis") as container:
        assert run(container, "redis-cli", "get", "queue").strip() == "7"


def test_postgres_keeps_its_data_and_restores_a_dump(nas: Nas, secrets: str) -> None:
    with nas.running("postgres", secrets, volumes="postgres") as container:
        sql = ("psql", "-qtAX", "-v", "ON_ERROR_STOP=1", "-U", "platform", "-d", "agents", "-c")
        run(container, *sql, "CREATE EXTENSION vector")
        run(container, *sql, "CREATE TABLE notes (id int PRIMARY KEY, at vector(3))")
        run(container, *sql, "INSERT INTO notes VALUES (1, '[1,2,3]'), (2, NULL)")
        container.restart(timeout=20)
        healthy(container)
        assert run(container, *sql, "SELECT at FROM notes WHERE id = 1").strip() == "[1,2,3]"
        assert b"database system was not properly shut down" not in container.logs()
        dump = "pg_dump -U platform -Fc agents >/tmp/dump && createdb -U platform scratch"
        run(container, "sh", "-c", f"{dump} && pg_restore -U platform -d scratch /tmp/dump")
        scratch = [part if part != "agents" else "scratch" for part in sql]
        assert run(container, *scratch, "SELECT count(*) FROM notes").strip() == "2"
        assert "CREATE ROLE platform" in run(
            container, "pg_dumpall", "-U", "platform", "--globals-only"
        )


def test_postgres_lets_nobody_in_by_network_without_the_password(nas: Nas, secrets: str) -> None:
    with nas.running("postgres", secrets) as container:
        by_network = "psql -qtAX -h 127.0.0.1 -U platform -d agents -c 'SELECT 1'"
        run(container, "sh", "-c", f"PGPASSWORD=wrong {by_network}", ok=False)
        right = f"PGPASSWORD={PASSWORD} {by_network}"
        assert run(container, "sh", "-c", right).strip() == "1"


def test_postgres_starts_over_after_an_interrupted_first_start(nas: Nas, secrets: str) -> None:
    with nas.running("postgres", secrets, volumes="interrupted") as container:
        run(container, "sh", "-c", ': >"$PGDATA/.stand-in-unfinished"')
        container.restart(timeout=20)
        healthy(container)
        assert container.logs().count(b"first start") == 2


def test_postgres_leaves_files_alone_that_are_not_its_own(client: DockerClient, nas: Nas) -> None:
    assert nas
    how = PRODUCTION["postgres"]
    volume = {"theirs": {"bind": how.data[0], "mode": "rw"}}
    shell = ["sh", "-c", "echo kept >$PGDATA/photo"]
    image = reference("postgres")
    client.containers.run(image, shell, volumes=volume, network_mode="none", remove=True)
    with pytest.raises(ContainerError, match="not empty"):
        client.containers.run(
            image,
            environment={"POSTGRES_PASSWORD": PASSWORD},
            volumes=volume,
            network_mode="none",
            remove=True,
        )
    shell = ["cat", f"{how.data[0]}/photo"]
    kept = client.containers.run(image, shell, volumes=volume, network_mode="none", remove=True)
    assert kept == b"kept\n"


def test_postgres_ends_while_a_client_is_there(nas: Nas, secrets: str) -> None:
    with nas.running("postgres", secrets) as container:
        stays = ["psql", "-U", "platform", "-d", "agents", "-c", "SELECT pg_sleep(60)"]
        container.exec_run(stays, detach=True)
        busy = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)'"
        counted = ("psql", "-qtAX", "-U", "platform", "-d", "agents", "-c", busy)
        until(lambda: run(container, *counted).strip() == "1", 10)
        code, took = ended(container)
        assert (code, took < END_SECONDS) == (0, True)


def test_a_snapshot_of_qdrant_is_recovered_in_an_empty_one(nas: Nas, secrets: str) -> None:
    headers = {"api-key": PASSWORD}
    config = {"vectors": {"size": 2, "distance": "Cosine"}}
    points = [{"id": n, "vector": [0.1, n], "payload": {"n": n}} for n in range(3)]
    with (
        nas.running("qdrant", secrets, volumes="qdrant") as container,
        httpx.Client(base_url=url(container), headers=headers) as http,
    ):
        assert httpx.get(f"{url(container)}/collections").status_code == 401
        assert http.put("/collections/notes", json=config).is_success
        assert http.put("/collections/notes/points", json={"points": points}).is_success
        made = http.post("/collections/notes/snapshots").json()["result"]
        listed = http.get("/collections/notes/snapshots").json()["result"]
        assert [one["name"] for one in listed] == [made["name"]]
        content = http.get(f"/collections/notes/snapshots/{made['name']}").content
        assert len(content) == made["size"]
        container.restart(timeout=5)
        healthy(container)
        http.base_url = url(container)
        assert http.delete("/collections/notes/snapshots/absent.snapshot").status_code == 404
        assert http.delete(f"/collections/notes/snapshots/{made['name']}").json()["result"] is True
        assert http.get("/collections/notes/snapshots").json()["result"] == []
        assert http.post("/collections/notes/points/count", json={}).json()["result"]["count"] == 3
    with (
        nas.running("qdrant", secrets, volumes="empty") as container,
        httpx.Client(base_url=url(container), headers=headers) as http,
    ):
        assert http.get("/collections").json()["result"]["collections"] == []
        form = {"snapshot": ("notes.snapshot", content)}
        assert http.post("/collections/notes/snapshots/upload", files=form).is_success
        assert http.post("/collections/notes/points/count", json={}).json()["result"]["count"] == 3
        assert http.get("/collections/notes/points/2").json()["result"]["payload"] == {"n": 2}


def test_objects_are_put_listed_and_got(nas: Nas, secrets: str) -> None:
    with nas.running("s3", secrets, volumes="s3") as container:
        run(container, "mc", "ready", "local")
        with httpx.Client(base_url=url(container), headers=KEY) as http:
            assert http.put("/backups").is_success
            assert http.put("/backups/pg/2026.dump", content=b"dump").is_success
        container.restart(timeout=5)
        healthy(container)
        with httpx.Client(base_url=url(container), headers=KEY) as http:
            assert http.get("/backups/pg/2026.dump").content == b"dump"
            assert "<Key>pg/2026.dump</Key>" in http.get("/backups", params={"list-type": 2}).text
            assert "<Name>backups</Name>" in http.get("/").text
        assert httpx.get(f"{url(container)}/backups/pg/2026.dump").status_code == 403


# The tunnel.


def test_cloudflared_joins_its_tunnel_and_leaves_it(client: DockerClient, nas: Nas) -> None:
    assert nas
    with running_cloudflare() as cloudflare:
        path = f"{cloudflare.url}/accounts/{cloudflare.account_id}/cfd_tunnel"
        with httpx.Client(headers={"Authorization": f"Bearer {cloudflare.token}"}) as http:
            tunnel = http.post(path, json={"name": "nas"}).json()["result"]["id"]
            token = http.get(f"{path}/{tunnel}/token").json()["result"]

            def status() -> str:
                return str(http.get(f"{path}/{tunnel}").json()["result"]["status"])

            container = client.containers.run(
                reference("cloudflared"),
                ["tunnel", "run"],
                environment={
                    "TUNNEL_TOKEN": token,
                    "STANDIN_CLOUDFLARE_ADMIN": cloudflare.admin_url,
                },
                # The machine's own loopback is where the emulator is.
                network_mode="host",
                read_only=True,
                detach=True,
            )
            try:
                until(lambda: status() == "healthy", 10)
                code, took = ended(container)
                assert (code, took < END_SECONDS, status()) == (0, True, "inactive")
            finally:
                container.remove(force=True)


def test_cloudflared_is_not_ready_before_it_is_connected(client: DockerClient, nas: Nas) -> None:
    assert nas
    how = PRODUCTION["cloudflared"]
    container = client.containers.run(
        reference("cloudflared"),
        how.command,
        environment={
            "TUNNEL_TOKEN": TOKEN,
            "TUNNEL_METRICS": "127.0.0.1:20241",
            "STANDIN_CLOUDFLARE_ADMIN": "http://127.0.0.1:1/_admin",
        },
        network_mode="none",
        detach=True,
    )
    try:
        until(lambda: b"not connected" in container.logs(), 10)
        until(lambda: "503" in run(container, *how.test[1:], ok=False), 10)
        code, took = ended(container)
        assert (code, took < END_SECONDS) == (0, True)
    finally:
        container.remove(force=True)


def test_cloudflared_refuses_what_is_no_token(client: DockerClient, nas: Nas) -> None:
    assert nas
    container = client.containers.run(
        reference("cloudflared"), ["tunnel", "run"], network_mode="none", detach=True
    )
    try:
        assert container.wait(timeout=10)["StatusCode"] == 1
        assert b"TUNNEL_TOKEN" in container.logs()
    finally:
        container.remove(force=True)


# What is made, and what is left alone.


def test_nothing_is_made_twice(client: DockerClient, nas: Nas) -> None:
    before = {text: client.images.get(text).id for text in REFERENCES}
    said: list[str] = []
    start = time.monotonic()
    assert set(ensure(client, REFERENCES, said.append).values()) == {"stand-in"}
    assert time.monotonic() - start < 20
    assert said == []
    assert {text: client.images.get(text).id for text in REFERENCES} == before
    assert nas


def test_an_outdated_stand_in_is_made_again_and_the_old_one_removed(client: DockerClient) -> None:
    name = "example.test/outdated:1"
    label = f"LABEL {STAND_IN_LABEL}=service agent-docker.recipe=of-last-week"
    client.api.import_image_from_data(
        _TAR, repository="example.test/outdated", tag="1", changes=[label]
    )
    old = client.images.get(name)
    assert ensure(client, {name: "service"}, print) == {name: "stand-in"}
    assert client.images.get(name).id != old.id
    assert old.id not in {image.id for image in client.images.list(all=True)}


def test_an_image_that_is_no_stand_in_is_left_alone(client: DockerClient) -> None:
    name = "example.test/theirs:1"
    client.api.import_image_from_data(_TAR, repository="example.test/theirs", tag="1")
    before = client.images.get(name).id
    assert ensure(client, {name: "postgres"}, print, pull=True) == {name: "present"}
    assert client.images.get(name).id == before


def test_a_registry_that_is_not_there_leads_to_a_stand_in(client: DockerClient) -> None:
    name = "127.0.0.1:1/agent-mesh:1"
    said: list[str] = []
    start = time.monotonic()
    assert ensure(client, {name: "service"}, said.append, pull=True) == {name: "stand-in"}
    assert time.monotonic() - start < 20
    assert "cannot be pulled" in said[1]


def test_a_digest_cannot_be_stood_in_for(client: DockerClient) -> None:
    name = f"redis:7@sha256:{'0' * 64}"
    with pytest.raises(BadReference, match="digest"):
        ensure(client, {name: "redis"}, print)


def test_busybox_serves_where_there_is_no_go(
    client: DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        standin_program.busybox()
    except StandInImpossible:
        lack("Debian's busybox-static not installed")
    monkeypatch.setattr(standin_program, "find_go", lambda _env: None)
    name = "example.test/agent-mesh:busybox"
    assert ensure(client, {name: "service"}, print) == {name: "stand-in"}
    with pytest.raises(StandInImpossible, match="Go"):
        ensure(client, {"example.test/qdrant:1": "qdrant"}, print)
    container = client.containers.run(
        name,
        environment={"PORT": "3005"},
        user="10001:10001",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        network_mode="none",
        healthcheck={"test": PRODUCTION["service"].test, "interval": 250_000_000},
        detach=True,
    )
    try:
        healthy(container)
        run(container, "standin", "get", "http://127.0.0.1:3005/health")
        code, took = ended(container)
        assert (code, took < END_SECONDS) == (0, True)
    finally:
        container.remove(force=True)


# The smallest archive: nothing in it.
_TAR = b"\0" * 10240
