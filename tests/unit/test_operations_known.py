"""Which machines an update with the stack's settings would leave alone."""

import pytest

from contracts.fleet import FleetSettings
from contracts.slots import Namer
from operations.known import Known
from operations.state import StackState
from providers.vastai.models import Instance

FLEET = {"image": "ollama/ollama:0.12.6", "tailnet": "t.net", "gpu": "RTX 4090", "diskGb": 50}
RIGHT = {"id": 1, "gpu_name": "RTX 4090", "num_gpus": 1, "disk_space": 50.0, "is_bid": False}


@pytest.mark.parametrize(
    ("seen", "fits"),
    [
        ({}, True),
        ({"gpu_name": "RTX 3090"}, False),
        ({"num_gpus": 2}, False),
        ({"disk_space": 10.0}, False),
        ({"disk_space": 50.4}, True),
        ({"is_bid": True}, False),
        ({"gpu_name": None, "num_gpus": None, "disk_space": None, "is_bid": None}, True),
    ],
)
def test_a_machine_fits_that_no_update_would_replace(seen: dict[str, object], fits: bool) -> None:  # noqa: FBT001
    known = Known(
        state=StackState(),
        fleet=FleetSettings.model_validate(FLEET),
        namer=Namer(owner="0123456789ab", stack="gpu"),
    )
    assert known.fits(Instance.model_validate(RIGHT | seen)) is fits
