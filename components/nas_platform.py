"""What all services of the NAS share: the daemon and the network on which they talk by name."""

from dataclasses import dataclass

import pulumi
from pulumi.runtime import to_json

from components.docker_kinds import NETWORK
from components.plain import Plain, given, version
from contracts.nas import NasSettings


@dataclass(frozen=True, kw_only=True)
class NasPlatformArgs:
    """`registry_password` is the secret of the registry's deploy token, where there is one."""

    settings: NasSettings
    stack: str
    registry_password: pulumi.Input[str] | None = None


class NasPlatform(pulumi.ComponentResource):
    """The daemon's provider and the network. `network` is its name, known once it is there."""

    provider: pulumi.ProviderResource
    network: pulumi.Output[str]

    def __init__(
        self, name: str, args: NasPlatformArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("agent-docker:nas:NasPlatform", name, None, opts)
        settings = args.settings
        # Never the default provider: that one would take DOCKER_HOST from whoever deploys.
        self.provider = pulumi.ProviderResource(
            "docker",
            "nas",
            given(
                host=settings.docker,
                sshOpts=to_json(list(settings.ssh_options)) if settings.ssh_options else None,
                registryAuth=_registry(args),
            ),
            pulumi.ResourceOptions(parent=self, version=version(NETWORK.package)),
        )
        network = Plain(
            NETWORK,
            "network",
            {
                "name": f"{settings.prefix}{settings.network}",
                # Whose it is, should an update be cut off before it is recorded.
                "labels": [{"label": "agent-docker.stack", "value": args.stack}],
            },
            pulumi.ResourceOptions(
                parent=self,
                provider=self.provider,
                # Two networks of one name would be two networks.
                delete_before_replace=True,
                # What other tools write there; a change would take every service down.
                ignore_changes=["labels", "options", "ipamConfigs"],
            ),
        )
        self.network = network.output("name")
        self.register_outputs({"network": self.network})


def _registry(args: NasPlatformArgs) -> pulumi.Output[str] | None:
    """The logins as providers take what is no text: as JSON."""
    registry = args.settings.registry
    if registry is None or args.registry_password is None:
        return None
    login = {"address": registry.address, "username": registry.username}
    # The provider does not know that it is one.
    password = pulumi.Output.secret(args.registry_password)
    return password.apply(lambda text: str(to_json([{**login, "password": text}])))
