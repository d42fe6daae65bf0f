"""What stands in when there is no account: Vast.ai with its machines, agent-router, a Redis."""
