"""The `agent-docker` command."""
