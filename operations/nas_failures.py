"""The engine's failures in terms of the nas stack: what it is about, and what to do. Pure."""

import re
from collections.abc import Mapping, Sequence

from contracts.nas import PublicHost
from operations.errors import CutOff, Failed
from operations.jobs import MessageEvent
from operations.nas_records import RECORD, TUNNEL

_APPLICATION = "cloudflare:index/zeroTrustAccessApplication:ZeroTrustAccessApplication"
_AGAIN = "then run `agent-docker nas up` again: it finishes the rest"
# Cloudflare's own providers quote its answer as JSON.
_CODE = re.compile(r"\bcode\W{1,4}(\d{3,6})\b")
_HINTS: Mapping[str, str] = {
    **dict.fromkeys(
        ("81053", "81057", "81058"),
        "delete the host's DNS record at Cloudflare, or take it over: `ingress.records` has its "
        f"id by the host's name; {_AGAIN}",
    ),
    "1013": "take that tunnel over with `ingress.tunnelId`, or give this one another name with "
    f"`ingress.tunnel`; {_AGAIN}",
    "1022": "another connector runs this tunnel: stop that cloudflared, or wait half a minute "
    "for Cloudflare to notice; then run the same command again",
    "11010": f"delete the host's Access application at Cloudflare, {_AGAIN}",
    "10000": "the API token needs rights on `ingress.accountId`: see that both are of one account",
    "9109": "the API token needs rights on `ingress.accountId` and `ingress.zoneId`",
}
_TEXTS: Mapping[str, str] = {
    **dict.fromkeys(
        # Of a program of the NAS, of another container.
        ("address already in use", "port is already allocated"),
        f"end what listens there, or change `nas.publish`; {_AGAIN}",
    ),
    **dict.fromkeys(
        ("cannot be pulled", "error pulling image"),
        f"see that the image exists and who may read it; {_AGAIN}",
    ),
    "is already in use by container": "this stack has no record of that container, and no cut-off "
    "`agent-docker nas up` of this machine made it: remove it with `docker rm`, or use another "
    f"`nas.prefix` or the right PULUMI_BACKEND_URL; {_AGAIN}",
    "network with name": "remove that network, which is none of this stack's or in use, or give "
    f"this one another name with `nas.network`; {_AGAIN}",
}
# The official plugin's words, the offline one's.
_UNABLE = re.compile("Unable to start container|cannot be started")
_NO_START = "declare an image whose program is there and is of the NAS's architecture"
_NO_TUNNEL = "`ingress.tunnelId` must name a tunnel of the account `ingress.accountId`"
_GONE = re.compile(r"\b(does not exist|not found)\b", re.IGNORECASE)


def explained(
    error: Failed, said: Sequence[MessageEvent], hosts: Mapping[str, PublicHost]
) -> Failed:
    """`error` with what each message is about; unchanged where none is about a resource.

    `hosts` by their label, which their records and applications are named by.
    """
    if isinstance(error, CutOff):
        return CutOff(error.message, hint="run `agent-docker nas up`: it finishes what was begun")
    about = [message for message in said if _type(message) and message.severity == "error"]
    if type(error) is not Failed or not about:
        return error
    subjects: dict[str, dict[str, None]] = {}
    hints = dict.fromkeys([error.hint] if error.hint else [])
    for message in about:
        told = message.text.partition("\nhint: ")[0].removeprefix("error: ").strip()
        subjects.setdefault(told, {})[_subject(message, hosts)] = None
        hints |= dict.fromkeys(_hints(message))
    lines = [f"{', '.join(names)}: {told}" for told, names in subjects.items()]
    return Failed("\n".join(lines), hint="\n".join(hints) or None)


def _subject(message: MessageEvent, hosts: Mapping[str, PublicHost]) -> str:
    host = hosts.get(message.name)
    if host is not None and _type(message) in {RECORD, _APPLICATION}:
        return f"the host {host.fqdn}"
    return message.name


def _hints(message: MessageEvent) -> list[str]:
    if _type(message) == TUNNEL and _GONE.search(message.text):
        return [_NO_TUNNEL]
    codes = [_HINTS[code] for code in _CODE.findall(message.text) if code in _HINTS]
    found = codes + [hint for text, hint in _TEXTS.items() if text in message.text]
    return found or ([_NO_START] if _UNABLE.search(message.text) else [])


def _type(message: MessageEvent) -> str:
    """The type of the resource that a message is about; empty for the program and the engine."""
    parts = message.urn.split("::")
    found = parts[-2].rpartition("$")[2] if len(parts) > 2 else ""  # noqa: PLR2004 - urn, …, type
    return "" if found.startswith("pulumi:") else found
