"""The market at the start: machines drawn from a seed."""

import random

from localcloud.vastai.billing import micros
from localcloud.vastai.offers.hardware import CPUS, OTHERS, PLACES, RTX_4090, GpuModel
from localcloud.vastai.offers.market import Machine, Market

SHARE_4090 = 0.75
MACHINES_PER_HOST = 3
DAY = 86_400.0
DIRECT_PORTS = (0, 32, 50, 64, 99, 100, 100, 149, 150, 199, 200, 200)


def stocked(seed: int, single_gpu_offers: int, now: float) -> Market:
    """Return a market with as many single-GPU offers as asked, three quarters of them RTX 4090."""
    dice = random.Random(seed)  # noqa: S311 - reproducible offers, not cryptography
    wanted = round(single_gpu_offers * SHARE_4090)
    models = [*_machine_sizes(dice, [RTX_4090], wanted)]
    models += _machine_sizes(dice, OTHERS, single_gpu_offers - wanted)
    dice.shuffle(models)
    hosts = max(1, len(models) // MACHINES_PER_HOST)
    machines = [
        _machine(dice, model, gpus, number, hosts, now)
        for number, (model, gpus) in enumerate(models)
    ]
    by_id = {machine.machine_id: machine for machine in machines}
    return Market(machines=by_id, next_id=dice.randrange(20_000_000, 30_000_000))


def _machine_sizes(
    dice: random.Random, models: tuple[GpuModel, ...] | list[GpuModel], gpus: int
) -> list[tuple[GpuModel, int]]:
    """Spread `gpus` over machines of 1, 2, 4 or 8."""
    sizes: list[tuple[GpuModel, int]] = []
    while gpus > 0:
        size = dice.choices((1, 2, 4, 8), (60, 18, 15, 7))[0]
        while size > gpus:
            size //= 2
        sizes.append((models[len(sizes) % len(models)], size))
        gpus -= size
    return sizes


def _machine(
    dice: random.Random, model: GpuModel, gpus: int, number: int, hosts: int, now: float
) -> Machine:
    """Draw one machine; good hosts are more common than bad ones, as on the real market."""
    price = round(dice.triangular(*model.price, model.price[0] * 1.35), 4)
    reliability = round(1 - dice.betavariate(1.1, 24) * 0.5, 6)
    data_centre = dice.random() < 0.3  # noqa: PLR2004 - share of data centres
    network = dice.choice((200.0, 500.0, 900.0, 2_000.0, 8_000.0))
    gpu_ram = dice.randint(*model.ram_mb)
    return Machine(
        machine_id=10_000 + number * 7,
        host_id=50_000 + dice.randrange(hosts) * 11,
        model=model,
        gpus=gpus,
        gpu_ram_mb=gpu_ram,
        gpu_price=micros(price),
        gpu_bid=micros(round(price * dice.uniform(0.4, 0.7), 4)),
        storage_price=micros(round(dice.uniform(0.05, 0.30), 3)),
        reliability=min(0.999, max(0.85, reliability)),
        verification="verified" if data_centre or dice.random() < 0.94 else "unverified",  # noqa: PLR2004 - share
        hosting_type=int(data_centre),
        geolocation=dice.choice(PLACES),
        direct_ports=dice.choice(DIRECT_PORTS),
        static_ip=data_centre,
        inet_up=round(network * dice.uniform(0.5, 1.0), 1),
        inet_down=round(network * dice.uniform(0.7, 1.1), 1),
        disk_gb=round(dice.uniform(120, 2_500), 1),
        disk_bw=round(dice.uniform(900, 7_000), 1),
        cpu=dice.choice(CPUS),
        cpu_ram_mb=dice.choice((64_000, 128_000, 257_000, 515_000)) * (1 + gpus // 4),
        cuda_max=dice.choice((12.4, 12.6, 12.8, 12.9, 13.0)),
        driver=dice.choice(("550.90.07", "560.35.03", "570.86.15", "575.57.08", "580.65.06")),
        end_date=now + dice.uniform(20, 180) * DAY,
    )
