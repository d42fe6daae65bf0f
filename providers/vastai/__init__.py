"""The Vast.ai provider; importing this package loads nothing."""
