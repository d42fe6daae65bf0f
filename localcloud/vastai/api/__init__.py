"""The HTTP side: routes, keys, limits, faults, admin."""
