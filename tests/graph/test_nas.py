"""The graph of the NAS: names, parents, order, secrets, and what a change may not touch."""

from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks

from components.nas_service import NasService, NasServiceArgs
from components.postgres_schema import bootstrap_sql
from contracts.services import PostgresSchema, Service
from localcloud.plugins.docker.sameness import same
from stacks import nas
from tests.graph.conftest import REFERENCE_TYPE, Graph, Json, Resource
from tests.unit.nas_documents import ACCOUNT, ZONE, by_name, service, shipped

CONTAINER = "docker:index/container:Container"
COMMAND = "command:local:Command"
IMAGE = "docker:index/remoteImage:RemoteImage"
NETWORK = "docker:index/network:Network"
VOLUME = "docker:index/volume:Volume"
TUNNEL = "cloudflare:index/zeroTrustTunnelCloudflared:ZeroTrustTunnelCloudflared"
RULES = "cloudflare:index/zeroTrustTunnelCloudflaredConfig:ZeroTrustTunnelCloudflaredConfig"
RECORD = "cloudflare:index/dnsRecord:DnsRecord"
POLICY = "cloudflare:index/zeroTrustAccessPolicy:ZeroTrustAccessPolicy"
APPLICATION = "cloudflare:index/zeroTrustAccessApplication:ZeroTrustAccessApplication"
CLIENT = "cloudflare:index/zeroTrustAccessServiceToken:ZeroTrustAccessServiceToken"
GET = "getZeroTrustTunnelCloudflaredToken"
GET_TUNNEL = f"cloudflare:index/{GET}:{GET}"
COMPONENTS = {
    "agent-docker:nas:NasPlatform",
    "agent-docker:nas:NasService",
    "agent-docker:nas:Ingress",
    "agent-docker:nas:PostgresBootstrap",
    "pulumi:providers:docker",
}
MADE = {
    CONTAINER: {},
    NETWORK: {},
    VOLUME: {},
    RULES: {},
    RECORD: {},
    POLICY: {},
    TUNNEL: {},
    COMMAND: {},
    APPLICATION: {"aud": "f" * 64},
    CLIENT: {"clientId": "client", "clientSecret": "canary-client"},
}
CANARIES = {
    name: f"canary-{name}"
    for name in (
        "minio-password",
        "postgres-password",
        "redis-password",
        "pulumi-backend-url",
        "pulumi-passphrase",
        "tailscale-auth-key",
        "vastai-api-key",
    )
}


class NasCloud(mocks.Mocks):
    """Makes what the nas stack needs; any other type or input-less call is a mistake."""

    def __init__(self, last: Json) -> None:
        self.last = last

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, Json]:
        if args.typ == REFERENCE_TYPE:
            return "reference", {"name": args.name, "outputs": self.last, "secretOutputNames": []}
        if args.typ == IMAGE:
            return args.name, args.inputs | {"imageId": f"sha256:{args.inputs['name']}"}
        if args.typ in MADE:
            return f"id-{args.name}", args.inputs | MADE[args.typ]
        if args.typ in COMPONENTS:
            return args.name, {}
        raise AssertionError(f"unexpected resource {args.typ} {args.name}")

    def call(self, args: mocks.MockCallArgs) -> tuple[Json, list[tuple[str, str]]]:
        assert args.token == GET_TUNNEL, args.token
        assert args.args == {"accountId": ACCOUNT, "tunnelId": "id-tunnel"}
        return {**args.args, "token": "canary-tunnel", "id": "x"}, []


@pytest.fixture
def graph() -> Graph:
    config = shipped() | {"secrets": CANARIES}
    return Graph(config=config, stack="nas", cloud=NasCloud, secret=("secrets",))


@pytest.fixture
def built(graph: Graph) -> Graph:
    graph.exports = graph.run(nas.build)
    return graph


def named(graph: Graph, type_: str) -> dict[str, Resource]:
    return {resource.name: resource for resource in graph.of(type_)}


def container(graph: Graph, name: str) -> Json:
    return named(graph, CONTAINER)[name].inputs


def test_each_service_has_a_container_and_its_image(built: Graph) -> None:
    names = set(by_name(shipped()))
    containers = named(built, CONTAINER)
    assert {name for name in containers if not name.endswith("-files")} == names
    assert set(named(built, IMAGE)) == names
    for name in names:
        made = containers[name]
        assert made.inputs["image"] == f"sha256:{by_name(shipped())[name]['image']}"
        assert made.parent == name
        assert made.provider == "nas"
        assert made.delete_before_replace
        assert set(made.replace_on_changes) == {"healthcheck", "tmpfs", "init"}


