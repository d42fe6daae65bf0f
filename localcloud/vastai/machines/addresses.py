"""Where the machine of a rental answers: an own loopback address, or a port where that fails."""

import socket
from dataclasses import dataclass

MACHINE_PORT = 11434
PROBE = "127.64.0.1"


@dataclass(frozen=True)
class Addresses:
    """The mapping from contract ids to addresses on this computer."""

    by_port: bool

    @property
    def kind(self) -> str:
        """`addresses` or `ports`, as the start line says."""
        return "ports" if self.by_port else "addresses"

    @property
    def template(self) -> str:
        """A format string with the fields {id}, {octets} and {port}."""
        return "http://127.0.0.1:{port}" if self.by_port else "http://127.64.{octets}:11434"

    def of(self, rental_id: int) -> tuple[str, int]:
        """Return host and port of a machine."""
        if self.by_port:
            # Below the ports that the system gives to outgoing connections.
            return "127.0.0.1", 20_000 + rental_id % 12_000
        return f"127.64.{octets(rental_id)}", MACHINE_PORT

    def url(self, rental_id: int) -> str:
        """Return the base URL of a machine."""
        host, port = self.of(rental_id)
        return f"http://{host}:{port}"


def octets(rental_id: int) -> str:
    """Return the last two numbers of a machine's address."""
    return f"{rental_id // 256 % 256}.{rental_id % 256}"


def available_addresses(probe: str = PROBE) -> Addresses:
    """Return addresses where the whole 127/8 is local, as on Linux; ports elsewhere."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        try:
            trial.bind((probe, 0))
        except OSError:
            return Addresses(by_port=True)
    return Addresses(by_port=False)
