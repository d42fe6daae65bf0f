"""What `docker inspect` says of a container, in the names and units of the inputs.

Environment, labels and volumes are not read back, as by the official plugin.
"""

from collections.abc import Mapping
from typing import Any

from localcloud.plugins.docker.creation import MIB
from localcloud.plugins.docker.durations import canonical
from localcloud.plugins.values import Value, Values, flag_of, text_of

Inspected = Mapping[str, Any]

_CONFIG = {
    "command": "Cmd",
    "domainname": "Domainname",
    "entrypoints": "Entrypoint",
    "hostname": "Hostname",
    "stdinOpen": "OpenStdin",
    "stopSignal": "StopSignal",
    "stopTimeout": "StopTimeout",
    "tty": "Tty",
    "user": "User",
    "workingDir": "WorkingDir",
}
_HOST = {
    "cgroupParent": "CgroupParent",
    "cgroupnsMode": "CgroupnsMode",
    "cpuPeriod": "CpuPeriod",
    "cpuQuota": "CpuQuota",
    "cpuSet": "CpusetCpus",
    "cpuShares": "CpuShares",
    "dns": "Dns",
    "dnsOpts": "DnsOptions",
    "dnsSearches": "DnsSearch",
    "groupAdds": "GroupAdd",
    "init": "Init",
    "ipcMode": "IpcMode",
    "networkMode": "NetworkMode",
    "pidMode": "PidMode",
    "privileged": "Privileged",
    "publishAllPorts": "PublishAllPorts",
    "readOnly": "ReadonlyRootfs",
    "rm": "AutoRemove",
    "runtime": "Runtime",
    "securityOpts": "SecurityOpt",
    "storageOpts": "StorageOpt",
    "sysctls": "Sysctls",
    "tmpfs": "Tmpfs",
    "usernsMode": "UsernsMode",
}
_SIZES = {
    "memory": "Memory",
    "memoryReservation": "MemoryReservation",
    "memorySwap": "MemorySwap",
    "shmSize": "ShmSize",
}


def state(found: Inspected, before: Values) -> Values:
    """Everything that is read back; `before` says how the image and must_run were written."""
    config, host = found["Config"], found["HostConfig"]
    running = bool(found["State"]["Running"])
    as_id = text_of(before, "image").startswith("sha256:")
    return {
        **{name: config.get(api) for name, api in _CONFIG.items()},
        **{name: host.get(api) for name, api in _HOST.items()},
        **{name: _mib(host.get(api) or 0) for name, api in _SIZES.items()},
        "name": found["Name"].lstrip("/"),
        "image": found["Image"] if as_id else config["Image"],
        "cpus": _cpus(host.get("NanoCpus") or 0),
        "restart": host["RestartPolicy"].get("Name") or "no",
        "maxRetryCount": host["RestartPolicy"].get("MaximumRetryCount", 0),
        "logDriver": host["LogConfig"]["Type"],
        "logOpts": host["LogConfig"].get("Config") or {},
        "capabilities": {"adds": host.get("CapAdd") or [], "drops": host.get("CapDrop") or []},
        "hosts": [_host(entry) for entry in _each(host, "ExtraHosts")],
        "ulimits": [_ulimit(limit) for limit in _each(host, "Ulimits")],
        "mounts": [_mount(mount) for mount in _each(host, "Mounts")],
        "ports": ports(found),
        "healthcheck": _healthcheck(config.get("Healthcheck")),
        "mustRun": running if flag_of(before, "mustRun", default=True) else False,
        **computed(found),
    }


def computed(found: Inspected) -> Values:
    """The outputs that are no inputs."""
    networks: Mapping[str, Any] = found["NetworkSettings"].get("Networks") or {}
    return {
        "bridge": found["NetworkSettings"].get("Bridge", ""),
        "exitCode": found["State"]["ExitCode"],
        "networkDatas": [_network(name, networks[name]) for name in sorted(networks)],
    }


def ports(found: Inspected) -> list[Value]:
    """The published ports, by internal port; of a stopped container those it would publish."""
    running = found["State"]["Running"]
    bound: Mapping[str, Any] = (
        (found["NetworkSettings"].get("Ports") if running else None)
        or found["HostConfig"].get("PortBindings")
        or {}
    )
    listed: list[Value] = []
    for name in sorted(bound, key=lambda name: int(name.partition("/")[0])):
        internal, _, protocol = name.partition("/")
        for binding in _each(bound, name):
            port: Values = {
                "internal": int(internal),
                "ip": binding.get("HostIp") or "0.0.0.0",  # noqa: S104 - a value, no bind
                "protocol": protocol,
            }
            if binding.get("HostPort"):
                port["external"] = int(binding["HostPort"])
            listed.append(port)
    return listed


def _each(found: Inspected, name: str) -> list[Any]:
    return found.get(name) or []


def _mib(size: int) -> int:
    return size if size < 0 else size // MIB


def _cpus(nano: int) -> str:
    return f"{nano / 1e9:f}".rstrip("0").rstrip(".") if nano else ""


def _host(entry: str) -> Value:
    name, _, address = entry.partition(":")
    return {"host": name, "ip": address}


def _ulimit(limit: Inspected) -> Value:
    return {"name": limit["Name"], "soft": limit["Soft"], "hard": limit["Hard"]}


def _healthcheck(found: Inspected | None) -> Value:
    if not found or not found.get("Test"):
        return None
    check: Values = {
        "tests": list(found["Test"]),
        "interval": canonical(found.get("Interval", 0)),
        "timeout": canonical(found.get("Timeout", 0)),
        "startPeriod": canonical(found.get("StartPeriod", 0)),
        "startInterval": canonical(found.get("StartInterval", 0)),
        "retries": found.get("Retries", 0),
    }
    return check


def _mount(found: Inspected) -> Value:
    mount: Values = {
        "type": found["Type"],
        "target": found["Target"],
        "source": found.get("Source", ""),
        "readOnly": bool(found.get("ReadOnly")),
    }
    if bind := found.get("BindOptions"):
        mount["bindOptions"] = {"propagation": bind.get("Propagation", "")}
    if tmpfs := found.get("TmpfsOptions"):
        mount["tmpfsOptions"] = {
            "sizeBytes": tmpfs.get("SizeBytes", 0),
            "mode": tmpfs.get("Mode", 0),
        }
    if volume := found.get("VolumeOptions"):
        driver: Inspected = volume.get("DriverConfig") or {}
        mount["volumeOptions"] = {
            "noCopy": bool(volume.get("NoCopy")),
            "labels": labels(volume.get("Labels")),
            "driverName": driver.get("Name", ""),
            "driverOptions": driver.get("Options") or {},
        }
    return mount


def labels(found: Mapping[str, str] | None) -> list[Value]:
    """The labels of anything, by name."""
    return [{"label": name, "value": value} for name, value in sorted((found or {}).items())]


def _network(name: str, found: Inspected) -> Value:
    return {
        "networkName": name,
        "gateway": found.get("Gateway", ""),
        "globalIpv6Address": found.get("GlobalIPv6Address", ""),
        "globalIpv6PrefixLength": found.get("GlobalIPv6PrefixLen", 0),
        "ipAddress": found.get("IPAddress", ""),
        "ipPrefixLength": found.get("IPPrefixLen", 0),
        "ipv6Gateway": found.get("IPv6Gateway", ""),
        "macAddress": found.get("MacAddress", ""),
    }
