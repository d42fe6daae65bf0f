"""A container's inputs as the Engine API takes them."""

from collections.abc import Iterable

from localcloud.plugins.docker.durations import nanoseconds
from localcloud.plugins.values import (
    Value,
    Values,
    flag_of,
    map_of,
    maps_of,
    string_map_of,
    text_of,
    whole_of,
)

MIB = 1024 * 1024
_NANO_CPUS = 1_000_000_000
# The API's name, the input's name: taken as they are where they are set.
_CONFIG = {
    "Cmd": "command",
    "Domainname": "domainname",
    "Entrypoint": "entrypoints",
    "Env": "envs",
    "Hostname": "hostname",
    "Image": "image",
    "OpenStdin": "stdinOpen",
    "StopSignal": "stopSignal",
    "StopTimeout": "stopTimeout",
    "Tty": "tty",
    "User": "user",
    "WorkingDir": "workingDir",
}
_HOST = {
    "AutoRemove": "rm",
    "CgroupParent": "cgroupParent",
    "CgroupnsMode": "cgroupnsMode",
    "CpuPeriod": "cpuPeriod",
    "CpuQuota": "cpuQuota",
    "CpuShares": "cpuShares",
    "CpusetCpus": "cpuSet",
    "Dns": "dns",
    "DnsOptions": "dnsOpts",
    "DnsSearch": "dnsSearches",
    "GroupAdd": "groupAdds",
    "Init": "init",
    "IpcMode": "ipcMode",
    "PidMode": "pidMode",
    "Privileged": "privileged",
    "PublishAllPorts": "publishAllPorts",
    "ReadonlyRootfs": "readOnly",
    "Runtime": "runtime",
    "SecurityOpt": "securityOpts",
    "StorageOpt": "storageOpts",
    "Sysctls": "sysctls",
    "Tmpfs": "tmpfs",
    "UsernsMode": "usernsMode",
}


def body(inputs: Values) -> Values:
    """The whole request, without networks."""
    anonymous: Values = {
        text_of(volume, "containerPath"): {}
        for volume in maps_of(inputs, "volumes")
        if not (_source(volume) or text_of(volume, "fromContainer"))
    }
    return {
        **_renamed(inputs, _CONFIG),
        **({"Volumes": anonymous} if anonymous else {}),
        **({"ExposedPorts": ports} if (ports := _exposed(inputs)) else {}),
        "Labels": _labels(inputs),
        **({"Healthcheck": check} if (check := healthcheck(inputs)) else {}),
        "HostConfig": host_config(inputs),
    }


def host_config(inputs: Values) -> Values:
    """What of it depends on the machine."""
    capabilities = map_of(inputs, "capabilities")
    given: Values = {
        **_renamed(inputs, _HOST),
        "Binds": _listed(filter(None, map(_bind, maps_of(inputs, "volumes")))),
        "VolumesFrom": _listed(
            text_of(volume, "fromContainer")
            for volume in maps_of(inputs, "volumes")
            if text_of(volume, "fromContainer")
        ),
        "Mounts": [_mount(mount) for mount in maps_of(inputs, "mounts")],
        "PortBindings": _bindings(inputs),
        "CapAdd": capabilities.get("adds"),
        "CapDrop": capabilities.get("drops"),
        "ExtraHosts": _listed(
            f"{text_of(host, 'host')}:{text_of(host, 'ip')}" for host in maps_of(inputs, "hosts")
        ),
        "Ulimits": [_ulimit(limit) for limit in maps_of(inputs, "ulimits")],
        "RestartPolicy": {
            "Name": text_of(inputs, "restart", "no"),
            "MaximumRetryCount": whole_of(inputs, "maxRetryCount"),
        },
        **_sizes(inputs),
    }
    if text_of(inputs, "logDriver") or map_of(inputs, "logOpts"):
        given["LogConfig"] = {
            "Type": text_of(inputs, "logDriver"),
            "Config": map_of(inputs, "logOpts"),
        }
    return {name: value for name, value in given.items() if value not in (None, [], {})}


