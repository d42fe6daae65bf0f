"""The inputs of pulumi_docker 5.2.0, and which of them this plugin cannot do."""

from localcloud.plugins.shapes import Fields, Shape

_LABELS: Shape = [{"label!": "string", "value!": "string"}]
_TEXTS: Shape = ["string"]
_TEXT_MAP: Shape = {"*": "string"}

PROVIDER: Fields = {
    "caMaterial": "string",
    "certMaterial": "string",
    "certPath": "string",
    "context": "string",
    "disableDockerDaemonCheck": "boolean",
    "host": "string",
    "keyMaterial": "string",
    "registryAuth": [
        {
            "address!": "string",
            "authDisabled": "boolean",
            "configFile": "string",
            "configFileContent": "string",
            "password": "string",
            "username": "string",
        }
    ],
    "sshOpts": _TEXTS,
}

_HEALTHCHECK: Shape = {
    "tests": _TEXTS,
    "interval": "string",
    "retries": "integer",
    "startInterval": "string",
    "startPeriod": "string",
    "timeout": "string",
}
_MOUNT: Shape = {
    "target!": "string",
    "type!": "string",
    "bindOptions": {"propagation": "string"},
    "readOnly": "boolean",
    "source": "string",
    "tmpfsOptions": {"mode": "integer", "sizeBytes": "integer"},
    "volumeOptions": {
        "driverName": "string",
        "driverOptions": _TEXT_MAP,
        "labels": _LABELS,
        "noCopy": "boolean",
        "subpath": "string",
    },
}
_ATTACHED_NETWORK: Shape = {
    "name!": "string",
    "aliases": _TEXTS,
    "driverOpts": _TEXTS,
    "gwPriority": "integer",
    "ipv4Address": "string",
    "ipv6Address": "string",
    "linkLocalIps": _TEXTS,
    "macAddress": "string",
}
_PORT: Shape = {
    "internal!": "integer",
    "external": "integer",
    "ip": "string",
    "protocol": "string",
}
_UPLOAD: Shape = {
    "file!": "string",
    "content": "string",
    "contentBase64": "string",
    "executable": "boolean",
    "group": "string",
    "owner": "string",
    "permissions": "string",
    "source": "string",
    "sourceHash": "string",
}
_VOLUME: Shape = {
    "containerPath": "string",
    "fromContainer": "string",
    "hostPath": "string",
    "readOnly": "boolean",
    "selinuxRelabel": "string",
    "volumeName": "string",
}

CONTAINER: Fields = {
    "image!": "string",
    "attach": "boolean",
    "capabilities": {"adds": _TEXTS, "drops": _TEXTS},
    "cgroupParent": "string",
    "cgroupnsMode": "string",
    "command": _TEXTS,
    "containerReadRefreshTimeoutMilliseconds": "integer",
    "cpuPeriod": "integer",
    "cpuQuota": "integer",
    "cpuSet": "string",
    "cpuShares": "integer",
    "cpus": "string",
    "destroyGraceSeconds": "integer",
    "deviceCgroupRules": _TEXTS,
    "deviceReadBps": "any",
    "deviceReadIops": "any",
    "deviceRequests": "any",
    "deviceWriteBps": "any",
    "deviceWriteIops": "any",
    "devices": "any",
    "dns": _TEXTS,
    "dnsOpts": _TEXTS,
    "dnsSearches": _TEXTS,
    "domainname": "string",
    "entrypoints": _TEXTS,
    "envs": _TEXTS,
    "gpus": "string",
    "groupAdds": _TEXTS,
    "healthcheck": _HEALTHCHECK,
    "hostname": "string",
    "hosts": [{"host!": "string", "ip!": "string"}],
    "init": "boolean",
    "ipcMode": "string",
    "labels": _LABELS,
    "logDriver": "string",
    "logOpts": _TEXT_MAP,
    "logs": "boolean",
    "maxRetryCount": "integer",
    "memory": "integer",
    "memoryReservation": "integer",
    "memorySwap": "integer",
    "mounts": [_MOUNT],
    "mustRun": "boolean",
    "name": "string",
    "networkMode": "string",
    "networksAdvanced": [_ATTACHED_NETWORK],
    "pidMode": "string",
    "platform": "string",
    "ports": [_PORT],
    "privileged": "boolean",
    "publishAllPorts": "boolean",
    "readOnly": "boolean",
    "removeVolumes": "boolean",
    "restart": "string",
    "rm": "boolean",
    "runtime": "string",
    "securityOpts": _TEXTS,
    "shmSize": "integer",
    "start": "boolean",
    "stdinOpen": "boolean",
    "stopSignal": "string",
    "stopTimeout": "integer",
    "storageOpts": _TEXT_MAP,
    "sysctls": _TEXT_MAP,
    "tmpfs": _TEXT_MAP,
    "tty": "boolean",
    "ulimits": [{"hard!": "integer", "name!": "string", "soft!": "integer"}],
    "uploads": [_UPLOAD],
    "user": "string",
    "usernsMode": "string",
    "volumes": [_VOLUME],
    "wait": "boolean",
    "waitTimeout": "integer",
    "workingDir": "string",
}
# They exist, but no service uses them: said so rather than left out in silence.
CONTAINER_UNSUPPORTED = frozenset(
    {
        "attach",
        "deviceCgroupRules",
        "deviceReadBps",
        "deviceReadIops",
        "deviceRequests",
        "deviceWriteBps",
        "deviceWriteIops",
        "devices",
        "gpus",
        "logs",
    }
)

NETWORK: Fields = {
    "attachable": "boolean",
    "driver": "string",
    "ingress": "boolean",
    "internal": "boolean",
    "ipamConfigs": [
        {
            "auxAddress": _TEXT_MAP,
            "gateway": "string",
            "ipRange": "string",
            "subnet": "string",
        }
    ],
    "ipamDriver": "string",
    "ipamOptions": _TEXT_MAP,
    "ipv6": "boolean",
    "labels": _LABELS,
    "name": "string",
    "options": _TEXT_MAP,
}
VOLUME: Fields = {
    "cluster": "any",
    "driver": "string",
    "driverOpts": _TEXT_MAP,
    "labels": _LABELS,
    "name": "string",
}
REMOTE_IMAGE: Fields = {
    "name!": "string",
    "build": "any",
    "forceRemove": "boolean",
    "keepLocally": "boolean",
    "platform": "string",
    "pullTriggers": _TEXTS,
    "triggers": _TEXT_MAP,
}
GET_NETWORK: Fields = {"name!": "string"}
GET_REGISTRY_IMAGE: Fields = {"name!": "string", "insecureSkipVerify": "boolean"}
