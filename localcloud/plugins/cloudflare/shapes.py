"""The inputs of pulumi_cloudflare 6.23, its outputs, and what of them this plugin cannot do."""

from localcloud.plugins.shapes import Fields, Shape

_TEXTS: Shape = ["string"]
_ID: Shape = {"id!": "string"}
# An object without properties.
_BARE: Shape = {}

PROVIDER: Fields = {
    "apiKey": "string",
    "apiToken": "string",
    "apiUserServiceKey": "string",
    "baseUrl": "string",
    "email": "string",
    "userAgentOperatorSuffix": "string",
}

TUNNEL: Fields = {
    "accountId!": "string",
    "name!": "string",
    "configSrc": "string",
    "tunnelSecret": "string",
}
TUNNEL_OUTPUTS: Fields = {
    "accountTag": "string",
    "connections": [
        {
            "clientId": "string",
            "clientVersion": "string",
            "coloName": "string",
            "id": "string",
            "isPendingReconnect": "boolean",
            "openedAt": "string",
            "originIp": "string",
            "uuid": "string",
        }
    ],
    "connsActiveAt": "string",
    "connsInactiveAt": "string",
    "createdAt": "string",
    "deletedAt": "string",
    "metadata": "any",
    "remoteConfig": "boolean",
    "status": "string",
    "tunType": "string",
}

_ORIGIN_REQUEST: Shape = {
    "access": {"audTags!": _TEXTS, "teamName!": "string", "required": "boolean"},
    "caPool": "string",
    "connectTimeout": "integer",
    "disableChunkedEncoding": "boolean",
    "http2Origin": "boolean",
    "httpHostHeader": "string",
    "keepAliveConnections": "integer",
    "keepAliveTimeout": "integer",
    "matchSnItoHost": "boolean",
    "noHappyEyeballs": "boolean",
    "noTlsVerify": "boolean",
    "originServerName": "string",
    "proxyType": "string",
    "tcpKeepAlive": "integer",
    "tlsTimeout": "integer",
}
TUNNEL_CONFIG: Fields = {
    "accountId!": "string",
    "tunnelId!": "string",
    "config": {
        "ingresses": [
            {
                "service!": "string",
                "hostname": "string",
                "originRequest": _ORIGIN_REQUEST,
                "path": "string",
            }
        ],
        "originRequest": _ORIGIN_REQUEST,
    },
    "source": "string",
}
TUNNEL_CONFIG_OUTPUTS: Fields = {"createdAt": "string", "version": "integer"}

RECORD: Fields = {
    "name!": "string",
    "ttl!": "number",
    "type!": "string",
    "zoneId!": "string",
    "comment": "string",
    "content": "string",
    "data": "any",
    "includeShadowMetadata": "boolean",
    "priority": "number",
    "privateRouting": "boolean",
    "proxied": "boolean",
    "settings": {"flattenCname": "boolean", "ipv4Only": "boolean", "ipv6Only": "boolean"},
    "tags": _TEXTS,
}
RECORD_UNSUPPORTED = frozenset({"data", "includeShadowMetadata"})
RECORD_OUTPUTS: Fields = {
    "commentModifiedOn": "string",
    "createdOn": "string",
    "meta": "any",
    "modifiedOn": "string",
    "proxiable": "boolean",
    "tagsModifiedOn": "string",
}

