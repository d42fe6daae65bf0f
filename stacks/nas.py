"""The nas layer: services in the order of their dependencies, and how the internet reaches them."""

import pulumi

from components.ingress import Ingress, IngressArgs
from components.nas_platform import NasPlatform, NasPlatformArgs
from components.nas_service import NasService, NasServiceArgs
from components.postgres_schema import PostgresBootstrap, PostgresBootstrapArgs
from contracts import outputs
from contracts.errors import AgentDockerError
from contracts.fence import next_update
from contracts.nas import NasDocuments
from contracts.program import PROGRAM_VERSION
from contracts.services import TUNNEL_TOKEN
from stacks.last_update import LastUpdate
from stacks.nas_settings import read_documents
from stacks.settings import read_secrets, refuse


def build() -> None:
    """Make what the settings name; nothing when they are wrong."""
    last = LastUpdate()
    try:
        documents = read_documents(last)
        number = next_update(pulumi.Config().get_int("base"), last.output(outputs.UPDATES))
        secrets = read_secrets(documents.secrets)
    except AgentDockerError as error:
        raise refuse(error) from None
    if documents.ingress is not None:
        secrets[TUNNEL_TOKEN] = _ingress(documents)
    nas, stack = documents.nas, pulumi.get_stack()
    password = secrets.get("registry-password")
    shared = NasPlatformArgs(settings=nas, stack=stack, registry_password=password)
    platform = NasPlatform("platform", shared)
    made: dict[str, NasService] = {}
    for name in documents.services.ordered():
        service = documents.services.root[name]
        args = NasServiceArgs(
            service=service,
            image=documents.image(name),
            stack=stack,
            network=platform.network,
            prefix=nas.prefix,
            publish=nas.publish,
            swap_limit=nas.swap_limit,
            secrets=secrets,
        )
        opts = pulumi.ResourceOptions(providers=[platform.provider])
        made[name] = NasService(name, args, opts, after=[made[n].ready for n in service.depends_on])
        if service.postgres is not None:
            bootstrap = PostgresBootstrapArgs(
                schema=service.postgres,
                daemon=nas.docker,
                container=f"{nas.prefix}{name}",
                made=made[name].container,
                password=secrets[service.postgres.password],
            )
            PostgresBootstrap(f"{name}-schema", bootstrap)
    pulumi.export(outputs.SERVICES, _services(documents, last))
    # Who is held back stays so when somebody deploys who was not told of it.
    pulumi.export(outputs.HELD, {n: h.model_dump() for n, h in documents.still_held().items()})
    pulumi.export(outputs.PROGRAM, PROGRAM_VERSION)
    pulumi.export(outputs.UPDATES, number)


def _ingress(documents: NasDocuments) -> pulumi.Output[str]:
    assert documents.ingress is not None  # noqa: S101 - the caller's to see to
    ingress = Ingress("ingress", IngressArgs(settings=documents.ingress, hosts=documents.hosts()))
    pulumi.export(outputs.TUNNEL, ingress.tunnel_id)
    for name, client in ingress.clients.items():
        pulumi.export(f"access-{name}", client)
    return ingress.token


def _services(documents: NasDocuments, last: LastUpdate) -> list[dict[str, object]]:
    before = {row["name"]: row for row in last.output(outputs.SERVICES) or ()}
    return [
        documents.record(name, before.get(name)).model_dump(mode="json")
        for name in documents.services.root
    ]
