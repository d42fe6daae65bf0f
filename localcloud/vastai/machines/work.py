"""How long a machine generates: so many at once, the others wait inside it as with Ollama."""

import asyncio
from collections.abc import Callable


class Work:
    """The slots of one machine (OLLAMA_NUM_PARALLEL); belongs to one event loop."""

    def __init__(self, seconds: float = 0.0, parallel: int = 4) -> None:
        self._seconds = seconds
        self._slots = asyncio.Semaphore(parallel)

    async def done(self, gone: Callable[[], bool]) -> bool:
        """Work one request off; False when its client was `gone` before its turn came."""
        if self._seconds <= 0:
            return True
        async with self._slots:
            # As with Ollama, a request whose client has left takes no time from the others.
            if gone():
                return False
            await asyncio.sleep(self._seconds)
            return True
