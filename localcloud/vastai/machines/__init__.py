"""The rented machines as real HTTP servers on loopback."""
