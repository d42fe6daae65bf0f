"""One service of the NAS: its image, data, files and container."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, cast

import pulumi
import pulumi_docker as docker

from contracts.services import FILES_FOLDER, Health, Service

_LABEL = "agent-docker"
# What the daemon is not told of unless the container is made anew.
_STATE_ONLY = ["healthcheck", "tmpfs", "init"]


@dataclass(frozen=True, kw_only=True)
class NasServiceArgs:
    """`image` is the reference that is run, `secrets` are what its files may name."""

    service: Service
    image: str
    stack: str
    network: pulumi.Input[str]
    prefix: str = ""
    publish: str | None = None
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict[str, pulumi.Input[str]])


class NasService(pulumi.ComponentResource):
    """The container and what it stands on. A change makes no other service's container anew.

    `container` is Docker's id of it, `image_id` that of its image.
    """

    container: pulumi.Output[str]
    image_id: pulumi.Output[str]
    # What others wait for when they depend on this service.
    ready: docker.Container

    def __init__(
        self,
        name: str,
        args: NasServiceArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        after: Sequence[pulumi.Resource] = (),
    ) -> None:
        super().__init__("agent-docker:nas:NasService", name, None, opts)
        self._name, self._args = name, args
        image = docker.RemoteImage(
            name,
            name=args.image,
            # What runs, and what it may have to be put back to, is never removed.
            keep_locally=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
        volumes = [self._volume(volume.name) for volume in args.service.volumes]
        files = self._files(image) if args.service.files else None
        self.ready = self._container(image, volumes, files, after)
        self.container, self.image_id = self.ready.id, image.image_id
        self.register_outputs({"container": self.container, "image": args.image})

    def _volume(self, name: str) -> docker.Volume:
        return docker.Volume(
            name,
            name=f"{self._args.prefix}{name}",
            opts=pulumi.ResourceOptions(
                parent=self,
                # The data stays whatever happens to the stack; `protect` would fail a destroy.
                retain_on_delete=True,
                # Making one that exists takes it over. Its labels would replace it.
                ignore_changes=["labels", "driver", "driverOpts"],
            ),
        )

    def _files(self, image: docker.RemoteImage) -> "_Files":
        """The files, written by a container that is never started.

        Docker copies no files into a container whose root is read-only, into its volumes neither.
        """
        args = self._args
        volume = docker.Volume(
            f"{self._name}-files",
            name=f"{args.prefix}{self._name}-files",
            opts=pulumi.ResourceOptions(
                parent=self, ignore_changes=["labels", "driver", "driverOpts"]
            ),
        )
        writer = docker.Container(
            f"{self._name}-files",
            name=f"{args.prefix}{self._name}-files",
            image=image.image_id,
            start=False,
            must_run=False,
            network_mode="none",
            entrypoints=["/nonexistent"],
            labels=self._labels(role="files"),
            volumes=[
                docker.ContainerVolumeArgs(volume_name=volume.name, container_path=FILES_FOLDER)
            ],
            uploads=[
                docker.ContainerUploadArgs(
                    file=f"{FILES_FOLDER}/{name}",
                    content=pulumi.Output.secret(content),
                    # Whoever the service runs as; nobody else is in its container.
                    permissions="0444",
                )
                for name, content in sorted(self._contents().items())
            ],
            log_driver="json-file",
            log_opts=_LOG_OPTS,
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        return _Files(volume=volume, writer=writer)

    def _contents(self) -> dict[str, pulumi.Output[str]]:
        service, secrets = self._args.service, self._args.secrets
        known = {name: secrets[name] for name in sorted(service.secrets)}
        given: pulumi.Output[dict[str, str]] = cast("Any", pulumi.Output.from_input(known))
        whole = given.apply(service.rendered)
        return {name: whole.apply(itemgetter(name)) for name in service.files}

    def _container(
        self,
        image: docker.RemoteImage,
        volumes: Sequence[docker.Volume],
        files: "_Files | None",
        after: Sequence[pulumi.Resource],
    ) -> docker.Container:
        args, service = self._args, self._args.service
        mounted = [
            docker.ContainerVolumeArgs(volume_name=made.name, container_path=volume.path)
            for volume, made in zip(service.volumes, volumes, strict=True)
        ]
        labels = self._labels(role="service", owner=service.owner)
        if files is not None:
            mounted.append(
                docker.ContainerVolumeArgs(
                    volume_name=files.volume.name, container_path=FILES_FOLDER, read_only=True
                )
            )
            # New files are another writer, and with them the service is another one too.
            labels.append(docker.ContainerLabelArgs(label=f"{_LABEL}.files", value=files.writer.id))
        return docker.Container(
            self._name,
            name=f"{args.prefix}{self._name}",
            image=image.image_id,
            command=list(service.command) or None,
            envs=_envs(service),
            labels=labels,
            hostname=service.hostname,
            user=service.user,
            init=service.init or None,
            restart="unless-stopped",
            # Written out: what is left unset comes back from the daemon as a difference.
            network_mode="bridge",
            networks_advanced=[
                docker.ContainerNetworksAdvancedArgs(name=args.network, aliases=[self._name])
            ],
            ports=_ports(service, args.publish),
            volumes=mounted or None,
            healthcheck=healthcheck(service.health, service.port),
            memory=service.memory_mb,
            memory_swap=service.memory_mb,
            shm_size=service.shm_mb,
            cpus=None if service.cpus is None else f"{service.cpus:g}",
            read_only=service.read_only,
            tmpfs=dict(map(_tmpfs, service.tmpfs)) or None,
            capabilities=docker.ContainerCapabilitiesArgs(
                drops=["ALL"], adds=list(service.capabilities) or None
            ),
            security_opts=["no-new-privileges:true"],
            log_driver="json-file",
            log_opts=_LOG_OPTS,
            # The first for Pulumi, the second for whoever else stops it.
            destroy_grace_seconds=service.stop_grace_seconds,
            stop_timeout=service.stop_grace_seconds,
            opts=pulumi.ResourceOptions(
                parent=self,
                delete_before_replace=True,
                replace_on_changes=_STATE_ONLY,
                depends_on=list(after),
            ),
        )

    def _labels(self, *, role: str, owner: str | None = None) -> list[docker.ContainerLabelArgs]:
        told = {"owner": owner, "role": role, "service": self._name, "stack": self._args.stack}
        return [
            docker.ContainerLabelArgs(label=f"{_LABEL}.{name}", value=value)
            for name, value in told.items()
            if value is not None
        ]


@dataclass(frozen=True, kw_only=True)
class _Files:
    volume: docker.Volume
    writer: docker.Container


_LOG_OPTS = {"max-size": "10m", "max-file": "3"}


def healthcheck(health: Health, port: int | None) -> docker.ContainerHealthcheckArgs:
    """`health` as Docker takes it."""
    return docker.ContainerHealthcheckArgs(
        tests=list(health.test(port)),
        interval=go_duration(health.interval_seconds),
        timeout=go_duration(health.timeout_seconds),
        retries=health.retries,
        start_period=go_duration(health.start_period_seconds),
    )


def go_duration(seconds: int) -> str:
    """`seconds` as Go prints a duration, e.g. `1m30s`; any other spelling never settles."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _envs(service: Service) -> list[str] | None:
    port = {} if service.port is None else {"PORT": str(service.port)}
    return [f"{name}={value}" for name, value in sorted((port | service.env).items())] or None


def _ports(service: Service, publish: str | None) -> list[docker.ContainerPortArgs] | None:
    if publish is None or service.port is None:
        return None
    return [
        docker.ContainerPortArgs(
            internal=service.port, external=service.port, ip=publish, protocol="tcp"
        )
    ]


def _tmpfs(text: str) -> tuple[str, str]:
    path, _, options = text.partition(":")
    return path, options or "rw,noexec,nosuid,size=64m"
