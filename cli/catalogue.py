"""The catalogue of services, made from the shipped settings of the nas stack. Pure text."""

from collections.abc import Mapping
from typing import Any

from cli.reference import ROOT, table
from cli.settings import read_yaml
from contracts.program import PROJECT
from contracts.services import Service, Services


def shipped() -> Mapping[str, Any]:
    """The documents of Pulumi.nas.yaml, keys without the project's name."""
    config: Mapping[str, Any] = read_yaml(ROOT / "Pulumi.nas.yaml")["config"]
    return {key.removeprefix(f"{PROJECT}:"): value for key, value in config.items()}


def services_table() -> str:
    """Every service that is shipped."""
    services = Services.model_validate(shipped()["services"]).root
    return table(
        ["service", "port", "image", "owner", "depends on", "data", "memory", "checked by"],
        [_row(name, service) for name, service in services.items()],
    )


def hosts_table() -> str:
    """Every host of the shipped services, in the order of the tunnel's rules."""
    services = Services.model_validate(shipped()["services"]).root
    zone = shipped()["ingress"]["zone"]
    return table(
        ["host", "service", "who may come"],
        [
            [
                f"`{service.host.name}.{zone}`",
                f"{name}:{service.port}",
                "anyone" if service.host.public else "whom Cloudflare Access lets in",
            ]
            for name, service in services.items()
            if service.host is not None
        ],
    )


def _row(name: str, service: Service) -> list[str]:
    return [
        f"`{name}`",
        "-" if service.port is None else str(service.port),
        f"`{service.image}`",
        service.owner,
        ", ".join(service.depends_on) or "-",
        ", ".join(f"`{volume.name}`" for volume in service.volumes) or "-",
        f"{service.memory_mb} MiB",
        _check(service),
    ]


def _check(service: Service) -> str:
    if service.health.http is not None:
        return f"`GET {service.health.http}`"
    command = service.health.command
    words = command[1].split() if command[0] == "CMD-SHELL" else command[1:]
    programs = ("pg_isready", "redis-cli", "bash", "cloudflared", "python")
    return next((f"`{word}`" for word in words if word in programs), f"`{words[0]}`")