def test_nothing_a_daemon_fills_in_is_left_open(built: Graph) -> None:
    for name in by_name(shipped()):
        made = container(built, name)
        assert made["restart"] == "unless-stopped"
        assert made["memory"] == made["memorySwap"] > 0
        assert made["networkMode"] == "bridge"
        assert made["networksAdvanced"] == [{"name": "agent-platform", "aliases": [name]}]
        assert made["logOpts"] == {"max-size": "10m", "max-file": "3"}
        assert made["capabilities"]["drops"] == ["ALL"]
        assert made["securityOpts"] == ["no-new-privileges:true"]
        assert made["readOnly"] is True
        assert made["healthcheck"]["tests"]
        for port in made.get("ports", ()):
            assert port["ip"] == "127.0.0.1"


def test_capabilities_are_spelled_as_the_daemon_tells_them_back(graph: Graph) -> None:
    record = by_name({"services": graph.config["services"]})["minio"]
    record["capabilities"] = ["DAC_OVERRIDE", "CAP_CHOWN", "CHOWN"]
    graph.run(nas.build)
    told: Json = {"adds": ["CAP_CHOWN", "CAP_DAC_OVERRIDE"], "drops": ["ALL"]}
    assert container(graph, "minio")["capabilities"] == told
    assert same("capabilities", told, container(graph, "minio")["capabilities"])
    # One that keeps none says nothing of any.
    assert container(graph, "redis")["capabilities"] == {"drops": ["ALL"]}


@pytest.mark.parametrize(("swap_limit", "swap"), [(True, 64), (False, -1)])
def test_without_a_limit_of_swap_none_is_asked_for(
    graph: Graph,
    swap_limit: bool,  # noqa: FBT001 - a case
    swap: int,
) -> None:
    one = Service.model_validate(service(memoryMb=64))
    args = NasServiceArgs(
        service=one, image=one.image, stack="nas", network="n", swap_limit=swap_limit
    )
    graph.run(lambda: NasService("a", args) and None)
    made = container(graph, "a")
    assert (made["memory"], made["memorySwap"]) == (64, swap)


def test_durations_are_spelled_as_go_prints_them(built: Graph) -> None:
    check = container(built, "postgres")["healthcheck"]
    assert (check["interval"], check["startPeriod"]) == ("10s", "1m0s")
    assert container(built, "autoscaler")["healthcheck"]["startPeriod"] == "1m0s"


def test_data_outlives_the_stack_and_files_do_not(built: Graph) -> None:
    volumes = named(built, VOLUME)
    data = {"minio-data", "postgres-data", "redis-data", "qdrant-data", "qdrant-snapshots"}
    kept = {name for name, made in volumes.items() if made.retain_on_delete}
    assert kept == {*data, "autoscaler-state"}
    assert all("labels" in made.ignore_changes for made in volumes.values())


def test_the_network_is_never_made_twice(built: Graph) -> None:
    (network,) = built.of(NETWORK)
    assert network.delete_before_replace
    assert {"labels", "options"} <= set(network.ignore_changes)
    assert network.inputs["labels"] == [{"label": "agent-docker.stack", "value": "nas"}]
    assert network.parent == "platform"


def test_a_service_comes_after_what_it_depends_on(built: Graph) -> None:
    after = named(built, CONTAINER)["workflow-engine"].dependencies
    assert {"postgres", "redis"} <= set(after)


def secret(value: Any) -> bool:  # noqa: ANN401 - as the engine takes it
    return isinstance(value, dict) and len(value) == 2


def test_files_are_written_by_a_container_that_never_runs(built: Graph) -> None:
    writer = named(built, CONTAINER)["redis-files"]
    made = writer.inputs
    assert (made["start"], made["mustRun"], made["networkMode"]) == (False, False, "none")
    assert made["volumes"] == [
        {"volumeName": "redis-files", "containerPath": "/run/secrets"},
    ]
    files = {upload["file"]: upload for upload in made["uploads"]}
    conf = files["/run/secrets/redis.conf"]
    assert conf["permissions"] == "0444"
    # A secret has a signature beside its value.
    assert secret(conf["content"])
    assert "requirepass canary-redis-password" in str(conf["content"])
    mounted = container(built, "redis")["volumes"]
    assert {
        "volumeName": "redis-files",
        "containerPath": "/run/secrets",
        "readOnly": True,
    } in mounted
    labels = {row["label"]: row["value"] for row in container(built, "redis")["labels"]}
    assert labels["agent-docker.files"] == "id-redis-files"


