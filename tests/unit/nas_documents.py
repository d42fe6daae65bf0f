"""The shipped settings of the NAS, and small ones."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from contracts.nas import NasDocuments
from contracts.settings import parse

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT, ZONE = "a" * 32, "b" * 32


def shipped() -> dict[str, Any]:
    """The documents of Pulumi.nas.yaml, with what each user fills in."""
    config = YAML(typ="safe").load(ROOT / "Pulumi.nas.yaml")["config"]
    documents = {key.removeprefix("agent-docker:"): value for key, value in config.items()}
    access = {"emails": ["someone@example.com"], "serviceTokens": ["ci"]}
    documents["ingress"] |= {"accountId": ACCOUNT, "zoneId": ZONE, "access": access}
    return documents


def service(**more: object) -> dict[str, Any]:
    return {"image": "registry.test/a:1.0", "port": 3000, "health": {"http": "/health"}, **more}


def rows(services: dict[str, Any]) -> list[dict[str, Any]]:
    """Services as the settings list them."""
    return [{"name": name, **service} for name, service in services.items()]


def by_name(settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in settings["services"]}


def documents(services: dict[str, Any], **more: object) -> NasDocuments:
    given = {"nas": {"docker": "unix:///run/docker.sock"}, "services": rows(services), **more}
    return parse(NasDocuments, given, where="Pulumi.nas.yaml", key="agent-docker")


def ingress(**more: object) -> dict[str, Any]:
    access = {"emails": ["someone@example.com"]}
    base = {"zone": "example.com", "accountId": ACCOUNT, "zoneId": ZONE, "access": access}
    return base | more
