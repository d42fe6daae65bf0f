"""What happens to a rental after it was created: asked for by the renter, or done to it."""

from dataclasses import replace

from localcloud.vastai.cloud import Cloud
from localcloud.vastai.errors import missing_billing
from localcloud.vastai.rentals.order import MAX_ENV, parse_bid, parse_disk, parse_env, parse_start
from localcloud.vastai.rentals.rental import Rental, Status
from localcloud.vastai.wire import SUCCESS, ApiError, Json, flag, invalid, optional_text

MAX_LABEL_LATER = 1024
UNAVAILABLE: Json = {
    "success": False,
    "error": "resources_unavailable",
    "msg": "Required resources are currently unavailable, state change queued.",
}
UP = frozenset({Status.RUNNING, Status.FROZEN})


def change_state(cloud: Cloud, rental: Rental, state: object) -> Json:
    """Start, stop or freeze a rental."""
    match state:
        case "running":
            return start(cloud, rental)
        case "stopped":
            stop(cloud, rental)
        case "frozen":
            return freeze(cloud, rental)
        case _:
            raise invalid(f"state must be running, stopped or frozen, got {state!r}")
    return SUCCESS


def freeze(cloud: Cloud, rental: Rental) -> Json:
    """Pause a running container; its GPU stays billed."""
    if rental.status not in UP:
        return _not_running(rental)
    rental.intended = "frozen"
    rental.become(Status.FROZEN, cloud.clock.now(), "frozen")
    cloud.log.add("frozen", id=rental.id)
    return SUCCESS


def start(cloud: Cloud, rental: Rental) -> Json:
    """Start a rental, or queue it when somebody else has its GPUs."""
    if cloud.credit() <= 0:
        raise missing_billing()
    rental.intended = "running"
    if rental.status is Status.RUNNING or rental.steps:
        return SUCCESS
    if rental.status is Status.OFFLINE or not cloud.occupy(rental):
        rental.queued = True
        cloud.log.add("start_queued", id=rental.id)
        return UNAVAILABLE
    bring_up(cloud, rental)
    return SUCCESS


def bring_up(cloud: Cloud, rental: Rental, status: Status = Status.LOADING) -> None:
    """Boot a rental that has its GPUs."""
    now = cloud.clock.now()
    rental.queued = rental.outbid = False
    rental.answering = True
    rental.cur_state = "running"
    cloud.log.add("starting", id=rental.id)
    rental.become(status, now, status)
    rental.boot(cloud.settings.boot_seconds, now)
    if rental.twist.boot_error is None:
        rental.steps = [step for step in rental.steps if step.status is Status.RUNNING]


def stop(cloud: Cloud, rental: Rental) -> None:
    """Stop a rental; its GPUs can be rented by others."""
    cloud.log.add("stopped", id=rental.id)
    rental.queued = rental.outbid = False
    cloud.park(rental)


def serve_queue(cloud: Cloud) -> None:
    """Start the queued rentals whose GPUs are free now."""
    for rental in cloud.live():
        if rental.queued and rental.status is not Status.OFFLINE and cloud.occupy(rental):
            bring_up(cloud, rental)


def relabel(cloud: Cloud, rental: Rental, label: object) -> None:
    """Change the label; longer ones are allowed than at the create."""
    if label is not None and not isinstance(label, str):
        raise invalid(f"label must be a string, got {label!r}")
    if label is not None and len(label) > MAX_LABEL_LATER:
        raise ApiError(
            400, "label_too_long", f"label must have at most {MAX_LABEL_LATER} characters"
        )
    rental.order = replace(rental.order, label=label)
    cloud.log.add("labelled", id=rental.id, label=label)


def restart(cloud: Cloud, rental: Rental, status: Status) -> Json:
    """Reboot or recycle a container that is up."""
    if rental.status not in UP:
        return _not_running(rental)
    bring_up(cloud, rental, status)
    return SUCCESS


def _not_running(rental: Rental) -> Json:
    text = f"Instance {rental.id} is not running."
    return {"success": False, "error": "invalid_id", "msg": text}


