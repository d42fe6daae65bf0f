"""A stand-in for agent-router: hands jobs from a Redis list to the machines registered with it."""
