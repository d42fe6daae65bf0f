"""The `command` plugin: commands of this machine, run as resources."""