def test_what_a_container_was_given_is_in_a_label(graph: Graph) -> None:
    """A provider fills in what is left out: only the label tells that it was there before."""
    given = [told(graph)]
    record = by_name({"services": graph.config["services"]})["redis"]
    del record["command"]
    given.append(told(graph))
    record |= {"hostname": "cache", "shmMb": 64}
    given.append(told(graph))
    assert given == [
        "command,envs,memory,memorySwap",
        "envs,memory,memorySwap",
        "envs,hostname,memory,memorySwap,shmSize",
    ]


def told(graph: Graph) -> str:
    graph.seen.clear()
    graph.run(nas.build)
    labels = {row["label"]: row["value"] for row in container(graph, "redis")["labels"]}
    return str(labels["agent-docker.given"])


def test_a_daemon_that_counts_no_swap_is_told_no_limit(graph: Graph) -> None:
    graph.config["nas"]["swapLimit"] = False
    graph.run(nas.build)
    made = container(graph, "redis")
    assert made["memorySwap"] == -1
    assert made["memory"] > 0


def test_secrets_are_in_files_only(built: Graph) -> None:
    for resource in built.seen:
        hidden = {"uploads", "stdin"}
        text = str({k: v for k, v in resource.inputs.items() if k not in hidden})
        assert "canary" not in text, resource.name
        for upload in resource.inputs.get("uploads", ()):
            assert secret(upload["content"])


def test_the_port_is_told_unless_the_settings_do(built: Graph) -> None:
    assert "PORT=3005" in container(built, "agent-mesh")["envs"]
    assert container(built, "agent-mesh")["envs"] == sorted(container(built, "agent-mesh")["envs"])


def test_a_database_has_what_it_must_have_after_each_start(built: Graph) -> None:
    (made,) = built.of(COMMAND)
    assert made.inputs["logging"] == "none"
    assert "canary" not in made.inputs["create"]
    assert secret(made.inputs["stdin"])
    assert "PASSWORD 'canary-postgres-password';" in made.inputs["stdin"]["value"]
    assert "id-postgres" in str(made.inputs["triggers"])


def test_sql_of_a_bootstrap_may_run_again() -> None:
    schema = PostgresSchema.model_validate(
        {
            "role": "agent",
            "database": "one",
            "password": "pg",
            "databases": ["two"],
            "extensions": ["vector"],
        }
    )
    assert bootstrap_sql(schema, "it's") == (
        "SET log_min_error_statement = panic;\n"
        "SET log_statement = 'none';\n"
        "ALTER ROLE \"agent\" PASSWORD 'it''s';\n"
        "SELECT 'CREATE DATABASE \"two\"' WHERE NOT EXISTS "
        "(SELECT FROM pg_database WHERE datname = 'two')\\gexec\n"
        '\\connect "one"\n'
        'CREATE EXTENSION IF NOT EXISTS "vector";\n'
        '\\connect "two"\n'
        'CREATE EXTENSION IF NOT EXISTS "vector";\n'
    )


# The ingress.


def test_rules_are_in_order_and_the_last_is_404(built: Graph) -> None:
    (rules,) = built.of(RULES)
    ingresses = rules.inputs["config"]["ingresses"]
    assert [rule.get("hostname", "").partition(".")[0] for rule in ingresses] == [
        *("api", "mesh", "storage", "compliance", "router", "brain", "workflows"),
        "",
    ]
    assert ingresses[-1] == {"service": "http_status:404"}
    assert ingresses[0] == {
        "hostname": "api.blueflyagents.com",
        "service": "http://gitlab-webhook-server:3001",
    }


def test_access_stands_before_all_but_the_webhooks_and_first(built: Graph) -> None:
    applications = named(built, APPLICATION)
    hosts = {made.inputs["domain"].partition(".")[0] for made in applications.values()}
    assert hosts == {"mesh", "storage", "compliance", "router", "brain", "workflows"}
    for made in applications.values():
        assert [row["id"] for row in made.inputs["policies"]] == ["id-people", "id-machines"]
        assert made.inputs["sessionDuration"] == "24h"
    (rules,) = built.of(RULES)
    assert set(applications) <= set(rules.dependencies)


def test_policies_name_people_and_machines(built: Graph) -> None:
    policies = named(built, POLICY)
    assert policies["people"].inputs["includes"] == [{"email": {"email": "someone@example.com"}}]
    assert policies["machines"].inputs["decision"] == "non_identity"
    assert policies["machines"].inputs["includes"] == [{"serviceToken": {"tokenId": "id-ci"}}]


