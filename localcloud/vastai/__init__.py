"""A Vast.ai emulator: offers, rentals, bills, faults, and machines that answer as Ollama does."""