def change_bid(cloud: Cloud, rental: Rental, price: object) -> Json:
    """Change a bid; null takes a price that wins, and a higher one brings an outbid rental back."""
    if not rental.is_bid:
        raise ApiError(400, "invalid_args", "Can't change price of on-demand contract.")
    try:
        bid = parse_bid(price)
    except ApiError:
        raise ApiError(400, "invalid_price", "Please set a bid price >= 0.001.") from None
    bid = rental.offer.price if bid is None else bid
    raised = bid > rental.gpu_rate
    rental.reprice(bid, cloud.clock.now())
    cloud.log.add("bid_changed", id=rental.id, price=bid)
    if rental.outbid and raised and cloud.occupy(rental):
        bring_up(cloud, rental)
    return SUCCESS


def update_template(cloud: Cloud, rental: Rental, body: Json) -> Json:
    """Change image, environment, start script or disk; running containers are recreated."""
    order = rental.order
    if body.get("image") is not None:
        order = replace(order, image=optional_text(body, "image", 1024) or order.image)
    if body.get("env") is not None:
        order = replace(order, env=parse_env(_env_object(body["env"])))
    onstart, args = parse_start({k: v for k, v in body.items() if k in {"onstart", "args_str"}})
    if onstart is not None:
        order = replace(order, onstart=onstart)
    if args or body.get("args"):
        order = replace(order, args=args or tuple(str(body["args"]).split()))
    if body.get("disk") is not None:
        order = replace(order, disk=parse_disk(body["disk"]))
    now = cloud.clock.now()
    rental.order = order
    rental.become(rental.status, now, rental.status_msg)
    cloud.log.add("updated", id=rental.id)
    if rental.status in UP and flag(body, "recycle", default=True):
        restart(cloud, rental, Status.RECYCLING)
    return SUCCESS


def befall(cloud: Cloud, rental: Rental, fate: str) -> None:
    """Do to a rental what the renter did not ask for; see `FATES`."""
    if fate not in FATES:
        raise ApiError(404, "no_such_fate", f"expected one of {sorted(FATES)}, got {fate!r}")
    FATES[fate](cloud, rental)
    cloud.log.add(fate, id=rental.id)


def _die(_cloud: Cloud, rental: Rental) -> None:
    """The machine stops answering; Vast.ai does not notice and bills on."""
    rental.answering = False


def _exit(cloud: Cloud, rental: Rental) -> None:
    """The container ends; it stays exited, and keeps its GPUs."""
    rental.steps = []
    rental.become(Status.EXITED, cloud.clock.now(), "container exited with code 137")


def _offline(cloud: Cloud, rental: Rental) -> None:
    """The host disappears; nothing is billed meanwhile."""
    rental.steps = []
    rental.become(Status.OFFLINE, cloud.clock.now(), "host is offline")


def _outbid(cloud: Cloud, rental: Rental) -> None:
    """Somebody bids more: paused, though the renter still wants it to run."""
    cloud.park(rental)
    rental.intended = "running"
    rental.outbid = True


def _vanish(cloud: Cloud, rental: Rental) -> None:
    """The contract ends without the renter."""
    cloud.destroy(rental, "ended_by_host")


def _finish_boot(cloud: Cloud, rental: Rental) -> None:
    """It runs now, even where a fault keeps it from booting."""
    if not cloud.occupy(rental):
        raise ApiError(409, "resources_unavailable", "its GPUs are rented to somebody else")
    now = cloud.clock.now()
    rental.steps = []
    rental.twist = replace(rental.twist, stuck=False, boot_error=None)
    rental.answering = True
    rental.queued = rental.outbid = False
    rental.intended = rental.cur_state = "running"
    rental.become(Status.RUNNING, now, f"success, running {rental.order.image}")


FATES = {
    "die": _die,
    "exit": _exit,
    "offline": _offline,
    "outbid": _outbid,
    "vanish": _vanish,
    "finish_boot": _finish_boot,
}


def _env_object(value: object) -> object:
    """Return env as an object; the command line client sends template updates a string here."""
    if not isinstance(value, str):
        return value
    if len(value) > MAX_ENV:
        raise invalid(f"env must have at most {MAX_ENV} characters")
    return docker_flags(value)


def docker_flags(text: str) -> dict[str, str]:
    """Read `-e A=b -p 80:80` as the object that a create takes."""
    words = text.split()
    env: dict[str, str] = {}
    for option, value in zip(words[::2], words[1::2], strict=False):
        if option == "-e":
            key, _, item = value.partition("=")
            env[key] = item
        else:
            env[f"{option} {value}"] = "1"
    return env
