"""One file per ComponentResource with its Args; the only place that wires provider resources."""
