"""Settings in, components wired, outputs out: one module per layer."""
