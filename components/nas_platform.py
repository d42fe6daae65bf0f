"""What all services of the NAS share: the daemon and the network on which they talk by name."""

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from contracts.nas import NasSettings


@dataclass(frozen=True, kw_only=True)
class NasPlatformArgs:
    """`registry_password` is the secret of the registry's deploy token, where there is one."""

    settings: NasSettings
    registry_password: pulumi.Input[str] | None = None


class NasPlatform(pulumi.ComponentResource):
    """The daemon's provider and the network. `network` is its name, known once it is there."""

    provider: docker.Provider
    network: pulumi.Output[str]

    def __init__(
        self, name: str, args: NasPlatformArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("agent-docker:nas:NasPlatform", name, None, opts)
        settings = args.settings
        # Never the default provider: that one would take DOCKER_HOST from whoever deploys.
        self.provider = docker.Provider(
            "nas",
            host=settings.docker,
            ssh_opts=list(settings.ssh_options) or None,
            registry_auth=_registry(args),
            opts=pulumi.ResourceOptions(parent=self),
        )
        network = docker.Network(
            "network",
            name=f"{settings.prefix}{settings.network}",
            opts=pulumi.ResourceOptions(
                parent=self,
                provider=self.provider,
                # Two networks of one name would be two networks.
                delete_before_replace=True,
                # What other tools write there; a change would take every service down.
                ignore_changes=["labels", "options", "ipamConfigs"],
            ),
        )
        self.network = network.name
        self.register_outputs({"network": self.network})


def _registry(args: NasPlatformArgs) -> list[docker.ProviderRegistryAuthArgs] | None:
    registry = args.settings.registry
    if registry is None or args.registry_password is None:
        return None
    return [
        docker.ProviderRegistryAuthArgs(
            address=registry.address,
            username=registry.username,
            # The SDK does not know that it is one.
            password=pulumi.Output.secret(args.registry_password),
        )
    ]
