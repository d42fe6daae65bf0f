"""An offer as a search returns it; rentals show many of the same fields."""

from localcloud.vastai.billing import MICROS_PER_DOLLAR, storage_rate
from localcloud.vastai.offers.market import Machine, Offer
from localcloud.vastai.wire import Json


def offer_record(offer: Offer, *, gigabytes: float, is_bid: bool, now: float) -> Json:
    """Return the record of an offer with `gigabytes` of disk priced in."""
    prices = price_fields(
        offer, gpu_rate=offer.min_bid if is_bid else offer.price, gigabytes=gigabytes
    )
    machine = offer.machine
    total = _float(prices["dph_total"])
    power = machine.model.dlperf * offer.gpus
    flops = machine.model.tflops * offer.gpus
    return {
        **machine_fields(machine),
        **slice_fields(offer),
        **prices,
        "id": offer.id,
        "ask_contract_id": offer.id,
        "rn": 1,
        "resource_type": "gpu",
        "is_bid": is_bid,
        "disk_space": machine.disk_gb,
        "dlperf_per_dphtotal": round(power / total, 4),
        "flops_per_dphtotal": round(flops / total, 4),
        "score": round(power / total * machine.reliability, 4),
        "rentable": True,
        "rented": False,
        "start_date": now,
        "end_date": machine.end_date,
        "duration": machine.end_date - now,
        "time_remaining": "",
        "time_remaining_isbid": "",
        "gpu_ids": list(offer.gpu_ids),
        "avail_vol_ask_id": machine.machine_id + 1_000_000,
        "avail_vol_dph": storage_rate(machine.storage_price, 1) / MICROS_PER_DOLLAR,
        "avail_vol_size": machine.disk_gb // 2,
        "bundled_results": None,
        "expected_reliability": machine.reliability,
        "reliability_mult": machine.reliability,
    }


def price_fields(offer: Offer, *, gpu_rate: int, gigabytes: float) -> Json:
    """Return the prices for a disk of `gigabytes`; exactly what a running rental is billed."""
    disk_rate = storage_rate(offer.machine.storage_price, gigabytes)
    gpu = gpu_rate / MICROS_PER_DOLLAR
    disk = disk_rate / MICROS_PER_DOLLAR
    total = (gpu_rate + disk_rate) / MICROS_PER_DOLLAR
    hourly: Json = {
        "gpuCostPerHour": gpu,
        "diskHour": disk,
        "totalHour": total,
        "discountTotalHour": 0.0,
        "discountedTotalPerHour": total,
    }
    return {
        "dph_base": gpu,
        "dph_total": total,
        "dph_total_adj": total,
        "min_bid": offer.min_bid / MICROS_PER_DOLLAR,
        "storage_cost": offer.machine.storage_price / MICROS_PER_DOLLAR,
        "storage_total_cost": disk,
        "vram_costperhour": gpu / (offer.machine.gpu_ram_mb * offer.gpus),
        "credit_discount_max": 0.4,
        "discount_rate": 0.0,
        "discounted_hourly": 0.0,
        "discounted_dph_total": total,
        "platform_fee": 0.0,
        "search": hourly,
        "instance": dict(hourly),
    }


def slice_fields(offer: Offer) -> Json:
    """Return the fields that depend on how much of the machine it is."""
    machine = offer.machine
    _, cores, _, _ = machine.cpu
    return {
        "bundle_id": machine.machine_id * 10 + offer.gpus,
        "num_gpus": offer.gpus,
        "gpu_total_ram": machine.gpu_ram_mb * offer.gpus,
        "gpu_frac": offer.gpus / machine.gpus,
        "cpu_cores_effective": cores * offer.gpus / machine.gpus,
        "dlperf": machine.model.dlperf * offer.gpus,
        "total_flops": machine.model.tflops * offer.gpus,
        "direct_port_count": machine.direct_ports * offer.gpus // machine.gpus,
    }


def machine_fields(machine: Machine) -> Json:
    """Return the fields that every offer and rental on a machine shares."""
    return {**_identity(machine), **_gpu(machine), **_host(machine), **_network(machine)}


def driver_number(version: str) -> int:
    """Return `535.86.05` as 535086005, the form that filters compare."""
    major, minor, patch = (int(part) for part in version.split("."))
    return major * 1_000_000 + minor * 1_000 + patch


def _identity(machine: Machine) -> Json:
    return {
        "machine_id": machine.machine_id,
        "host_id": machine.host_id,
        "hosting_type": machine.hosting_type,
        "cluster_id": None,
        "external": False,
        "verification": machine.verification,
        "vericode": int(machine.verification == "verified"),
        "reliability": machine.reliability,
        "reliability2": machine.reliability,
        "geolocation": machine.geolocation,
        "geolocode": sum(machine.geolocation.encode()),
        "country_code": machine.geolocation.rsplit(", ", 1)[-1],
        "hostname": None,
        "logo": "/static/logos/vastai_small2.png",
        "webpage": None,
        "vms_enabled": False,
        "is_vm_deverified": False,
    }


def _gpu(machine: Machine) -> Json:
    model = machine.model
    return {
        "gpu_name": model.name,
        "gpu_ram": machine.gpu_ram_mb,
        "gpu_arch": model.arch,
        "gpu_lanes": 16,
        "gpu_mem_bw": model.bandwidth,
        "gpu_max_power": float(model.watts),
        "gpu_max_temp": 90.0,
        "gpu_display_active": False,
        "compute_cap": model.compute_cap,
        "cuda_max_good": machine.cuda_max,
        "driver_version": machine.driver,
        "driver_vers": driver_number(machine.driver),
        "bw_nvlink": model.nvlink,
    }


def _host(machine: Machine) -> Json:
    name, cores, ghz, mainboard = machine.cpu
    return {
        "cpu_name": name,
        "cpu_cores": cores,
        "cpu_ghz": ghz,
        "cpu_ram": machine.cpu_ram_mb,
        "cpu_arch": "amd64",
        "has_avx": 1,
        "mobo_name": mainboard,
        "os_version": "22.04",
        "ubuntu_version": "22.04",
        "pci_gen": 4.0,
        "pcie_bw": 24.0,
        "disk_bw": machine.disk_bw,
        "disk_name": "nvme",
    }


def _network(machine: Machine) -> Json:
    return {
        "inet_up": machine.inet_up,
        "inet_down": machine.inet_down,
        "inet_up_cost": 0.004,
        "inet_down_cost": 0.002,
        "internet_up_cost_per_tb": 4.0,
        "internet_down_cost_per_tb": 2.0,
        "static_ip": machine.static_ip,
        # A documentation address (RFC 5737): nobody can connect to an offer.
        "public_ipaddr": f"198.51.100.{machine.machine_id % 254 + 1}",
        "nw_disk_min_bw": None,
        "nw_disk_max_bw": None,
        "nw_disk_avg_bw": None,
    }


def _float(value: object) -> float:
    if not isinstance(value, float):
        raise TypeError(f"expected a float, got {value!r}")
    return value