def test_names_are_proxied_and_come_after_the_rules(built: Graph) -> None:
    records = named(built, RECORD)
    assert len(records) == 7
    for made in records.values():
        assert (made.inputs["type"], made.inputs["proxied"], made.inputs["ttl"]) == (
            "CNAME",
            True,
            1,
        )
        assert made.inputs["content"] == "id-tunnel.cfargotunnel.com"
        assert made.inputs["zoneId"] == ZONE
        assert "rules" in made.dependencies


def test_a_tunnel_that_exists_is_taken_over_and_left_behind(built: Graph) -> None:
    (tunnel,) = built.of(TUNNEL)
    assert tunnel.import_id == f"{ACCOUNT}/f6da7bdf-d0f8-4796-a804-afb7984bbe11"
    assert tunnel.retain_on_delete
    assert tunnel.inputs["configSrc"] == "cloudflare"


def test_a_new_tunnel_goes_with_the_stack(graph: Graph) -> None:
    del graph.config["ingress"]["tunnelId"]
    graph.run(nas.build)
    (tunnel,) = graph.of(TUNNEL)
    assert (tunnel.import_id, tunnel.retain_on_delete) == ("", False)


def test_the_connector_starts_after_the_rules(built: Graph) -> None:
    files = named(built, CONTAINER)["cloudflared-files"]
    (upload,) = files.inputs["uploads"]
    assert secret(upload["content"])
    assert "canary-tunnel" in str(upload["content"])


def test_with_a_team_the_connector_checks_who_was_let_in(graph: Graph) -> None:
    graph.config["ingress"]["team"] = "team"
    graph.run(nas.build)
    (rules,) = graph.of(RULES)
    public, guarded = rules.inputs["config"]["ingresses"][:2]
    assert "originRequest" not in public
    access = guarded["originRequest"]["access"]
    assert access == {"required": True, "teamName": "team", "audTags": ["f" * 64]}


def test_without_an_ingress_nothing_of_cloudflare_is_made(graph: Graph) -> None:
    del graph.config["ingress"]
    graph.config["services"] = [s for s in graph.config["services"] if s["name"] != "cloudflared"]
    graph.run(nas.build)
    assert not [r for r in graph.seen if r.type.startswith("cloudflare:")]


# Outputs, and mistakes.


def test_outputs_say_what_runs(built: Graph) -> None:
    exports: Json = built.exports
    rows = {row["name"]: row for row in exports["services"]}
    assert rows["redis"]["container"] == "redis"
    assert rows["agent-mesh"]["host"] == "mesh.blueflyagents.com"
    assert rows["gitlab-webhook-server"]["public"] is True
    assert exports["updates"] == 1
    assert exports["held"] == {}
    assert exports["tunnel"] == "id-tunnel"


def test_a_service_stays_held_back_when_somebody_deploys(graph: Graph) -> None:
    image = by_name(graph.config)["redis"]["image"]
    held = {"redis": {"failed": image, "image": "redis:7.0.0", "reason": "r"}}
    graph.last = {"held": held, "services": [], "updates": 4}
    exports = graph.run(nas.build)
    assert named(graph, IMAGE)["redis"].inputs["name"] == "redis:7.0.0"
    assert exports["held"] == held
    # A document of one's own wins, an empty one too.
    graph.config["held"] = {}
    assert graph.run(nas.build)["held"] == {}


def test_missing_secrets_end_it_before_anything_is_made(graph: Graph) -> None:
    graph.config["secrets"] = {}
    with pytest.raises(pulumi.RunError, match="agent-docker:secrets lacks minio-password"):
        graph.run(nas.build)
    assert not graph.of(CONTAINER)


def test_a_prefix_keeps_two_stacks_on_one_daemon_apart(graph: Graph) -> None:
    graph.config["nas"]["prefix"] = "local-"
    graph.run(nas.build)
    made = container(graph, "redis")
    assert made["name"] == "local-redis"
    assert made["networksAdvanced"] == [{"name": "local-agent-platform", "aliases": ["redis"]}]
    names = {made.inputs["name"] for made in graph.of(VOLUME)}
    assert all(name.startswith("local-") for name in names)


def test_what_guards_a_host_goes_by_the_host_not_by_its_service(built: Graph) -> None:
    labels = {"mesh", "storage", "compliance", "router", "brain", "workflows"}
    assert set(named(built, APPLICATION)) == labels
    assert set(named(built, RECORD)) == {*labels, "api"}
