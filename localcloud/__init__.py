"""What stands in when there is no account: the Vast.ai emulator and its machines."""
