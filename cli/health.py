"""Whether machines answer: many at once, each with a short patience."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import httpx

_PATIENCE = 3.0
_POLL = 0.25


def answers(url: str) -> bool:
    """Whether a GET of `url` succeeds."""
    try:
        return httpx.get(url, timeout=_PATIENCE, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def probe(urls: Mapping[str, str]) -> dict[str, bool]:
    """Which of `urls` (by name) answer now."""
    if not urls:
        return {}
    with ThreadPoolExecutor(max_workers=min(32, len(urls))) as pool:
        return dict(zip(urls, pool.map(answers, urls.values()), strict=True))


def wait(
    urls: Mapping[str, str],
    *,
    deadline: float,
    on_progress: Callable[[int], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, bool]:
    """Probe until all answer, or for `deadline` seconds; tells how many do."""
    end = clock() + deadline
    while True:
        seen = probe(urls)
        on_progress(sum(seen.values()))
        if all(seen.values()) or clock() >= end:
            return seen
        sleep(_POLL)
