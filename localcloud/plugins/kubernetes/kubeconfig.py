"""The way to the API server, as the provider's kubeconfig says and nothing else.

The shell's KUBECONFIG, ~/.kube and a pod's own account are not looked at, and no program that a
kubeconfig names is run: the local profile must not reach a cluster that nobody named to it.
"""

import base64
import binascii
import json
import ssl
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from localcloud.plugins.kubernetes.shapes import PROVIDER_SUPPORTED
from localcloud.plugins.model import PluginError
from localcloud.plugins.values import Properties, Values, flag_of, map_of, maps_of, text_of

_CLUSTER = frozenset(
    {"certificate-authority", "certificate-authority-data", "extensions", "server"}
    | {"insecure-skip-tls-verify", "tls-server-name"}
)
_USER = frozenset(
    {"client-certificate", "client-certificate-data", "client-key", "client-key-data"}
    | {"extensions", "token", "tokenFile"}
)


@dataclass(frozen=True)
class Access:
    """One server and how to speak to it. `tls` is None for plain http."""

    server: str
    context: str
    namespace: str
    tls: ssl.SSLContext | None
    tls_name: str
    token: str
    token_file: Path | None

    def headers(self) -> dict[str, str]:
        """The authorization; a token's file is read anew, as its content is renewed."""
        token = self.token
        if self.token_file is not None:
            try:
                token = self.token_file.read_text().strip()
            except OSError as error:
                raise PluginError(f"the kubeconfig's tokenFile cannot be read: {error}") from error
        return {"Authorization": f"Bearer {token}"} if token else {}


def access(settings: Properties) -> Access:
    """Read the provider's settings. Raises PluginError for what is missing or not supported."""
    refused = sorted(name for name in settings if name not in PROVIDER_SUPPORTED)
    if "enableServerSideApply" in settings and not flag_of(settings, "enableServerSideApply"):
        refused.append("enableServerSideApply=false")
    if refused:
        raise PluginError(
            f"the offline kubernetes plugin does not do the provider's {', '.join(refused)}\n"
            f"hint: it takes {', '.join(sorted(PROVIDER_SUPPORTED))}"
        )
    given = text_of(settings, "kubeconfig")
    if not given.strip():
        raise PluginError(
            "the kubernetes provider has no kubeconfig\n"
            "hint: set its `kubeconfig` to the contents or the path of one; the offline plugin"
            " reads neither $KUBECONFIG nor ~/.kube"
        )
    text, folder = _contents(given)
    return _access(_parsed(text), folder, settings)


def _contents(given: str) -> tuple[str, Path]:
    if "\n" in given.strip() or given.lstrip().startswith("{"):
        return given, Path()
    path = Path(given).expanduser()
    try:
        return path.read_text(), path.parent
    except OSError as error:
        raise PluginError(f"the kubeconfig cannot be read: {error}") from error


def _parsed(text: str) -> Values:
    parsed: Any
    try:
        parsed = json.loads(text)
    except ValueError:
        # Its import takes longer than the whole of a JSON one.
        from ruamel.yaml import YAML  # noqa: PLC0415
        from ruamel.yaml.error import YAMLError  # noqa: PLC0415

        try:
            parsed = YAML(typ="safe", pure=False).load(text)
        except YAMLError:
            parsed = None  # its text would quote the line, a token perhaps
    if not isinstance(parsed, dict):
        raise PluginError("the kubeconfig is neither YAML nor JSON of an object")
    return cast("Values", parsed)


def _access(config: Values, folder: Path, settings: Properties) -> Access:
    context_name = text_of(settings, "context") or text_of(config, "current-context")
    if not context_name:
        raise PluginError("the kubeconfig has no current-context\nhint: set the provider's context")
    context = _named(config, "contexts", "context", context_name)
    cluster = _named(config, "clusters", "cluster", text_of(context, "cluster"))
    user: Values = {}
    if text_of(context, "user"):
        user = _named(config, "users", "user", text_of(context, "user"))
    _only(cluster, _CLUSTER, f"cluster {text_of(context, 'cluster')}")
    _only(user, _USER, f"user {text_of(context, 'user')}")
    server = text_of(cluster, "server").rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise PluginError(f"the kubeconfig's server is {server!r}, expected a URL")
    token_file = text_of(user, "tokenFile")
    return Access(
        server=server,
        context=context_name,
        namespace=text_of(settings, "namespace") or text_of(context, "namespace"),
        tls=_tls(cluster, user, folder) if server.startswith("https://") else None,
        tls_name=text_of(cluster, "tls-server-name"),
        token=text_of(user, "token"),
        token_file=folder / token_file if token_file else None,
    )


def _named(config: Values, group: str, inner: str, name: str) -> Values:
    for entry in maps_of(config, group):
        if text_of(entry, "name") == name:
            return map_of(entry, inner)
    known = ", ".join(sorted(text_of(entry, "name") for entry in maps_of(config, group)))
    raise PluginError(f"the kubeconfig has no {inner} {name!r}; it has {known or 'none'}")


def _only(part: Values, supported: Iterable[str], what: str) -> None:
    refused = sorted(name for name, value in part.items() if value and name not in supported)
    if not refused:
        return
    runs = {"exec", "auth-provider"} & set(refused)
    raise PluginError(
        f"the offline kubernetes plugin does not do {', '.join(refused)} of the kubeconfig's {what}"
        + (": it runs no programs" if runs else "")
        + "\nhint: use a token or a client certificate"
    )


def _tls(cluster: Values, user: Values, folder: Path) -> ssl.SSLContext:
    authority = _bytes(cluster, "certificate-authority", folder)
    certificate = _bytes(user, "client-certificate", folder)
    key = _bytes(user, "client-key", folder)
    try:
        tls = ssl.create_default_context(cadata=authority.decode() or None)
        if flag_of(cluster, "insecure-skip-tls-verify"):
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
        if certificate:
            # Only a file will do; it is gone before anything else happens.
            with tempfile.NamedTemporaryFile() as file:
                file.write(certificate + b"\n" + key)
                file.flush()
                tls.load_cert_chain(file.name)
    except (OSError, ValueError) as error:
        raise PluginError(f"the kubeconfig's certificates cannot be used: {error}") from error
    return tls


def _bytes(part: Values, name: str, folder: Path) -> bytes:
    """What is in `<name>-data`, else in the file that `<name>` names; a path is relative to it."""
    try:
        if text_of(part, f"{name}-data"):
            return base64.b64decode(text_of(part, f"{name}-data"), validate=True)
        if text_of(part, name):
            return (folder / text_of(part, name)).read_bytes()
    except (OSError, binascii.Error) as error:
        raise PluginError(f"the kubeconfig's {name} cannot be read: {error}") from error
    return b""
