"""Failures of the nas stack: what they are about, and what to do."""

import pytest

from contracts.nas import PublicHost
from operations.errors import CutOff, Failed
from operations.jobs import MessageEvent
from operations.nas_failures import explained

RECORD = "agent-docker:nas:Ingress$cloudflare:index/dnsRecord:DnsRecord"
TUNNEL = (
    "agent-docker:nas:Ingress$"
    "cloudflare:index/zeroTrustTunnelCloudflared:ZeroTrustTunnelCloudflared"
)
CONTAINER = "agent-docker:nas:NasService$docker:index/container:Container"
HOST = PublicHost(label="docs", fqdn="docs.example.com", origin="http://docs:1", public=True)


def message(kind: str, name: str, text: str, severity: str = "error") -> MessageEvent:
    urn = f"urn:pulumi:nas::agent-docker::{kind}::{name}"
    return MessageEvent(severity=severity, text=text, urn=urn)


def told(*said: MessageEvent, hint: str | None = None) -> Failed:
    return explained(Failed("it failed", hint=hint), said, {"docs": HOST})


@pytest.mark.parametrize(
    "text",
    [
        "POST /zones/z/dns_records: Cloudflare answered 400: already exists. (code 81053)",
        'error: 400 Bad Request {"errors":[{"code":81053,"message":"already exists."}]}',
    ],
    ids=["offline plugin", "Cloudflare's own provider"],
)
def test_a_record_in_the_way_names_its_host_and_the_setting(text: str) -> None:
    error = told(message(RECORD, "docs", text))
    assert error.message == f"the host docs.example.com: {text.removeprefix('error: ')}"
    assert "ingress.records" in (error.hint or "")


def test_a_tunnel_that_is_not_there_names_the_setting() -> None:
    error = told(message(TUNNEL, "tunnel", "resource 'a/b' does not exist"))
    assert error.message == "tunnel: resource 'a/b' does not exist"
    assert "ingress.tunnelId" in (error.hint or "")


def test_the_same_reason_is_told_once() -> None:
    away = "the daemon cannot be reached\nhint: start it"
    error = told(*(message(CONTAINER, name, away) for name in ("a", "b", "a")), hint="start it")
    assert error.message == "a, b: the daemon cannot be reached"
    assert error.hint == "start it"


@pytest.mark.parametrize(
    "said",
    [
        (),
        (message("pulumi:pulumi:Stack", "agent-docker-nas", "secrets are missing"),),
        (message(CONTAINER, "docs", "only a warning", "warning"),),
        (MessageEvent(severity="error", text="update failed"),),
    ],
)
def test_what_is_about_no_resource_stays_as_it_was(said: tuple[MessageEvent, ...]) -> None:
    error = Failed("secrets are missing", hint="set them")
    assert explained(error, said, {}) is error


def test_a_cut_off_update_is_finished_by_nas_up() -> None:
    error = explained(CutOff("it was killed", hint="`agent-docker recover`"), (), {})
    assert isinstance(error, CutOff)
    assert "nas up" in (error.hint or "")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (
            "unable to pull image x/y:1: error pulling image x/y:1: manifest unknown",
            "see that the image exists",
        ),
        ("image x/y:1 cannot be pulled: manifest unknown", "see that the image exists"),
        (
            "Unable to start container: Bind for 127.0.0.1:6379: port is already allocated",
            "end what listens there",
        ),
        (
            'Unable to start container: Error response from daemon: exec: "/x": no such file',
            "of the NAS's architecture",
        ),
        (
            "container a (0123456789ab): cannot be started: exec format error",
            "of the NAS's architecture",
        ),
        (
            'Conflict. The container name "/a" is already in use by container "0123".',
            "remove it with `docker rm`, or use another `nas.prefix`",
        ),
    ],
)
def test_the_daemons_reasons_have_a_hint_whoever_tells_them(text: str, hint: str) -> None:
    error = told(message(CONTAINER, "a", text))
    assert error.message == f"a: {text}"
    assert hint in (error.hint or "")
    assert len((error.hint or "").splitlines()) == 1
