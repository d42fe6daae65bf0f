"""A rental as `GET /instances/` shows it."""

from collections.abc import Callable

from localcloud.vastai.billing import UNITS_PER_DOLLAR
from localcloud.vastai.offers.record import machine_fields, price_fields, slice_fields
from localcloud.vastai.rentals.rental import Rental, Status
from localcloud.vastai.wire import Json

Address = Callable[[int], tuple[str, int]]
"""Host and port at which a rental's machine answers."""

OLLAMA_PORT = 11434
FIRST_PUBLIC_PORT = 40_000
COMPUTED = {"dph_total", "dph_base", "num_gpus", "uptime_mins", "duration", "cpu_cores_effective"}
"""Columns of a record that are not stored: a listing cannot filter by them."""


def instance_record(rental: Rental, now: float, credit: int, address: Address) -> Json:
    """Return the record of a rental."""
    offer = rental.offer
    prices = price_fields(offer, gpu_rate=rental.gpu_rate, gigabytes=rental.order.disk)
    return {
        **machine_fields(offer.machine),
        **slice_fields(offer),
        **prices,
        **_state(rental, now),
        **_container(rental),
        **_network(rental, address),
        **_usage(rental),
        "id": rental.id,
        "label": rental.order.label,
        "is_bid": rental.is_bid,
        "credit_balance": credit / UNITS_PER_DOLLAR,
        "credit_discount": None,
        "gpu_totalram": offer.machine.gpu_ram_mb * offer.gpus,
        "rentable": False,
        "score": offer.machine.reliability,
        "host_run_time": 2_592_000.0,
        "client_run_time": 1.1,
    }


def _state(rental: Rental, now: float) -> Json:
    end = rental.offer.machine.end_date
    since = rental.running_since
    return {
        "actual_status": rental.status,
        "intended_status": rental.intended,
        "cur_state": rental.cur_state,
        "next_state": rental.intended,
        "status_msg": rental.status_msg,
        "uptime_mins": None if since is None else (now - since) / 60,
        "start_date": rental.created_at,
        "end_date": end,
        "duration": end - now,
        "time_remaining": "",
    }


def _container(rental: Rental) -> Json:
    order = rental.order
    return {
        "image_uuid": order.image,
        "image_args": list(order.args),
        "image_runtype": "_".join(order.runtype.split()),
        "extra_env": [list(pair) for pair in order.env],
        "onstart": order.onstart,
        "jupyter_token": None,
        "template_id": None,
        "template_hash_id": order.template_hash_id,
        "template_name": None,
        "volume_info": [],
    }


def _network(rental: Rental, address: Address) -> Json:
    host, port = address(rental.id)
    fields: Json = {
        "public_ipaddr": host,
        "local_ipaddrs": f"{host}\n",
        "ssh_host": f"ssh{rental.id % 9 + 1}.vast.ai",
        "ssh_port": 10_000 + rental.id % 50_000,
        "ssh_idx": str(rental.id % 9 + 1),
        "machine_dir_ssh_port": FIRST_PUBLIC_PORT,
        "direct_port_start": -1,
        "direct_port_end": -1,
    }
    direct = rental.offer.machine.direct_ports * rental.offer.gpus // rental.offer.machine.gpus
    if rental.status is Status.RUNNING and direct:
        fields["ports"] = _ports(rental, port)
    return fields


def _ports(rental: Rental, machine_port: int) -> Json:
    """Return the open ports in docker's form; the one of the machine's server is real."""
    asked = [key[3:].strip() for key, _ in rental.order.env if key.startswith("-p ")]
    wanted = ["22/tcp"] if "ssh" in rental.order.runtype else []
    for flag in asked:
        inside = flag.rsplit(":", 1)[-1]
        wanted.append(inside if "/" in inside else f"{inside}/tcp")
    ports: Json = {}
    for number, name in enumerate(dict.fromkeys(wanted)):
        public = FIRST_PUBLIC_PORT + (rental.id * 64 + number) % 20_000
        if name == f"{OLLAMA_PORT}/tcp":
            public = machine_port
        ports[name] = [{"HostIp": "0.0.0.0", "HostPort": str(public)}]  # noqa: S104 - docker's text
    return ports


def _usage(rental: Rental) -> Json:
    running = rental.status is Status.RUNNING
    return {
        "disk_space": rental.order.disk,
        "disk_usage": 2.5 if running else -1,
        "disk_util": 2.5 / rental.order.disk if running else -1,
        "gpu_util": 0.0 if running else None,
        "gpu_temp": 35.0 if running else None,
        "cpu_util": 0.0,
        "mem_limit": None,
        "mem_usage": None,
        "vmem_usage": None,
    }
