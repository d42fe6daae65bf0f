"""Checking a create request against the documented limits."""

import re

from localcloud.vastai.billing import micros
from localcloud.vastai.rentals.rental import Order
from localcloud.vastai.wire import (
    ApiError,
    Json,
    as_list,
    as_number,
    as_object,
    flag,
    invalid,
    optional_text,
)

MAX_IMAGE = 1024
MAX_LABEL = 256
MAX_START = 4096
MAX_ENV_ITEM = 256
MAX_ENV = 32_768
MAX_PORTS = 64
MIN_DISK_GB = 8.0
DEFAULT_DISK_GB = 10.0
BID_RANGE = (0.001, 128.0)
RUNTYPES = {
    *("ssh", "ssh_proxy", "ssh_direct", "ssh_direc"),
    *("jupyter", "jupyter_proxy", "jupyter_direct", "jupyter_direc", "args"),
}


def parse_order(body: Json) -> Order:
    """Return the order in a create body, or refuse as Vast.ai does."""
    template = optional_text(body, "template_hash_id")
    image = optional_text(body, "image", MAX_IMAGE)
    if not image and not template:
        raise invalid("image is required unless template_hash_id is given")
    onstart, args = parse_start(body)
    price = parse_bid(body.get("price"))
    running = _running(body)
    volume = body.get("volume_info")
    _check_login(optional_text(body, "image_login"))
    return Order(
        image=image or f"template/{template}",
        env=parse_env(body.get("env")),
        disk=parse_disk(body.get("disk")),
        label=optional_text(body, "label", MAX_LABEL),
        onstart=onstart,
        args=args,
        runtype=_runtype(body, args),
        price=price,
        running=running,
        cancel_unavail=flag(body, "cancel_unavail", default=price is None and running),
        template_hash_id=template,
        volume_info=None if volume is None else as_object(volume, "volume_info"),
    )


def parse_env(value: object) -> tuple[tuple[str, str], ...]:
    """Return environment and docker flags in order; a flag string is wrong here."""
    if value is None:
        return ()
    items = tuple((key, str(item)) for key, item in as_object(value, "env").items())
    for key, item in items:
        if len(key) + len(item) > MAX_ENV_ITEM:
            raise invalid(f"env {key[:40]!r} must have at most {MAX_ENV_ITEM} characters")
    if sum(len(key) + len(item) for key, item in items) > MAX_ENV:
        raise invalid(f"env must have at most {MAX_ENV} characters in total")
    if sum(key.startswith("-p ") for key, _ in items) > MAX_PORTS:
        raise invalid(f"env must open at most {MAX_PORTS} ports")
    return items


def parse_start(body: Json) -> tuple[str | None, tuple[str, ...]]:
    """Return the start script and the container's arguments."""
    onstart = optional_text(body, "onstart")
    args_str = optional_text(body, "args_str") or ""
    value = body.get("args")
    args = tuple(str(arg) for arg in as_list(value, "args")) if value is not None else ()
    length = len(onstart or "") + len(args_str) + sum(map(len, args))
    if length > MAX_START:
        raise invalid(f"args and onstart must have at most {MAX_START} characters, got {length}")
    return onstart, args or tuple(args_str.split())


def parse_disk(value: object) -> float:
    """Return the disk in GB."""
    disk = DEFAULT_DISK_GB if value is None else as_number(value, "disk")
    if disk < MIN_DISK_GB:
        raise invalid(f"disk must be at least {MIN_DISK_GB:g} GB, got {disk:g}")
    return disk


def parse_bid(value: object) -> int | None:
    """Return a bid in micro-dollars, None for on demand."""
    if value is None:
        return None
    low, high = BID_RANGE
    price = as_number(value, "price")
    if not low <= price <= high:
        raise ApiError(400, "invalid_price", f"price must be {low} to {high:g}, got {price:g}")
    return micros(price)


def _running(body: Json) -> bool:
    state = optional_text(body, "target_state") or "running"
    if state not in {"running", "stopped"}:
        raise invalid(f"target_state must be running or stopped, got {state!r}")
    return state == "running"


def _runtype(body: Json, args: tuple[str, ...]) -> str:
    """Return the runtype, which the command line client sends as several words."""
    runtype = optional_text(body, "runtype") or ("args" if args else "ssh")
    unknown = [word for word in runtype.split() if word not in RUNTYPES]
    if unknown:
        raise invalid(f"runtype must be made of {sorted(RUNTYPES)}, got {unknown[0]!r}")
    return runtype


def _check_login(login: str | None) -> None:
    if login and not re.fullmatch(r"-u \S+ -p \S+ \S+", login.strip()):
        raise invalid("image_login must be `-u USER -p PASSWORD REGISTRY`")
