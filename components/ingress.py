"""How the internet reaches the services: tunnel, rules, DNS records, and who is let in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi

from components.plain import Plain, bridged, given, invoke
from contracts.nas import IngressSettings, PublicHost

TUNNEL = bridged("cloudflare", "ZeroTrustTunnelCloudflared", secret=("tunnelSecret",))
RULES = bridged("cloudflare", "ZeroTrustTunnelCloudflaredConfig")
RECORD = bridged("cloudflare", "DnsRecord")
APPLICATION = bridged("cloudflare", "ZeroTrustAccessApplication", "aud")
POLICY = bridged("cloudflare", "ZeroTrustAccessPolicy")
SERVICE_TOKEN = bridged(
    "cloudflare",
    "ZeroTrustAccessServiceToken",
    "clientId",
    "clientSecret",
    secret=("clientSecret",),
)
KINDS = (TUNNEL, RULES, RECORD, APPLICATION, POLICY, SERVICE_TOKEN)
_FUNCTION = "getZeroTrustTunnelCloudflaredToken"
ASK = f"cloudflare:index/{_FUNCTION}:{_FUNCTION}"
_NOBODY = "http_status:404"


@dataclass(frozen=True, kw_only=True)
class IngressArgs:
    """`hosts` in the order of the tunnel's rules, by the name of their service."""

    settings: IngressSettings
    hosts: Mapping[str, PublicHost] = field(default_factory=dict[str, PublicHost])


