"""How the internet reaches the services: tunnel, rules, DNS records, and who is let in."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_cloudflare as cloudflare

from contracts.nas import IngressSettings, PublicHost

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
                pulumi.Output.all(id=token.client_id, secret=token.client_secret).apply(dict)
            )
            for name, token in tokens.items()
        }
        self.register_outputs({"tunnelId": self.tunnel_id})

    def _tunnel(self) -> cloudflare.ZeroTrustTunnelCloudflared:
        settings = self._settings
        adopted = settings.tunnel_id is not None
        return cloudflare.ZeroTrustTunnelCloudflared(
            "tunnel",
            account_id=settings.account_id,
            name=settings.tunnel,
            # Without it the tunnel would follow a file beside its connector.
            config_src="cloudflare",
            opts=pulumi.ResourceOptions(
                parent=self,
                import_=f"{settings.account_id}/{settings.tunnel_id}" if adopted else None,
                # It was there before this stack, and others may use it after.
                retain_on_delete=adopted,
                ignore_changes=["configSrc", "name", "tunnelSecret"] if adopted else None,
            ),
        )

    def _service_tokens(self) -> dict[str, cloudflare.ZeroTrustAccessServiceToken]:
        access = self._settings.access
        return {
            name: cloudflare.ZeroTrustAccessServiceToken(
                name,
                account_id=self._settings.account_id,
                name=f"{self._settings.tunnel} {name}",
                duration=access.token_lifetime,
                opts=self._own,
            )
            for name in access.service_tokens
        }

    def _policies(
        self, tokens: Mapping[str, cloudflare.ZeroTrustAccessServiceToken]
    ) -> list[cloudflare.ZeroTrustAccessPolicy]:
        access = self._settings.access
        include = cloudflare.ZeroTrustAccessPolicyIncludeArgs
        people = [
            *(
                include(email=cloudflare.ZeroTrustAccessPolicyIncludeEmailArgs(email=email))
                for email in access.emails
            ),
            *(
                include(
                    email_domain=cloudflare.ZeroTrustAccessPolicyIncludeEmailDomainArgs(
                        domain=domain
                    )
                )
                for domain in access.email_domains
            ),
        ]
        machines = [
            include(
                service_token=cloudflare.ZeroTrustAccessPolicyIncludeServiceTokenArgs(
                    token_id=token.id
                )
            )
            for token in tokens.values()
        ]
        wanted = (("people", "allow", people), ("machines", "non_identity", machines))
        return [
            cloudflare.ZeroTrustAccessPolicy(
                name,
                account_id=self._settings.account_id,
                name=f"{self._settings.tunnel} {name}",
                decision=decision,
                includes=includes,
                session_duration=access.session,
                opts=self._own,
            )
            for name, decision, includes in wanted
            if includes
        ]

    def _application(
        self, host: PublicHost, policies: list[cloudflare.ZeroTrustAccessPolicy]
    ) -> cloudflare.ZeroTrustAccessApplication:
        return cloudflare.ZeroTrustAccessApplication(
            # By the host: another host is another application, and the old one stays guarded
            # until its rule is gone; a host that moves to another service keeps its own.
            host.label,
            account_id=self._settings.account_id,
            name=host.fqdn,
            type="self_hosted",
            domain=host.fqdn,
            policies=[
                cloudflare.ZeroTrustAccessApplicationPolicyArgs(id=policy.id, precedence=number)
                for number, policy in enumerate(policies, start=1)
            ],
            session_duration=self._settings.access.session,
            app_launcher_visible=True,
            http_only_cookie_attribute=True,
            opts=self._own,
        )

    def _rules(
        self,
        tunnel: cloudflare.ZeroTrustTunnelCloudflared,
        hosts: Mapping[str, PublicHost],
        applications: Mapping[str, cloudflare.ZeroTrustAccessApplication],
    ) -> cloudflare.ZeroTrustTunnelCloudflaredConfig:
        rule = cloudflare.ZeroTrustTunnelCloudflaredConfigConfigIngressArgs
        rules = [
            rule(
                hostname=host.fqdn,
                service=host.origin,
                origin_request=self._checked(applications.get(service)),
            )
            for service, host in hosts.items()
        ]
        return cloudflare.ZeroTrustTunnelCloudflaredConfig(
            "rules",
            account_id=self._settings.account_id,
            tunnel_id=tunnel.id,
            source="cloudflare",
            config=cloudflare.ZeroTrustTunnelCloudflaredConfigConfigArgs(
                ingresses=[*rules, rule(service=_NOBODY)]
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(applications.values())),
        )

    def _checked(
        self, application: cloudflare.ZeroTrustAccessApplication | None
    ) -> cloudflare.ZeroTrustTunnelCloudflaredConfigConfigIngressOriginRequestArgs | None:
        """Have the connector check that Access let a request in: a port alone lets nobody by."""
        if application is None or self._settings.team is None:
            return None
        access = cloudflare.ZeroTrustTunnelCloudflaredConfigConfigIngressOriginRequestAccessArgs(
            required=True, team_name=self._settings.team, aud_tags=[application.aud]
        )
        return cloudflare.ZeroTrustTunnelCloudflaredConfigConfigIngressOriginRequestArgs(
            access=access
        )

    def _record(
        self,
        host: PublicHost,
        tunnel: cloudflare.ZeroTrustTunnelCloudflared,
        rules: cloudflare.ZeroTrustTunnelCloudflaredConfig,
    ) -> cloudflare.DnsRecord:
        adopted = self._settings.records.get(host.label)
        return cloudflare.DnsRecord(
            host.label,
            zone_id=self._settings.zone_id,
            name=host.fqdn,
            type="CNAME",
            content=tunnel.id.apply(lambda id_: f"{id_}.cfargotunnel.com"),
            # Only proxied names reach a tunnel, and those have the lifetime 1, "automatic".
            proxied=True,
            ttl=1,
            opts=pulumi.ResourceOptions(
                parent=self,
                import_=f"{self._settings.zone_id}/{adopted}" if adopted else None,
                depends_on=[rules],
            ),
        )

    def _token(
        self,
        tunnel: cloudflare.ZeroTrustTunnelCloudflared,
        rules: cloudflare.ZeroTrustTunnelCloudflaredConfig,
    ) -> pulumi.Output[str]:
        found = cloudflare.get_zero_trust_tunnel_cloudflared_token_output(
            account_id=self._settings.account_id,
            # Through the rules: nothing connects before they are there.
            tunnel_id=pulumi.Output.all(tunnel.id, rules.id).apply(lambda ids: str(ids[0])),
            opts=pulumi.InvokeOutputOptions(parent=self),
        )
        # The SDK does not know that it is a secret.
        return pulumi.Output.secret(found.token)
