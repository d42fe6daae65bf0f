"""What a gate's verdicts mean for the nas stack: who is put back, and what is told. Pure."""

from collections.abc import Mapping, Sequence

from contracts.nas import Held
from contracts.outputs import ServiceOutput
from operations.gate import Verdict


def failed_in(verdicts: Mapping[str, Verdict]) -> dict[str, Verdict]:
    """Those that do not work."""
    return {name: verdict for name, verdict in verdicts.items() if not verdict.well}


def put_back(
    services: Sequence[ServiceOutput], reasons: Mapping[str, str], good: Mapping[str, str]
) -> dict[str, Held]:
    """How those that do not work for `reasons` are held back, where another image is `good`."""
    return {
        one.name: Held(failed=one.declared, image=good[one.name], reason=reasons[one.name])
        for one in services
        if one.name in reasons and good.get(one.name, one.image) != one.image
    }


def told(failed: Mapping[str, Verdict], back: Mapping[str, Held]) -> list[str]:
    """What a person reads of each that does not work."""
    return [
        f"{name} does not work: {verdict.reason}"
        + (f"\n    it was put back to {back[name].image}" if name in back else "")
        for name, verdict in failed.items()
    ]