class Ingress(pulumi.ComponentResource):
    """The tunnel and everything in front of it. Cloudflare Access guards what is not public.

    `token` is the secret that a connector runs the tunnel with; it is known once the tunnel has
    its rules, so a connector never serves what the settings do not name. `clients` are ids and
    secrets of the service tokens, by name.
    """

    tunnel_id: pulumi.Output[str]
    token: pulumi.Output[str]
    clients: dict[str, pulumi.Output[dict[str, str]]]

    def __init__(
        self, name: str, args: IngressArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("agent-docker:nas:Ingress", name, None, opts)
        self._settings = args.settings
        self._own = pulumi.ResourceOptions(parent=self)
        tunnel = self._tunnel()
        tokens = self._service_tokens()
        guarded = {name: host for name, host in args.hosts.items() if not host.public}
        policies = self._policies(tokens) if guarded else []
        applications = {name: self._application(host, policies) for name, host in guarded.items()}
        # Guarded before it can be reached: rules come after Access, names after the rules.
        rules = self._rules(tunnel, args.hosts, applications)
        for host in args.hosts.values():
            self._record(host, tunnel, rules)
        self.tunnel_id = tunnel.id
        self.token = self._token(tunnel, rules)
        self.clients = {
            name: pulumi.Output.secret(
                pulumi.Output.all(
                    id=token.output("clientId"), secret=token.output("clientSecret")
                ).apply(dict)
            )
            for name, token in tokens.items()
        }
        self.register_outputs({"tunnelId": self.tunnel_id})

    def _tunnel(self) -> Plain:
        settings = self._settings
        adopted = settings.tunnel_id is not None
        return Plain(
            TUNNEL,
            "tunnel",
            {
                "accountId": settings.account_id,
                "name": settings.tunnel,
                # Without it the tunnel would follow a file beside its connector.
                "configSrc": "cloudflare",
            },
            pulumi.ResourceOptions(
                parent=self,
                import_=f"{settings.account_id}/{settings.tunnel_id}" if adopted else None,
                # It was there before this stack, and others may use it after.
                retain_on_delete=adopted,
                ignore_changes=["configSrc", "name", "tunnelSecret"] if adopted else None,
            ),
        )

    def _service_tokens(self) -> dict[str, Plain]:
        access = self._settings.access
        return {
            name: Plain(
                SERVICE_TOKEN,
                name,
                {
                    "accountId": self._settings.account_id,
                    "name": f"{self._settings.tunnel} {name}",
                    "duration": access.token_lifetime,
                },
                self._own,
            )
            for name in access.service_tokens
        }

    def _policies(self, tokens: Mapping[str, Plain]) -> list[Plain]:
        access = self._settings.access
        people: list[dict[str, Any]] = [
            *({"email": {"email": email}} for email in access.emails),
            *({"emailDomain": {"domain": domain}} for domain in access.email_domains),
        ]
        machines = [{"serviceToken": {"tokenId": token.id}} for token in tokens.values()]
        wanted = (("people", "allow", people), ("machines", "non_identity", machines))
        return [
            Plain(
                POLICY,
                name,
                {
                    "accountId": self._settings.account_id,
                    "name": f"{self._settings.tunnel} {name}",
                    "decision": decision,
                    "includes": includes,
                    "sessionDuration": access.session,
                },
                self._own,
            )
            for name, decision, includes in wanted
            if includes
        ]

    def _application(self, host: PublicHost, policies: list[Plain]) -> Plain:
        return Plain(
            APPLICATION,
            # By the host: another host is another application, and the old one stays guarded
            # until its rule is gone; a host that moves to another service keeps its own.
            host.label,
            {
                "accountId": self._settings.account_id,
                "name": host.fqdn,
                "type": "self_hosted",
                "domain": host.fqdn,
                "policies": [
                    {"id": policy.id, "precedence": number}
                    for number, policy in enumerate(policies, start=1)
                ],
                "sessionDuration": self._settings.access.session,
                "appLauncherVisible": True,
                "httpOnlyCookieAttribute": True,
            },
            self._own,
        )

    def _rules(
        self,
        tunnel: Plain,
        hosts: Mapping[str, PublicHost],
        applications: Mapping[str, Plain],
    ) -> Plain:
        rules = [
            given(
                hostname=host.fqdn,
                service=host.origin,
                originRequest=self._checked(applications.get(service)),
            )
            for service, host in hosts.items()
        ]
        return Plain(
            RULES,
            "rules",
            {
                "accountId": self._settings.account_id,
                "tunnelId": tunnel.id,
                "source": "cloudflare",
                "config": {"ingresses": [*rules, {"service": _NOBODY}]},
            },
            pulumi.ResourceOptions(parent=self, depends_on=list(applications.values())),
        )

    def _checked(self, application: Plain | None) -> dict[str, Any] | None:
        """Have the connector check that Access let a request in: a port alone lets nobody by."""
        if application is None or self._settings.team is None:
            return None
        audience = [application.output("aud")]
        access = {"required": True, "teamName": self._settings.team, "audTags": audience}
        return {"access": access}

    def _record(self, host: PublicHost, tunnel: Plain, rules: Plain) -> Plain:
        adopted = self._settings.records.get(host.label)
        return Plain(
            RECORD,
            host.label,
            {
                "zoneId": self._settings.zone_id,
                "name": host.fqdn,
                "type": "CNAME",
                "content": tunnel.id.apply(lambda id_: f"{id_}.cfargotunnel.com"),
                # Only proxied names reach a tunnel, and those have the lifetime 1, "automatic".
                "proxied": True,
                "ttl": 1,
            },
            pulumi.ResourceOptions(
                parent=self,
                import_=f"{self._settings.zone_id}/{adopted}" if adopted else None,
                depends_on=[rules],
            ),
        )

    def _token(self, tunnel: Plain, rules: Plain) -> pulumi.Output[str]:
        found = invoke(
            TUNNEL.package,
            ASK,
            {
                "accountId": self._settings.account_id,
                # Through the rules: nothing connects before they are there.
                "tunnelId": pulumi.Output.all(tunnel.id, rules.id).apply(lambda ids: str(ids[0])),
            },
            pulumi.InvokeOutputOptions(parent=self),
        )
        # The provider does not know that it is a secret.
        return pulumi.Output.secret(found.apply(lambda answer: str(answer["token"])))
