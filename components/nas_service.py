"""One service of the NAS: its image, data, files and container."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, cast

import pulumi

from components.docker_kinds import CONTAINER, IMAGE, VOLUME
from components.plain import Plain, given
from contracts.services import FILES_FOLDER, Health, Service, files_name

_LABEL = "agent-docker"
# What a daemon that cannot limit swap makes of any limit, and tells back.
_UNLIMITED = -1
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
    # Whether the daemon can limit swap, and tells the limit back.
    swap_limit: bool = True
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict[str, pulumi.Input[str]])


class NasService(pulumi.ComponentResource):
    """The container and what it stands on. A change makes no other service's container anew.

    `container` is Docker's id of it, `image_id` that of its image.
    """

    container: pulumi.Output[str]
    image_id: pulumi.Output[str]
    # What others wait for when they depend on this service.
    ready: Plain

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
        image = Plain(
            IMAGE,
            name,
            # What runs, and what it may have to be put back to, is never removed.
            {"name": args.image, "keepLocally": True},
            pulumi.ResourceOptions(parent=self),
        )
        volumes = [self._volume(volume.name) for volume in args.service.volumes]
        files = self._files(image) if args.service.files else None
        self.ready = self._container(image, volumes, files, after)
        self.container, self.image_id = self.ready.id, image.output("imageId")
        self.register_outputs({"container": self.container, "image": args.image})

    def _volume(self, name: str) -> Plain:
        return Plain(
            VOLUME,
            name,
            {"name": f"{self._args.prefix}{name}"},
            pulumi.ResourceOptions(
                parent=self,
                # The data stays whatever happens to the stack; `protect` would fail a destroy.
                retain_on_delete=True,
                # Making one that exists takes it over. Its labels would replace it.
                ignore_changes=["labels", "driver", "driverOpts"],
            ),
        )

    def _files(self, image: Plain) -> "_Files":
        """The files, written by a container that is never started.

        Docker copies no files into a container whose root is read-only, into its volumes neither.
        """
        args, called = self._args, files_name(self._name)
        volume = Plain(
            VOLUME,
            called,
            {"name": f"{args.prefix}{called}"},
            pulumi.ResourceOptions(parent=self, ignore_changes=["labels", "driver", "driverOpts"]),
        )
        writer = Plain(
            CONTAINER,
            called,
            {
                "name": f"{args.prefix}{called}",
                "image": image.output("imageId"),
                "start": False,
                "mustRun": False,
                "networkMode": "none",
                "entrypoints": ["/nonexistent"],
                "labels": self._labels(role="files"),
                "volumes": [{"volumeName": volume.output("name"), "containerPath": FILES_FOLDER}],
                "uploads": [
                    {
                        "file": f"{FILES_FOLDER}/{name}",
                        "content": pulumi.Output.secret(content),
                        # Whoever the service runs as; nobody else is in its container.
                        "permissions": "0444",
                    }
                    for name, content in sorted(self._contents().items())
                ],
                "logDriver": "json-file",
                "logOpts": _LOG_OPTS,
            },
            pulumi.ResourceOptions(parent=self, delete_before_replace=True),
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
        image: Plain,
        volumes: Sequence[Plain],
        files: "_Files | None",
        after: Sequence[pulumi.Resource],
    ) -> Plain:
        args, service = self._args, self._args.service
        mounted: list[dict[str, Any]] = [
            {"volumeName": made.output("name"), "containerPath": volume.path}
            for volume, made in zip(service.volumes, volumes, strict=True)
        ]
        optional = {
            "command": list(service.command) or None,
            "cpus": None if service.cpus is None else f"{service.cpus:g}",
            "envs": _envs(service),
            "hostname": service.hostname,
            "init": service.init or None,
            "memory": service.memory_mb,
            "memorySwap": service.memory_mb if args.swap_limit else _UNLIMITED,
            "shmSize": service.shm_mb,
        }
        labels = self._labels(role="service", owner=service.owner)
        # What the settings leave out, the provider fills in from the container that runs, and
        # sees no difference. Another label it does see: the container is made anew without it.
        names = [name for name, value in optional.items() if value is not None]
        labels.append({"label": f"{_LABEL}.given", "value": ",".join(names)})
        if files is not None:
            name = files.volume.output("name")
            mounted.append({"volumeName": name, "containerPath": FILES_FOLDER, "readOnly": True})
            # New files are another writer, and with them the service is another one too. Not by
            # `replacement_trigger`: engine 3.259 reads a secret one back from the state as null.
            labels.append({"label": f"{_LABEL}.files", "value": files.writer.id})
        return Plain(
            CONTAINER,
            self._name,
            {
                "name": f"{args.prefix}{self._name}",
                "image": image.output("imageId"),
                **optional,
                "labels": labels,
                "user": service.user,
                "restart": "unless-stopped",
                # Written out: what is left unset comes back from the daemon as a difference.
                "networkMode": "bridge",
                "networksAdvanced": [{"name": args.network, "aliases": [self._name]}],
                "ports": _ports(service, args.publish),
                "volumes": mounted or None,
                "healthcheck": healthcheck(service.health, service.port),
                "readOnly": service.read_only,
                "tmpfs": dict(map(_tmpfs, service.tmpfs)) or None,
                # Spelled otherwise, what the daemon tells back would be another container.
                "capabilities": given(drops=["ALL"], adds=list(service.kept_capabilities) or None),
                "securityOpts": ["no-new-privileges:true"],
                "logDriver": "json-file",
                "logOpts": _LOG_OPTS,
                # The first for Pulumi, the second for whoever else stops it.
                "destroyGraceSeconds": service.stop_grace_seconds,
                "stopTimeout": service.stop_grace_seconds,
            },
            pulumi.ResourceOptions(
                parent=self,
                delete_before_replace=True,
                replace_on_changes=_STATE_ONLY,
                depends_on=list(after),
            ),
        )

    def _labels(self, *, role: str, owner: str | None = None) -> list[dict[str, Any]]:
        told = {"owner": owner, "role": role, "service": self._name, "stack": self._args.stack}
        return [
            {"label": f"{_LABEL}.{name}", "value": value}
            for name, value in told.items()
            if value is not None
        ]


@dataclass(frozen=True, kw_only=True)
class _Files:
    volume: Plain
    writer: Plain


_LOG_OPTS = {"max-size": "10m", "max-file": "3"}


def healthcheck(health: Health, port: int | None) -> dict[str, Any]:
    """`health` as the provider takes it."""
    return {
        "tests": list(health.test(port)),
        "interval": go_duration(health.interval_seconds),
        "timeout": go_duration(health.timeout_seconds),
        "retries": health.retries,
        "startPeriod": go_duration(health.start_period_seconds),
    }


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


def _ports(service: Service, publish: str | None) -> list[dict[str, Any]] | None:
    if publish is None or service.port is None:
        return None
    port = service.port
    return [{"internal": port, "external": port, "ip": publish, "protocol": "tcp"}]


def _tmpfs(text: str) -> tuple[str, str]:
    path, _, options = text.partition(":")
    return path, options or "rw,noexec,nosuid,size=64m"