def mib(value: int) -> int:
    """Bytes of a size in MiB; -1 means without limit."""
    return value if value < 0 else value * MIB


def healthcheck(inputs: Values) -> Values:
    """The health check with its times in nanoseconds; empty when none is set."""
    check = map_of(inputs, "healthcheck")
    if not check:
        return {}
    times = {
        "Interval": "interval",
        "Timeout": "timeout",
        "StartPeriod": "startPeriod",
        "StartInterval": "startInterval",
    }
    return {
        "Test": check.get("tests"),
        "Retries": whole_of(check, "retries"),
        **{key: nanoseconds(text_of(check, name)) for key, name in times.items() if name in check},
    }


def _sizes(inputs: Values) -> Values:
    sizes: Values = {
        api: mib(whole_of(inputs, name))
        for api, name in {
            "Memory": "memory",
            "MemoryReservation": "memoryReservation",
            "MemorySwap": "memorySwap",
            "ShmSize": "shmSize",
        }.items()
        if name in inputs
    }
    if text_of(inputs, "cpus"):
        sizes["NanoCpus"] = round(float(text_of(inputs, "cpus")) * _NANO_CPUS)
    return sizes


def _renamed(inputs: Values, names: dict[str, str]) -> Values:
    return {api: inputs[name] for api, name in names.items() if inputs.get(name) is not None}


def _labels(owner: Values) -> Values:
    return {text_of(label, "label"): label.get("value") for label in maps_of(owner, "labels")}


def _listed(texts: Iterable[str]) -> list[Value]:
    return list(texts)


def _source(volume: Values) -> str:
    return text_of(volume, "volumeName") or text_of(volume, "hostPath")


def _bind(volume: Values) -> str:
    if not _source(volume):
        return ""
    options = [text_of(volume, "selinuxRelabel")] if text_of(volume, "selinuxRelabel") else []
    options.insert(0, "ro" if flag_of(volume, "readOnly") else "rw")
    return f"{_source(volume)}:{text_of(volume, 'containerPath')}:{','.join(options)}"


def _mount(mount: Values) -> Values:
    made: Values = {
        "Type": text_of(mount, "type"),
        "Target": text_of(mount, "target"),
        "Source": text_of(mount, "source"),
        "ReadOnly": flag_of(mount, "readOnly"),
    }
    if bind := map_of(mount, "bindOptions"):
        made["BindOptions"] = {"Propagation": text_of(bind, "propagation")}
    if tmpfs := map_of(mount, "tmpfsOptions"):
        made["TmpfsOptions"] = {
            "SizeBytes": whole_of(tmpfs, "sizeBytes"),
            "Mode": whole_of(tmpfs, "mode"),
        }
    if volume := map_of(mount, "volumeOptions"):
        made["VolumeOptions"] = {
            "NoCopy": flag_of(volume, "noCopy"),
            "Labels": _labels(volume),
            "DriverConfig": {
                "Name": text_of(volume, "driverName"),
                "Options": map_of(volume, "driverOptions"),
            },
        }
    return made


def _ulimit(limit: Values) -> Values:
    return {"Name": limit["name"], "Soft": limit["soft"], "Hard": limit["hard"]}


def _port(port: Values) -> str:
    return f"{whole_of(port, 'internal')}/{text_of(port, 'protocol', 'tcp')}"


def _exposed(inputs: Values) -> Values:
    return {_port(port): {} for port in maps_of(inputs, "ports")}


def _bindings(inputs: Values) -> Values:
    found: dict[str, list[Value]] = {}
    for port in maps_of(inputs, "ports"):
        outside = whole_of(port, "external")
        binding: Values = {
            "HostIp": text_of(port, "ip", "0.0.0.0"),  # noqa: S104 - the official default
            "HostPort": str(outside) if outside else "",
        }
        found.setdefault(_port(port), []).append(binding)
    return {name: list(bindings) for name, bindings in found.items()}


def labels_of(owner: Values) -> dict[str, str]:
    """The labels of anything as the API takes them."""
    return string_map_of({"labels": _labels(owner)}, "labels")
