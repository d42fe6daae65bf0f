"""The secrets of one cluster: tokens, the key that signs tokens, and kubeconfigs. Files, all 0600.

They are made once per data folder, so that a cluster which is started again is still the same one.
"""

import base64
import json
import os
import secrets
from pathlib import Path
from typing import Any

# Who may come in: name in tokens.csv and, for all but the person, of a component.
ADMIN = "admin"
CONTROLLERS = "system:kube-controller-manager"
SCHEDULER = "system:kube-scheduler"
NODES = "kwok"
# What RBAC lets do everything. The other two have roles of their own, as in production.
_MASTERS = {ADMIN: "system:masters", NODES: "system:masters"}
USERS = (ADMIN, CONTROLLERS, SCHEDULER, NODES)

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def make_tokens(path: Path) -> dict[str, str]:
    """Return each user's token out of `path`, a token file of the API server; made if need be."""
    if not path.exists():
        lines = [
            f'{secrets.token_urlsafe(32)},{user},{user},"{_MASTERS.get(user, "")}"\n'
            for user in USERS
        ]
        write_private(path, "".join(lines))
    rows = (line.split(",") for line in path.read_text().splitlines())
    return {row[1]: row[0] for row in rows}


def make_signing_key(path: Path) -> None:
    """Make the key of service accounts' tokens if need be: P-256, as SEC 1 in PEM.

    The public half is left out, as the standard allows: Go computes it.
    """
    if path.exists():
        return
    number = (1 + secrets.randbelow(_P256_ORDER - 1)).to_bytes(32, "big")
    # SEQUENCE { 1, OCTET STRING number, [0] prime256v1 }
    der = bytes.fromhex("30310201010420") + number + bytes.fromhex("a00a06082a8648ce3d030107")
    body = base64.b64encode(der).decode()
    write_private(path, f"-----BEGIN EC PRIVATE KEY-----\n{body}\n-----END EC PRIVATE KEY-----\n")


def kubeconfig(server: str, certificate: bytes, user: str, token: str) -> dict[str, Any]:
    """Return a kubeconfig that trusts `certificate` (PEM) alone."""
    trusted = base64.b64encode(certificate).decode()
    name = "agent-docker-local"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": server, "certificate-authority-data": trusted}}
        ],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        "current-context": name,
    }


def write_kubeconfig(path: Path, content: dict[str, Any]) -> None:
    """Write it; JSON is YAML too."""
    write_private(path, json.dumps(content, indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file, whole or not at all, that nobody else may read at any time."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.replace(path)
