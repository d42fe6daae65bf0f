"""The `kubernetes` plugin: what agents are made of, on a real API server."""
