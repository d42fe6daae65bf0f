"""Plain data that the deploy half and the service half share; nothing of ours is imported here."""