_RULES: Shape = [
    {
        "anyValidServiceToken": _BARE,
        "authContext": {"acId!": "string", "id!": "string", "identityProviderId!": "string"},
        "authMethod": {"authMethod!": "string"},
        "azureAd": {"id!": "string", "identityProviderId!": "string"},
        "certificate": _BARE,
        "cloudflareAccountMember": {"accountId": "string"},
        "commonName": {"commonName!": "string"},
        "devicePosture": {"integrationUid!": "string", "accountId": "string"},
        "email": {"email!": "string"},
        "emailDomain": {"domain!": "string"},
        "emailList": _ID,
        "everyone": _BARE,
        "externalEvaluation": {"evaluateUrl!": "string", "keysUrl!": "string"},
        "geo": {"countryCode!": "string"},
        "githubOrganization": {
            "identityProviderId!": "string",
            "name!": "string",
            "team": "string",
        },
        "group": _ID,
        "gsuite": {"email!": "string", "identityProviderId!": "string"},
        "ip": {"ip!": "string"},
        "ipList": _ID,
        "linkedAppToken": {"appUid!": "string"},
        "loginMethod": _ID,
        "oidc": {"claimName!": "string", "claimValue!": "string", "identityProviderId!": "string"},
        "okta": {"identityProviderId!": "string", "name!": "string"},
        "saml": {
            "attributeName!": "string",
            "attributeValue!": "string",
            "identityProviderId!": "string",
        },
        "serviceToken": {"tokenId!": "string"},
        "userRiskScore": {"userRiskScores!": _TEXTS},
    }
]
POLICY: Fields = {
    "accountId!": "string",
    "decision!": "string",
    "name!": "string",
    "approvalGroups": [
        {"approvalsNeeded!": "number", "emailAddresses": _TEXTS, "emailListUuid": "string"}
    ],
    "approvalRequired": "boolean",
    "connectionRules": "any",
    "excludes": _RULES,
    "includes": _RULES,
    "isolationRequired": "boolean",
    "mfaConfig": "any",
    "purposeJustificationPrompt": "string",
    "purposeJustificationRequired": "boolean",
    "requires": _RULES,
    "sessionDuration": "string",
}
POLICY_UNSUPPORTED = frozenset({"connectionRules", "mfaConfig"})
POLICY_OUTPUTS: Fields = {
    "appCount": "integer",
    "createdAt": "string",
    "reusable": "boolean",
    "updatedAt": "string",
}

APPLICATION: Fields = {
    "accountId": "string",
    "allowAuthenticateViaWarp": "boolean",
    "allowIframe": "boolean",
    "allowedIdps": _TEXTS,
    "appLauncherLogoUrl": "string",
    "appLauncherVisible": "boolean",
    "autoRedirectToIdentity": "boolean",
    "bgColor": "string",
    "corsHeaders": {
        "allowAllHeaders": "boolean",
        "allowAllMethods": "boolean",
        "allowAllOrigins": "boolean",
        "allowCredentials": "boolean",
        "allowedHeaders": _TEXTS,
        "allowedMethods": _TEXTS,
        "allowedOrigins": _TEXTS,
        "maxAge": "number",
    },
    "customDenyMessage": "string",
    "customDenyUrl": "string",
    "customNonIdentityDenyUrl": "string",
    "customPages": _TEXTS,
    "destinations": [
        {
            "cidr": "string",
            "hostname": "string",
            "l4Protocol": "string",
            "mcpServerId": "string",
            "portRange": "string",
            "type": "string",
            "uri": "string",
            "vnetId": "string",
            "workerId": "string",
        }
    ],
    "domain": "string",
    "enableBindingCookie": "boolean",
    "footerLinks": "any",
    "headerBgColor": "string",
    "httpOnlyCookieAttribute": "boolean",
    "landingPageDesign": "any",
    "logoUrl": "string",
    "mfaConfig": "any",
    "name": "string",
    "oauthConfiguration": "any",
    "optionsPreflightBypass": "boolean",
    "pathCookieAttribute": "boolean",
    # Whole policies within an application are not done: only references to those of the account.
    "policies": [{"id": "string", "precedence": "integer"}],
    "readServiceTokensFromHeader": "string",
    "saasApp": "any",
    "sameSiteCookieAttribute": "string",
    "scimConfig": "any",
    "selfHostedDomains": _TEXTS,
    "serviceAuth401Redirect": "boolean",
    "sessionDuration": "string",
    "skipAppLauncherLoginPage": "boolean",
    "skipInterstitial": "boolean",
    "tags": _TEXTS,
    "targetCriterias": "any",
    "type": "string",
    "zoneId": "string",
}
APPLICATION_UNSUPPORTED = frozenset(
    {
        "footerLinks",
        "landingPageDesign",
        "mfaConfig",
        "oauthConfiguration",
        "saasApp",
        "scimConfig",
        "targetCriterias",
    }
)
APPLICATION_OUTPUTS: Fields = {"aud": "string"}

SERVICE_TOKEN: Fields = {
    "name!": "string",
    "accountId": "string",
    "clientSecretVersion": "number",
    "duration": "string",
    "enabled": "boolean",
    "previousClientSecretExpiresAt": "string",
    "zoneId": "string",
}
SERVICE_TOKEN_OUTPUTS: Fields = {
    "clientId": "string",
    "clientSecret": "string",
    "expiresAt": "string",
}
TUNNEL_TOKEN: Fields = {"accountId!": "string", "tunnelId!": "string"}
